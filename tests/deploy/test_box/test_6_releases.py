"""One release after another: upgrades, an exchange that is away, mistakes, and the way back."""

import copy
import functools
import re
from pathlib import Path

from plays import interrupt, play, write_inventory
from wheelhouses import as_version

from test_box import STORY

pytestmark = STORY

OTHER_LAYOUT = "\nLAYOUT_VERSION += 1\n"
BROKEN_ENGINE = '\nraise RuntimeError("this version does not work")\n'
# The host itself stays as it is.
RELEASE_ALONE = ("--tags", "spreadscan,units")


def test_interrupted_upgrade_is_finished_by_the_next_play_and_loses_no_open_episode(
    box, workshop, variables, quick, appliance, wheelhouse
):
    release, opened = appliance.release(), appliance.open_episodes()
    newer = as_version(wheelhouse, workshop, "0.1.8", {})
    inventory = write_inventory(
        workshop / "newer.json", box.ssh, {**variables, "spreadscan_wheelhouses": str(newer.parent)}
    )
    before = appliance.main_pids()

    interrupt("site.yml", inventory, *RELEASE_ALONE, environment=quick, at="Restart in order")
    play("site.yml", inventory, *RELEASE_ALONE, environment=quick).require_success()

    after = appliance.main_pids()
    assert release.startswith("0.1.0-")
    assert appliance.release().startswith("0.1.8-")
    assert not [unit for unit in after if after[unit] == before[unit]], "one runs the old release"
    assert appliance.inactive() == []
    appliance.require_kept(opened)
    appliance.wait("all green", lambda: appliance.status() == 0)


def test_upgrade_to_another_layout_makes_new_regions_and_loses_no_open_episode(
    box, workshop, variables, quick, appliance, wheelhouse
):
    made_before, opened = regions(box), appliance.open_episodes()
    other = as_version(wheelhouse, workshop, "0.2.0", {"spreadscan/shm/layout.py": OTHER_LAYOUT})
    inventory = write_inventory(
        workshop / "layout.json", box.ssh,
        {**variables, "spreadscan_wheelhouses": str(other.parent), "spreadscan_releases_kept": 0},
    )  # fmt: skip

    play("site.yml", inventory, *RELEASE_ALONE, environment=quick).require_success()

    assert appliance.release().startswith("0.2.0-")
    assert appliance.inactive() == []
    assert not regions(box) & made_before
    appliance.require_kept(opened)
    appliance.wait("all green", lambda: appliance.status() == 0)
    # None is kept but the one that runs and the one to go back to.
    assert versions(box, "releases") == ["0.1.8", "0.2.0"]
    assert versions(box, "venvs") == ["0.1.8", "0.2.0"]


def regions(box):
    """Return what tells regions from others of the same names."""
    return set(box.ssh.run("stat --format=%i,%W /dev/shm/spreadscan.*").stdout.split())


def versions(box, kind):
    """Return the versions of the releases or environments on disk."""
    names = box.ssh.run(f"ls -F /opt/spreadscan/{kind} | grep /$").stdout.split()
    return sorted(name.split("-")[0] for name in names)


def test_exchange_that_is_away_takes_no_release_back(
    box, workshop, variables, quick, appliance, way_to_mexc
):
    release = appliance.release()
    changed = with_setting(variables, "config", "engine", "open_net_bps", 6.0)
    inventory = write_inventory(
        workshop / "away.json", box.ssh,
        {**changed, "spreadscan_wheelhouses": str(workshop / "0.2.0")},
    )  # fmt: skip
    way_to_mexc.cut()

    recap = play("site.yml", inventory, *RELEASE_ALONE, environment=quick).require_success()

    assert "exchanges that do not answer: mexc_spot rest: " in recap.said, recap.output
    assert appliance.release() != release
    assert {name.split(" ")[0] for name in appliance.inactive()} <= {
        "feed@mexc-spot.service", "feed@mexc-futures.service",
    }  # fmt: skip
    way_to_mexc.open()
    appliance.wait("every unit active", lambda: not appliance.inactive())
    appliance.wait("all green", lambda: appliance.status() == 0)


def with_setting(variables, *path_and_value):
    """Return variables of an inventory with one setting changed."""
    *path, name, value = path_and_value
    settings = copy.deepcopy(variables["spreadscan_settings"])
    functools.reduce(lambda tree, key: tree.setdefault(key, {}), path, settings)[name] = value
    return {**variables, "spreadscan_settings": settings}


def test_release_that_alone_cannot_reach_an_exchange_is_not_let_in(
    box, workshop, variables, quick, appliance
):
    release, pids = appliance.release(), appliance.main_pids()
    mistyped = "ws://127.0.0.1:9/okx_spot"
    wrong = with_setting(variables, "exchanges", "exchanges", "okx", "spot", "ws_url", mistyped)
    inventory = write_inventory(
        workshop / "unreached.json", box.ssh,
        {**wrong, "spreadscan_wheelhouses": str(workshop / "0.2.0")},
    )  # fmt: skip

    recap = play("site.yml", inventory, *RELEASE_ALONE, environment=quick)

    assert recap.failed == 1
    assert f"found okx_spot websocket: {mistyped}: Connection refused" in recap.said, recap.output
    assert f"as {release} has it, which goes on running" in recap.said
    assert (appliance.release(), appliance.main_pids()) == (release, pids)


def test_release_that_does_not_work_is_rolled_back(
    box, workshop, variables, quick, appliance, wheelhouse
):
    release = appliance.release()
    broken = as_version(
        wheelhouse, workshop, "0.1.7", {"spreadscan/engine/process.py": BROKEN_ENGINE}
    )
    inventory = write_inventory(
        workshop / "broken.json", box.ssh,
        {**variables, "spreadscan_wheelhouses": str(broken.parent)},
    )  # fmt: skip

    recap = play("site.yml", inventory, *RELEASE_ALONE, environment=quick)

    assert recap.status != 0
    outcome = rf"release 0\.1\.7-\S+ failed at .*rolled back to {release}, which runs"
    assert re.search(outcome, recap.said), recap.output
    assert "this version does not work" in recap.said
    assert appliance.release() == release
    assert appliance.inactive() == []


def test_operator_goes_back_to_the_release_before(box, inventory, quick, appliance):
    release, before = appliance.release(), box.ssh.run("readlink /opt/spreadscan/previous").stdout

    play("rollback.yml", inventory, environment=quick).require_success()

    assert release != appliance.release() == Path(before.strip()).name
    assert appliance.inactive() == []
    appliance.wait("all green", lambda: appliance.status() == 0)
