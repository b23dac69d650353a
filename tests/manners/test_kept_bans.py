"""Bans outlive the shared words: over new regions exactly, over a reboot by the wall clock."""

import logging
import os

import msgspec
import pytest

from spreadscan.config import load_config
from spreadscan.exchanges import source_named
from spreadscan.manners.allowances import allowances_of, governor_words
from spreadscan.manners.kept_bans import KeptBan, bans_folder, forget_bans, restore_bans
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.governor import Row, private_words

S = 1_000_000_000
HOST = "ws.okx.com:8443"


def banned(file, clock, seconds, in_a_row=1):
    """Keep a ban of so many seconds from now."""
    row = Row(private_words(), 0)
    for number in range(in_a_row):
        # Each after the end of the one before.
        row.ban(clock.monotonic_ns() - (in_a_row - number) * S, clock.monotonic_ns() - number * S)
    row.restore(clock.monotonic_ns() + seconds * S, in_a_row)
    KeptBan(file, row, clock).keep()


def restored(file, clock):
    """Return what new words know of it: seconds that are left, and bans in a row."""
    row = Row(private_words(), 0)
    left_s = KeptBan(file, row, clock).restore()
    assert left_s == max(0, row.banned_until_ns - clock.monotonic_ns()) / S
    return left_s, row.bans_in_a_row


def rewrite(file, **values):
    file.write_bytes(msgspec.json.encode(msgspec.json.decode(file.read_bytes()) | values))


@pytest.fixture
def file(tmp_path):
    return tmp_path / "bans" / "connect-x.json"


def test_new_words_in_the_same_boot_know_the_very_end_whatever_the_wall_clock_says(
    file, manual_clock
):
    banned(file, manual_clock, 300, in_a_row=3)
    manual_clock.advance(20)
    manual_clock.step_wall(-86_400)

    assert restored(file, manual_clock) == (280.0, 3)


@pytest.mark.parametrize(
    ("wall_step_s", "left_s"),
    [(20, 280.0), (299, 1.0), (301, 0.0), (-3_600, 300.0), (-4 * 86_400, 300.0)],
)
def test_reboot_leaves_what_the_wall_clock_says_and_never_more_than_the_whole_ban(
    file, manual_clock, wall_step_s, left_s
):
    banned(file, manual_clock, 300, in_a_row=2)
    rewrite(file, boot_id="another")
    manual_clock.step_wall(wall_step_s)

    assert restored(file, manual_clock) == (pytest.approx(left_s, abs=1e-3), 2)


def test_words_that_know_of_a_longer_ban_keep_it(file, manual_clock):
    banned(file, manual_clock, 300)
    row = Row(private_words(), 0)
    row.ban(manual_clock.monotonic_ns(), manual_clock.monotonic_ns() + 900 * S)

    KeptBan(file, row, manual_clock).restore()

    assert row.banned_until_ns == manual_clock.monotonic_ns() + 900 * S
    assert (row.bans, row.bans_in_a_row) == (1, 1)


def test_longer_ban_that_another_process_keeps_meanwhile_is_not_overwritten(file, manual_clock):
    row = Row(private_words(), 0)
    row.ban(manual_clock.monotonic_ns(), manual_clock.monotonic_ns() + 300 * S)

    class Overtaken:
        """Another process is told of a longer ban while this one writes the first."""

        has_been = False
        monotonic_ns = manual_clock.monotonic_ns

        def wall_ns(self):
            if not self.has_been:
                self.has_been = True
                row.ban(manual_clock.monotonic_ns(), manual_clock.monotonic_ns() + 900 * S)
                KeptBan(file, row, manual_clock).keep()
            return manual_clock.wall_ns()

    KeptBan(file, row, Overtaken()).keep()

    assert restored(file, manual_clock)[0] == 900.0


@pytest.fixture
def config(make_config):
    return load_config(make_config({}))


def gates_of(config, words, clock):
    allowances = allowances_of(config, source_named("okx_spot"), words)
    return allowances.connect_gate(clock), allowances.rest_gate(clock)


def test_ban_is_kept_for_its_address_and_while_it_holds_nobody_forgives_it(config):
    clock = SystemClock()
    connects, _ = gates_of(config, private_words(), clock)
    assert connects.refused(418, "300") == 300
    assert connects.refused(404, "") is None

    words = private_words()
    (line,) = restore_bans(config, words, clock)
    again, rest_again = gates_of(config, words, clock)
    assert line == f"{HOST}: banned (connect) for another 300 s"
    assert 299 < again.banned_s <= 300
    assert rest_again.banned_s == 0

    # Who is let in while it holds had asked before it.
    again.admitted()
    assert len(list(bans_folder(config).iterdir())) == 1


def test_forgiven_ban_is_kept_no_longer(config, manual_clock):
    gate, _ = gates_of(config, private_words(), manual_clock)
    gate.refused(418, "")
    manual_clock.advance(121)

    gate.admitted()

    assert list(bans_folder(config).iterdir()) == []


def test_ban_of_both_markets_at_one_host_is_one_and_of_either(config):
    clock, words = SystemClock(), private_words()
    allowances_of(config, source_named("okx_futures"), words).connect_gate(clock).refused(429, "60")

    assert gates_of(config, words, clock)[0].banned_s > 59
    assert len(list(bans_folder(config).iterdir())) == 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 200,
        b"{}",
        b'{"until_ns":1e999}',
        b'{"boot_id":"x","until_ns":1,"until_unix_s":1,"length_s":9e9,"in_a_row":1}',
        b'{"boot_id":"x","until_ns":-1,"until_unix_s":1,"length_s":1,"in_a_row":1}',
    ],
)
def test_damaged_file_is_one_line_and_stops_nobody(config, content):
    clock = SystemClock()
    connects, rest = gates_of(config, private_words(), clock)
    connects.refused(418, "300")
    rest.refused(418, "300")
    damaged = next(bans_folder(config).glob("connect-*"))
    damaged.write_bytes(content)

    lines = restore_bans(config, words := private_words(), clock)

    assert len(lines) == 2
    assert lines[0].startswith(f"{damaged}: found no ban that can be read (")
    assert "\n" not in lines[0]
    assert [gate.banned_s > 0 for gate in gates_of(config, words, clock)] == [False, True]


def test_folder_that_cannot_be_written_is_a_line_and_the_ban_holds(config, caplog):
    folder = bans_folder(config)
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where a folder should be")
    gate, _ = gates_of(config, private_words(), SystemClock())

    with caplog.at_level(logging.WARNING):
        gate.refused(429, "60")

    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}/connect-{HOST.replace(':', '-')}.json: a ban is not kept: {os.strerror(17)}"
    ]
    assert gate.banned_s > 59


def test_program_without_regions_knows_the_bans_that_were_kept(config, caplog):
    clock = SystemClock()
    gates_of(config, private_words(), clock)[0].refused(418, "300")

    words = governor_words(config)

    assert gates_of(config, words, clock)[0].banned_s > 299
    assert "banned (connect) for another 300 s" in caplog.text


def test_simulated_exchanges_that_begin_anew_have_banned_nobody(config):
    clock = SystemClock()
    forget_bans(config)
    gates_of(config, private_words(), clock)[0].refused(418, "300")

    forget_bans(config)

    assert restore_bans(config, private_words(), clock) == []
