"""A boot, and the end: what is taken off, what was measured."""

import sys

from plays import play

from test_box import STORY

pytestmark = STORY


def test_reboot_brings_everything_back_with_the_same_episodes(box, appliance):
    opened = appliance.open_episodes()

    box.reboot()
    appliance.wait("every unit active", lambda: not appliance.inactive())

    appliance.require_kept(opened)
    appliance.wait("all green", lambda: appliance.status() == 0)


def test_undeploy_leaves_the_data_and_with_purge_nothing(box, inventory, quick, appliance, before):
    play("undeploy.yml", inventory, environment=quick).require_success()
    kept = appliance.leavings() - before
    play(
        "undeploy.yml", inventory, "--extra-vars", "spreadscan_purge_data=true", environment=quick
    ).require_success()

    left = appliance.leavings()
    assert any(file.startswith("/var/lib/spreadscan/data/") for file in kept)
    assert {file for file in kept if not file.startswith("/var/lib/spreadscan/")} <= {
        "/etc/sysusers.d/spreadscan.conf"
    }
    assert left == before
    assert box.ssh.run("id spreadscan", check=False).returncode != 0
    assert "spread" not in box.ssh.run("ps -e -o comm").stdout


def test_measured(measured, record_property, capsys):
    """Show what the closing note of a run names: exposure, restart times, times of the plays."""
    with capsys.disabled():
        for name, value in measured.items():
            record_property(name, str(value))
            sys.stdout.write(f"\n{name}: {as_words(value)}")
    assert set(measured) == {
        "compaction_mib", "converge_s", "exposure", "restart_s", "second_run_s",
    }  # fmt: skip


def as_words(value):
    """Return a number, or numbers by name, to be read by people."""
    if isinstance(value, dict):
        return "".join(f"\n    {name:<32}{as_words(each)}" for name, each in value.items())
    return f"{value:.1f}"
