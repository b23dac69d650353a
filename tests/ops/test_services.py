"""What systemd is asked for where it keeps the programs: by a systemctl that writes it down."""

import threading

import pytest

from spreadscan.config import load_config
from spreadscan.ops import services
from spreadscan.ops.logs import journal_command
from spreadscan.ops.services import Keeper, SteeringRefused, keeper_of, shutdown, steer
from spreadscan.runtime.lock import RoleLock


@pytest.fixture
def config(make_config):
    return load_config(make_config({}))


@pytest.fixture
def systemd(tmp_path, monkeypatch):
    """A host that systemd runs; returns how its systemctl ends, and what it was asked."""
    folder = tmp_path / "bin"
    folder.mkdir()
    asked = folder / "asked"

    def ends(status, said=""):
        script = folder / "systemctl"
        script.write_text(f"#!/bin/sh\necho \"$@\" >> {asked}\necho '{said}' >&2\nexit {status}\n")
        script.chmod(0o755)

    ends(0)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(services, "SYSTEMD_RUNS", folder)
    return ends, lambda: asked.read_text().splitlines()


def test_programs_are_asked_for_by_their_units(config, systemd):
    _, asked = systemd

    one = steer(config, "restart", ["okx_spot", "spread-engine"], 0.3)
    steer(config, "start", [], 0.3)

    # It is done when locks and slots show it, whatever systemctl says.
    assert one.late == one.programs
    assert (one.keeper, one.programs) == (Keeper.SYSTEMD, ("feed-okx-spot", "spread-engine"))
    assert asked() == [
        "restart feed@okx-spot.service spread-engine.service", "start spreadscan.target",
    ]  # fmt: skip


def test_shutdown_stops_the_target(config, systemd):
    _, asked = systemd
    lock = RoleLock(config.path(config.runtime.run_dir), "spread-engine")

    outcome = shutdown(config, 0.3)
    lock.release()
    lock = RoleLock(config.path(config.runtime.run_dir), "spread-engine")
    threading.Timer(0.5, lock.release).start()
    ended = shutdown(config, 5.0)

    assert outcome.programs == outcome.late == ("spread-engine",)
    assert ended.late == ()
    assert asked() == ["stop spreadscan.target"] * 2


def test_what_systemd_refuses_is_told_in_its_words(config, systemd):
    ends, _ = systemd
    ends(5, "Unit spread-engine.service not found.")

    with pytest.raises(
        SteeringRefused, match=r"Unit spread-engine\.service not found\."
    ) as refused:
        steer(config, "stop", ["spread-engine"], 5.0)

    assert refused.value.exit_code == 75


def test_simulated_pipeline_is_never_systemds_and_a_supervisor_comes_first(
    config, make_config, systemd
):
    simulated = load_config(make_config({}), is_sim=True)
    lock = RoleLock(config.path(config.runtime.run_dir), "spreadscan-up")

    supervised = keeper_of(config)
    lock.release()

    assert keeper_of(simulated) is Keeper.NOBODY
    assert supervised is Keeper.SUPERVISOR
    assert keeper_of(config) is Keeper.SYSTEMD


def test_journal_is_asked_for_the_same_units():
    assert journal_command(["feed-okx-spot", "spread-engine"], 20, follows=True) == [
        "journalctl", "--no-pager", "--lines=20", "--follow",
        "--unit=feed@okx-spot.service", "--unit=spread-engine.service",
    ]  # fmt: skip
