"""What is held back and could not be stored, or came beside another command: it stays in force."""

import errno

import pytest
from ctl_cases import block, ctl

from spreadscan.holds import holds_file, read_holds
from spreadscan.ops import command, holding, holds_now, reload
from spreadscan.ops.operation_log import operations_file
from spreadscan.shm.init import main as shm_init

DIRECTION = "binance_spot_bybit_futures"


@pytest.fixture
def unstored(site):
    """A disk that takes no writes: a folder in the way of the file, for root too."""
    holds_file(site.config).with_suffix(".new").mkdir(parents=True)
    return site


@pytest.fixture
def killed(unstored):
    status, _, err = ctl(unstored, "kill", "--reason", "wrong prices")
    assert (status, block(unstored).is_killed) == (1, True)
    assert "lost with a restart" in err
    return unstored


@pytest.mark.parametrize("words", [("pause", "okx_spot"), ("pause",), ("kill",)])
def test_kill_that_could_not_be_stored_outlives_every_command_but_a_resume(killed, words):
    ctl(killed, *words)

    assert block(killed).is_killed


def test_resume_of_a_kill_that_could_not_be_stored_takes_a_reason(killed):
    refused, _, err = ctl(killed, "resume")
    still = block(killed).is_killed
    ctl(killed, "resume", "--reason", "prices are right")

    assert (refused, still) == (64, True)
    assert "killed (wrong prices): found no --reason" in err
    assert not block(killed).is_killed


def test_kill_that_could_not_be_stored_outlives_shm_init_on_living_regions(killed, capsys):
    assert shm_init(["--config", str(killed.config_file)]) == 0

    assert block(killed).is_killed
    assert "held back: killed, which is not stored: " in capsys.readouterr().out


def test_kill_that_could_not_be_stored_outlives_a_reload_while_a_name_is_held(site):
    ctl(site, "pause", "B-USDT")
    holds_file(site.config).with_suffix(".new").mkdir()
    ctl(site, "kill")

    reload.ask_for_reload(site.config)

    assert (block(site).is_killed, block(site).paused_symbols) == (True, 2)


def test_pauses_that_could_not_be_stored_outlive_the_next_one(unstored):
    for names in ((), ("okx_spot",), (DIRECTION,), ("A-USDT",), ("B-USDT",)):
        ctl(unstored, "pause", *names)

    found = block(unstored)
    assert (found.is_paused, found.paused_sources, found.paused_directions) == (True, 16, 1)
    assert found.paused_symbols == 3


def test_pause_that_could_not_be_stored_is_undone_by_its_name(unstored):
    ctl(unstored, "pause", "okx_spot", "A-USDT")
    ctl(unstored, "resume", "A-USDT")

    assert (block(unstored).paused_sources, block(unstored).paused_symbols) == (16, 0)


def test_board_knows_what_could_not_be_stored(unstored):
    before = holding.is_everything_held(unstored.config)
    ctl(unstored, "pause", "A-USDT")
    ctl(unstored, "pause")

    assert not before
    assert holding.is_everything_held(unstored.config)
    assert holding.held_names(unstored.config) == ("A-USDT",)


def test_kill_beside_a_pause_that_has_read_what_was_held_is_not_undone_by_it(site, monkeypatch):
    def read_and_hang(config):
        found = read_holds(config)
        holding.pull_brake(config)  # by another operator, who waits for no lock
        return found

    monkeypatch.setattr(holds_now, "read_holds", read_and_hang)
    ctl(site, "pause", "okx_spot")

    assert (block(site).is_killed, block(site).paused_sources) == (True, 16)


def test_reload_takes_back_nothing_of_a_pause_that_was_faster(site, monkeypatch):
    ctl(site, "pause", "B-USDT")
    take_lock = command.control_lock

    def take_lock_later(folder):
        monkeypatch.setattr(command, "control_lock", take_lock)
        ctl(site, "pause", "A-USDT")
        ctl(site, "kill")
        return take_lock(folder)

    monkeypatch.setattr(command, "control_lock", take_lock_later)
    reload.ask_for_reload(site.config)

    assert (block(site).is_killed, block(site).paused_symbols) == (True, 3)


def test_operation_that_cannot_be_noted_is_stored_all_the_same_and_said(site):
    operations_file(site.config).mkdir(parents=True)

    status, _, err = ctl(site, "pause")

    assert status == 1
    noted = f"not noted in {operations_file(site.config)}: Is a directory"
    assert err == f"spread-ctl: in force, but {noted}\n"
    assert read_holds(site.config)[0].everything


def test_full_disk_that_names_no_file_is_told_with_the_file(site, monkeypatch):
    def refuse(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", refuse)
    status, _, err = ctl(site, "pause")

    assert status == 1
    assert f"lost with a restart: {holds_file(site.config)}: No space left on device" in err
