"""A recording replayed gives what the pipeline would have signalled, always the same."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from replay_cases import FUTURES, SECOND_NS, SPOT, START_NS, Recording, futures, spot
from universe_cases import DIRECTION, LIFE, PEPE, universe

from spreadscan.config import load_config
from spreadscan.errors import UniverseError
from spreadscan.model import SlotFlag
from spreadscan.ops.replay import replay
from spreadscan.rawlog import Confirmed, Lost, Mark, RecordingError

SYMBOL_ID = PEPE.symbol_id


@pytest.fixture
def config(make_config):
    return load_config(make_config({"tracker.max_life_s": 60.0}))


@pytest.fixture
def recording(tmp_path):
    return Recording(tmp_path / "record")


@pytest.fixture
def replayed(config, recording):
    """Replay and return the summary and the signals."""

    def run(**more):
        out = io.BytesIO()
        found = replay(recording.root, config, out=out, **more)
        return found, [json.loads(line) for line in out.getvalue().splitlines()]

    return run


def kinds(signals):
    return [signal["signal"] for signal in signals]


def at_s(signal):
    return (signal["time_ns"] - START_NS) / SECOND_NS


def test_spread_opens_and_closes_at_the_times_of_its_frames(recording, replayed):
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), until_s=3.0)
    recording.write(
        FUTURES, universe(), (1.0, futures(1.02, 1)), (2.0, futures(0.99, 2)), until_s=3.0
    )

    found, signals = replayed()

    assert kinds(signals) == ["open", "close"]
    assert [at_s(signal) for signal in signals] == [1.0, 2.0]
    opening = signals[0]
    assert (opening["symbol"], opening["spot_ask"]) == ("PEPE-USDT", 1.0)
    assert opening["futures_bid"] == pytest.approx(1.02)
    assert (opening["spot_age_us"], opening["futures_age_us"]) == (1_000_000, 0)
    assert found["signals"] == {"open": 1, "update": 0, "close": 1}
    assert found["episodes"]["opened"] == found["episodes"]["converged"] == 1
    assert found["sources"][SPOT] == {"sessions": 1, "frames": 1, "quotes": 1, "gaps": 0}
    assert (found["frames"], found["recorded_s"], found["universes"]) == (3, 3.0, [1])


def test_two_replays_are_the_same_byte_for_byte(recording, config):
    for source, frame, factor in ((SPOT, spot, 1.0), (FUTURES, futures, 1.004)):
        lines = [
            (0.01 * number, frame(factor * (1 + number * 7919 % 100 / 10_000), number))
            for number in range(1_000)
        ]
        recording.write(source, universe(), *lines, until_s=10.0)
    first, second = io.BytesIO(), io.BytesIO()

    summaries = [replay(recording.root, config, out=out) for out in (first, second)]

    assert len(first.getvalue().splitlines()) > 100
    assert first.getvalue() == second.getvalue()
    assert summaries[0] == summaries[1]


def test_nothing_is_left_in_shared_memory(recording, replayed):
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)))
    before = set(Path("/dev/shm").glob("replay-*"))

    replayed()

    assert set(Path("/dev/shm").glob("replay-*")) <= before


def test_symbol_marked_unusable_signals_only_after_its_next_quote(recording, replayed):
    gone = Mark(symbol_id=SYMBOL_ID, flag=SlotFlag.DISCONNECTED)
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), (1.0, gone), (3.0, spot(1.0, 1)))
    recording.write(FUTURES, universe(), (2.0, futures(1.02, 1)), until_s=9.0)

    _, signals = replayed()

    assert [(signal["signal"], at_s(signal)) for signal in signals] == [("open", 3.0)]


@pytest.mark.parametrize("count", [0, 12])
def test_where_entries_are_missing_every_symbol_is_unusable(recording, replayed, count):
    lost = Lost(count=count)
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), (1.0, lost), (3.0, spot(1.0, 2)))
    recording.write(FUTURES, universe(), (2.0, futures(1.02, 1)), until_s=9.0)

    found, signals = replayed()

    assert [at_s(signal) for signal in signals] == [3.0]
    assert found["sources"][SPOT]["gaps"] == 1


def test_segment_that_is_missing_in_the_middle_is_a_gap(recording, replayed):
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)))
    recording.write(SPOT, universe(), (1.0, spot(1.0, 2))).unlink()
    recording.write(SPOT, universe(), (4.0, spot(1.01, 3)))
    recording.write(FUTURES, universe(), (2.0, futures(1.005, 1)), until_s=9.0)

    found, signals = replayed()

    assert found["sources"][SPOT] == {"sessions": 1, "frames": 2, "quotes": 2, "gaps": 1}
    assert signals == []


def test_killed_feed_loses_its_prices_and_a_new_one_begins_anew(recording, replayed):
    file = recording.write(SPOT, universe(), (0.0, spot(1.0, 9)), (1.0, spot(1.0, 10)))
    # Cut off in the middle, as by kill -9.
    file.write_bytes(file.read_bytes()[:-10])
    recording.write(SPOT, universe(), (3.0, spot(1.0, 1)), session="s2")
    recording.write(FUTURES, universe(), (2.0, futures(1.02, 1)), until_s=9.0)

    found, signals = replayed()

    # A lower update id than that of the first life: it counts for nothing in the second.
    assert [(signal["signal"], at_s(signal)) for signal in signals] == [("open", 3.0)]
    assert found["sources"][SPOT]["sessions"] == 2
    assert signals[0]["spot_epoch"] == 3


def test_reload_in_the_middle_changes_ids_for_everybody(recording, replayed):
    renumbered = universe(
        2,
        symbols=(
            msgspec.structs.replace(PEPE, symbol_id=3),
            LIFE,
        ),
        directions=(msgspec.structs.replace(DIRECTION, symbols=(3,)),),
    )
    old = Mark(symbol_id=SYMBOL_ID, flag=SlotFlag.UNSUBSCRIBED)
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)))
    recording.write(SPOT, renumbered, (5.0, old), (5.5, spot(1.0, 2)), until_s=6.0)
    recording.write(FUTURES, universe(), (1.0, futures(1.02, 1)))
    recording.write(FUTURES, renumbered, (5.1, old), (5.6, futures(1.02, 2)), until_s=6.0)

    found, signals = replayed()

    assert [(row["symbol_id"], row["symbol"]) for row in signals] == [
        (SYMBOL_ID, "PEPE-USDT"),
        (3, "PEPE-USDT"),
    ]
    assert found["universes"] == [1, 2]
    # The same route by name: one episode, signalled again under its new number.
    assert found["episodes"]["opened"] == found["episodes"]["open"] == 1


def test_wall_clock_that_was_set_between_two_starts_moves_nothing(recording, replayed):
    hour_ns = 3600 * SECOND_NS
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), (2.0, spot(1.0, 2)))
    recording.write(
        FUTURES, universe(), (3601.0, futures(1.02, 1)), offset_ns=hour_ns, session="s2"
    )

    found, signals = replayed()

    # binance_futures has the lower id, so its clock is the one that is shown.
    assert [at_s(signal) for signal in signals] == [3601.0]
    assert signals[0]["spot_age_us"] == 1_000_000
    assert found["recorded_s"] == 2.0


def test_stale_leg_of_the_recording_is_stale_in_the_replay(recording, replayed, config):
    late_s = config.engine.max_leg_age_ms / 1000 + 1
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), until_s=late_s + 1)
    recording.write(FUTURES, universe(), (late_s, futures(1.02, 1)))

    _, signals = replayed()

    assert signals == []


def test_held_price_is_not_used_when_what_was_asked_says_otherwise(recording, replayed):
    jump = Confirmed(symbol_id=SYMBOL_ID, price=1.3)
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), until_s=9.0)
    recording.write(
        FUTURES,
        universe(),
        (1.0, futures(0.9, 1)),
        (2.0, futures(1.1, 2)),
        (3.0, jump),
        until_s=9.0,
    )

    _, signals = replayed()

    assert signals == []


def test_held_price_is_used_from_the_moment_it_was_borne_out(recording, replayed):
    jump = Confirmed(symbol_id=SYMBOL_ID, price=1.1)
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), until_s=9.0)
    recording.write(
        FUTURES,
        universe(),
        (1.0, futures(0.9, 1)),
        (2.0, futures(1.1, 2)),
        (3.0, jump),
        until_s=9.0,
    )

    _, signals = replayed()

    assert [(signal["signal"], at_s(signal)) for signal in signals] == [("open", 3.0)]


def test_episode_that_outlives_its_time_expires_in_virtual_time(recording, replayed):
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), until_s=90.0)
    recording.write(FUTURES, universe(), (0.5, futures(1.02, 1)), until_s=90.0)

    found, _ = replayed()

    assert found["episodes"]["expired"] == 1


def test_universe_of_the_command_line_stands_for_all_recorded_ones(recording, replayed, tmp_path):
    other = Recording(tmp_path / "other")
    name = other.keep(universe(7, symbols=(LIFE,), directions=()))
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)))

    found, _ = replayed(universe=other.root / "universe" / name)

    assert found["universes"] == [7]
    assert found["sources"][SPOT]["quotes"] == 0


def test_folder_without_a_recording_is_refused(config, tmp_path):
    with pytest.raises(RecordingError, match="no segment of any source"):
        replay(tmp_path, config)


def test_recording_whose_heads_are_gone_is_refused(recording, config):
    file = recording.write(SPOT, universe(), (0.0, spot(1.0, 1)))
    file.write_bytes(b"")

    with pytest.raises(RecordingError, match="no readable segment"):
        replay(recording.root, config)


def test_universe_that_is_gone_is_named(recording, config):
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)))
    for file in (recording.root / "universe").glob("*/*"):
        file.unlink() if file.is_symlink() or file.is_file() else None

    with pytest.raises(UniverseError, match="no such file"):
        replay(recording.root, config)
