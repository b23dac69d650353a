"""The tracker's loop on real regions and a real ledger; only time is injected."""

import contextlib
import sqlite3

import pytest
from tracker_bench import SLOT, Bench

from spreadscan.model import SignalType, SlotFlag
from spreadscan.ops.history import History
from spreadscan.ops.ledger import LedgerReader
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.counters import Histogram, TrackerCounter
from spreadscan.shm.health import HealthReader
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions, create_regions, remove_regions
from spreadscan.shm.ring import DRAIN_BATCH, RingReader
from spreadscan.tracker import journal
from spreadscan.tracker.legs import LivingPipeline
from spreadscan.tracker.parts import ledger_parts
from spreadscan.tracker.process import main, next_due

SECOND_NS = 1_000_000_000


@pytest.fixture
def tracker(bench):
    with contextlib.closing(bench.tracker()) as subject:
        yield subject


def restarted(tracker, bench):
    tracker.close()
    return bench.tracker()


def test_signal_becomes_a_stored_episode_and_leaves_the_ring(bench, tracker):
    bench.push()

    tracker.step()

    assert bench.counts() == (1, 1, 0, 0)
    assert RingReader(bench.regions.ring).depth() == 0
    assert bench.counter(TrackerCounter.EPISODES_OPENED) == 1
    assert bench.counter(TrackerCounter.EPISODES_OPEN) == 1
    health = HealthReader(bench.regions.health)
    for waited in (Histogram.TRACKER_SIGNAL_TO_LEDGER, Histogram.TRACKER_RING_TO_TRACKER):
        assert sum(health.buckets(SLOT, waited)) == 1


def test_open_episode_is_snapshotted_from_the_price_store(bench, tracker):
    bench.push()
    bench.put_prices(spread_bps=80.0)

    tracker.step()
    bench.clock.advance(0.2)
    tracker.step()

    with LedgerReader(bench.data_dir) as reader:
        (episode,) = reader.open_episodes(5)
        path = History(bench.data_dir).path(episode.episode_id)
    fee_bps = bench.config.round_trip_fees(bench.direction).usual_bps
    assert [point.t_ms for point in path] == [0, 200]
    assert path[1].gross_bps == pytest.approx(80.0)
    assert path[1].net_bps == pytest.approx(80.0 - fee_bps)
    assert bench.counter(TrackerCounter.SNAPSHOTS) == 2


def test_spread_that_is_gone_on_fresh_quotes_converges(bench, tracker):
    bench.push()
    bench.put_prices(spread_bps=0.0)

    tracker.step()

    assert bench.counts() == (1, 0, 1, 0)
    assert bench.counter(TrackerCounter.EPISODES_CONVERGED) == 1


@pytest.mark.parametrize(
    "unfit", [{"age_ns": 11 * SECOND_NS}, {"flags": SlotFlag.DISCONNECTED}], ids=["stale", "cut"]
)
def test_spread_that_is_gone_on_unusable_quotes_expires_only(bench, tracker, unfit):
    bench.push()
    tracker.step()

    for _ in range(59):
        bench.put_prices(spread_bps=0.0, **unfit)
        tracker.step()
        bench.clock.advance(1)
    before = bench.counts()
    bench.clock.advance(1)
    tracker.step()

    assert before == (1, 1, 0, 0)
    assert bench.counts() == (1, 0, 0, 1)


def test_dead_feed_converges_nothing(bench, tracker):
    bench.push()
    bench.put_prices(spread_bps=0.0)
    bench.set_epoch(bench.direction.spot_source, 4)

    tracker.step()

    assert bench.counts() == (1, 1, 0, 0)


@pytest.mark.parametrize("name", ["spread-engine", "feed-okx-spot", "feed-binance-futures"])
def test_prices_that_a_dead_process_left_converge_nothing(bench, tracker, name):
    bench.push()
    bench.put_prices(spread_bps=0.0)
    bench.neighbours.kill(name)

    tracker.step()
    before = bench.counts()
    bench.neighbours.begin(name)
    tracker.step()

    assert before == (1, 1, 0, 0)
    assert bench.counter(TrackerCounter.EPISODES_CONVERGED) == 1


def test_prices_of_a_feed_that_is_replaced_during_the_look_converge_nothing(
    bench, tracker, monkeypatch
):
    ask = LivingPipeline.living_sources

    def replaced_meanwhile(pipeline):
        bench.set_epoch(bench.direction.spot_source, 5)
        return ask(pipeline)

    monkeypatch.setattr(LivingPipeline, "living_sources", replaced_meanwhile)
    bench.push()
    bench.put_prices(spread_bps=0.0)

    tracker.step()

    assert bench.counts() == (1, 1, 0, 0)


@pytest.mark.parametrize("name", ["spread-engine", "feed-okx-spot"])
def test_prices_under_a_process_that_hangs_converge_nothing(bench, tracker, name):
    bench.push()
    bench.put_prices(spread_bps=0.0)
    silence_ns = bench.config.engine.feed_silence_ms * 1_000_000
    bench.neighbours.beat(name, bench.clock.monotonic_ns() - silence_ns - 1)

    tracker.step()

    assert bench.counts() == (1, 1, 0, 0)


def test_leg_that_the_engine_calls_frozen_converges_nothing_until_it_moves(bench, tracker):
    bench.push()
    bench.put_prices(spread_bps=0.0)
    bench.freeze(bench.direction.futures_source)

    tracker.step()
    before = bench.counts()
    bench.freeze(bench.direction.futures_source, is_frozen=False)
    tracker.step()

    assert before == (1, 1, 0, 0)
    assert bench.counts() == (1, 0, 1, 0)


def test_spread_that_cannot_be_true_converges_nothing(bench, tracker):
    bench.push()
    bench.put_prices(spread_bps=-bench.config.engine.max_spread_bps - 1)

    tracker.step()

    assert bench.counts() == (1, 1, 0, 0)


def test_restart_resumes_the_same_episodes(bench, tracker):
    bench.push()
    tracker.step()
    with LedgerReader(bench.data_dir) as reader:
        before = [row.episode_id for row in reader.open_episodes(5)]

    again = restarted(tracker, bench)
    bench.push()
    again.step()
    again.close()

    with LedgerReader(bench.data_dir) as reader:
        after = reader.open_episodes(5)
    assert [row.episode_id for row in after] == before
    assert after[0].re_signals == 1


def test_signals_committed_but_not_yet_released_are_not_applied_twice(bench, tracker, monkeypatch):
    for kind in (SignalType.OPEN, SignalType.CLOSE, SignalType.OPEN):
        bench.push(kind)
    # Death between the commit and the ring's release.
    monkeypatch.setattr(RingReader, "advance", lambda self, count: None)
    tracker.step()
    monkeypatch.undo()
    backlog = RingReader(bench.regions.ring).depth()

    again = restarted(tracker, bench)
    again.step()
    again.close()

    assert backlog == 3
    assert bench.counts() == (2, 1, 1, 0)
    assert RingReader(bench.regions.ring).depth() == 0


def test_signals_applied_but_not_committed_are_applied_again(bench, tracker, monkeypatch):
    bench.push()
    monkeypatch.setattr(
        "spreadscan.tracker.store.EpisodeStore.commit",
        lambda self, batch: (_ for _ in ()).throw(sqlite3.OperationalError("disk I/O error")),
    )
    tracker.step()
    monkeypatch.undo()
    before = bench.counts()

    again = restarted(tracker, bench)
    again.step()
    again.close()

    assert before == (0, 0, 0, 0)
    assert bench.counts() == (1, 1, 0, 0)


def test_ring_made_anew_is_read_from_its_beginning(bench, tracker):
    for _ in range(5):
        bench.push()
    tracker.step()
    tracker.close()
    bench.neighbours.close()
    remove_regions(bench.config.shm)
    create_regions(bench.config.shm)
    regions = attach_regions(bench.config.shm, reads=(), writes=tuple(RegionKind), timeout_s=0)
    second = Bench(bench.config, regions, bench.clock)
    second.push(symbol_id=8)

    with contextlib.closing(second.tracker()) as again:
        again.step()

    second.neighbours.close()
    assert bench.counts() == (2, 2, 0, 0)


def test_locked_ledger_degrades_loudly_loses_nothing_and_recovers(bench, tracker, caplog):
    blocker = sqlite3.connect(bench.ledger_file(), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    bench.push()
    bench.put_prices(spread_bps=80.0)

    for _ in range(3):
        tracker.step()
        bench.clock.advance(0.2)
    degraded = bench.shown_status()
    backlog = RingReader(bench.regions.ring).depth()
    blocker.execute("ROLLBACK")
    blocker.close()
    tracker.step()

    assert degraded.startswith("degraded: cannot store: database is locked")
    assert backlog == 1
    assert bench.counts() == (1, 1, 0, 0)
    # The second attempt after 0.2 s, the third 0.4 s later: they come ever more seldom.
    assert bench.counter(TrackerCounter.COMMITS_FAILED) == 2
    assert bench.shown_status() == "storing"
    with LedgerReader(bench.data_dir) as reader:
        (episode,) = reader.open_episodes(5)
        assert [point.t_ms for point in History(bench.data_dir).path(episode.episode_id)] == [
            0,
            200,
            400,
            600,
        ]
    assert [entry.levelname for entry in caplog.records] == ["ERROR", "WARNING"]


def test_path_points_beyond_the_bound_are_dropped_and_counted(bench, tracker, caplog, monkeypatch):
    # Two frames of a point each: what a frame costs beside its points counts too.
    bound = 2 * (1 + journal.FRAME_POINTS)
    monkeypatch.setattr(journal, "MAX_PENDING_POINTS", bound)
    blocker = sqlite3.connect(bench.ledger_file(), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    bench.push()
    bench.put_prices(spread_bps=80.0)

    for _ in range(5):
        tracker.step()
        bench.clock.advance(0.2)
    blocker.execute("ROLLBACK")
    blocker.close()
    bench.clock.advance(journal.MAX_RETRY_NS / 1e9)
    tracker.step()

    assert "4 path points were dropped" in caplog.text
    assert bench.counts() == (1, 1, 0, 0)


def test_damage_met_while_running_keeps_every_open_episode(bench, tracker, caplog):
    bench.push()
    tracker.step()
    # A failed commit makes the store let go of the file, so that the next one meets the damage.
    blocker = sqlite3.connect(bench.ledger_file(), isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    bench.push()
    tracker.step()
    blocker.close()
    bench.clock.advance(0.2)
    (bench.ledger_file()).write_bytes(b"not a database " * 500)

    tracker.step()
    tracker.step()

    assert bench.counts() == (1, 1, 0, 0)
    assert len(list(bench.data_dir.glob("*.damaged-*"))) >= 1
    assert sum("set aside as" in entry.message for entry in caplog.records) == 1


def test_damaged_ledger_at_start_is_set_aside_with_one_line(bench, caplog):
    bench.data_dir.mkdir(parents=True)
    (bench.data_dir / "ledger-000001-2025-06-15.sqlite3").write_bytes(b"not a database " * 500)

    with contextlib.closing(bench.tracker()) as tracker:
        bench.push()
        tracker.step()

    (line,) = [entry for entry in caplog.records if entry.levelname == "ERROR"]
    assert "damaged" in line.message
    assert ".damaged-" in line.message
    assert bench.counts() == (1, 1, 0, 0)


def test_our_own_mistake_in_the_ledger_is_not_taken_for_a_full_disk(bench, tracker, monkeypatch):
    bench.push()
    monkeypatch.setattr(
        "spreadscan.tracker.store.EpisodeStore.commit",
        lambda self, batch: (_ for _ in ()).throw(sqlite3.IntegrityError("CHECK failed")),
    )

    with pytest.raises(sqlite3.IntegrityError):
        tracker.step()


def newest_first(bench):
    with LedgerReader(bench.data_dir) as reader:
        return [(row.symbol, row.ending, row.previous_id) for row in reader.recent_episodes(5)]


def test_kill_halts_what_is_open_and_no_signal_is_taken_until_it_is_lifted(bench, tracker):
    bench.push()
    tracker.step()
    control = ControlWriter(bench.regions.control)
    control.command(KILL=1)
    bench.push(symbol_id=8)
    bench.push(SignalType.CLOSE)

    tracker.drain()
    killed = bench.counts()
    depth = RingReader(bench.regions.ring).depth()
    tracker.step()
    control.command(KILL=0)
    bench.push(symbol_id=8)
    tracker.step()

    assert killed == (1, 0, 0, 0)
    assert depth == 0
    assert [row[:2] for row in newest_first(bench)] == [("ETH-USDT", None), ("BTC-USDT", "halted")]
    assert bench.counter(TrackerCounter.EPISODES_HALTED) == 1
    assert bench.counter(TrackerCounter.SIGNALS_WITHHELD) == 2


def test_kill_that_was_lifted_between_two_turns_halts_what_was_open(bench, tracker):
    bench.push()
    tracker.step()
    control = ControlWriter(bench.regions.control)
    control.command(KILL=1)
    control.command(KILL=0)

    tracker.drain()
    bench.push(symbol_id=8)
    tracker.step()
    bench.clock.advance(1)
    tracker.step()

    assert [row[:2] for row in newest_first(bench)] == [("ETH-USDT", None), ("BTC-USDT", "halted")]
    assert bench.counter(TrackerCounter.EPISODES_HALTED) == 1


def test_kill_that_was_lifted_while_no_tracker_ran_halts_what_was_open(bench, tracker):
    bench.push()
    tracker.step()
    tracker.close()
    bench.push(symbol_id=8)
    control = ControlWriter(bench.regions.control)
    control.command(KILL=1)
    control.command(KILL=0)
    bench.clock.advance(5)

    again = bench.tracker()
    again.step()
    halted = newest_first(bench)
    withheld = bench.counter(TrackerCounter.SIGNALS_WITHHELD)
    bench.clock.advance(1)
    bench.push(SignalType.UPDATE)
    again = restarted(again, bench)
    again.step()
    again.close()

    assert [row[:2] for row in halted] == [("BTC-USDT", "halted")]
    assert withheld == 1
    (reopened, before) = newest_first(bench)
    assert reopened[:2] == ("BTC-USDT", None)
    assert reopened[2] is not None
    assert before == halted[0]


@pytest.mark.parametrize(("of_another_block", "kills"), [(False, 0), (True, 0), (True, 1)])
def test_kills_that_an_earlier_tracker_followed_end_nothing_again(
    bench, tracker, of_another_block, kills
):
    control = ControlWriter(bench.regions.control)
    for _ in range(kills if of_another_block else 1):
        control.command(KILL=1)
        control.command(KILL=0)
    tracker.step()
    bench.push()
    tracker.step()
    tracker.close()
    if of_another_block:
        with contextlib.closing(sqlite3.connect(bench.ledger_file())) as ledger, ledger:
            ledger.execute("UPDATE meta SET value = 1 WHERE key = 'control_created_ns'")

    again = bench.tracker()
    again.step()
    again.close()

    # Of a control block that was made anew, every kill is one that nobody followed.
    assert newest_first(bench)[0][1] == ("halted" if kills else None)


def test_ledger_that_says_nothing_of_kills_goes_on(bench, tracker):
    control = ControlWriter(bench.regions.control)
    control.command(KILL=1)
    control.command(KILL=0)
    tracker.step()
    bench.push()
    tracker.step()
    tracker.close()
    with contextlib.closing(sqlite3.connect(bench.ledger_file())) as ledger, ledger:
        ledger.execute("DELETE FROM meta WHERE key IN ('control_created_ns', 'kills')")

    again = bench.tracker()
    again.step()
    again.close()

    assert bench.counts() == (1, 1, 0, 0)


def test_opening_is_stored_before_the_next_look(bench, tracker):
    bench.push()

    tracker.drain()

    assert bench.counts() == (1, 1, 0, 0)
    assert RingReader(bench.regions.ring).depth() == 0


def test_day_that_begins_gets_a_part_of_its_own_with_what_is_open(bench, tracker):
    bench.push()
    bench.push(symbol_id=8)
    bench.put_prices(spread_bps=80.0)
    tracker.step()
    bench.clock.step_wall(86_400)
    bench.push(SignalType.CLOSE, symbol_id=8)

    tracker.step()

    assert [part.day for part in ledger_parts(bench.data_dir)] == ["2025-06-15", "2025-06-16"]
    assert bench.counts() == (2, 1, 1, 0)
    with LedgerReader(bench.data_dir) as reader:
        (episode,) = reader.open_episodes(5)
        path = History(bench.data_dir).path(episode.episode_id)
    assert len(path) == 1  # both looks were at the same instant of the steady clock


@pytest.mark.parametrize(
    ("part_day", "is_another"),
    [("2025-06-14", True), ("2025-06-15", False), ("2025-06-16", False), ("2025-06-17", True)],
)
def test_part_of_another_day_is_succeeded_but_for_a_clock_that_stepped_back_over_midnight(
    part_day, is_another
):
    assert journal.is_another_day(part_day, 1_750_000_000 * SECOND_NS) is is_another


@pytest.mark.parametrize("hours", [1, -1])
def test_step_of_the_wall_clock_ends_nothing_and_changes_no_duration(bench, tracker, hours):
    bench.push()
    bench.put_prices(spread_bps=80.0)
    tracker.step()
    bench.clock.step_wall(hours * 3600)
    bench.clock.advance(2)
    tracker.step()
    again = restarted(tracker, bench)
    bench.clock.step_wall(-2 * hours * 3600)
    bench.clock.advance(1)
    bench.put_prices(spread_bps=80.0)
    again.step()
    bench.push(SignalType.CLOSE)
    again.step()
    again.close()

    with LedgerReader(bench.data_dir) as reader:
        (episode,) = reader.recent_episodes(5)
    assert (episode.ending, episode.life_ns) == ("converged", 3 * SECOND_NS)
    assert (episode.gaps, episode.suspended_ns) == (1, SECOND_NS)
    assert bench.counts() == (1, 0, 1, 0)


def test_backlog_of_many_batches_is_drained_in_one_tick(bench, tracker):
    for number in range(DRAIN_BATCH * 2 + 10):
        bench.push(SignalType.CLOSE if number % 2 else SignalType.OPEN)

    tracker.step()

    assert bench.counts() == (DRAIN_BATCH + 5, 0, DRAIN_BATCH + 5, 0)
    assert RingReader(bench.regions.ring).depth() == 0


def test_record_that_cannot_be_true_is_counted_and_passed_over(bench, tracker):
    bench.push(net_bps=float("nan"))
    bench.push(SignalType.CLOSE, symbol_id=8)
    bench.push()

    tracker.step()

    assert bench.counts() == (1, 1, 0, 0)
    assert bench.counter(TrackerCounter.SIGNALS_REFUSED) == 1
    assert bench.counter(TrackerCounter.SIGNALS_IGNORED) == 1


def test_loop_ticks_on_schedule_and_stores_the_last_signals_when_told_to_stop(bench):
    bench.ticks_left = 45
    bench.push()

    main(bench)

    assert bench.ready_statuses == ["storing"]
    assert bench.counter(TrackerCounter.TICKS) == 5
    assert bench.counter(TrackerCounter.TICKS_OVERRUN) == 0
    assert max(bench.waited_s) <= 0.1
    assert bench.counts() == (1, 1, 0, 0)


def test_stop_before_the_first_tick_still_stores_what_waits_in_the_ring(bench):
    bench.push()

    main(bench)

    assert bench.counts() == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("now_ns", "expected"),
    [(1000, (1200, 0)), (1199, (1200, 0)), (1200, (1400, 1)), (1650, (1800, 3))],
)
def test_missed_ticks_are_skipped_and_the_schedule_does_not_shift(now_ns, expected):
    assert next_due(1000, now_ns, 200) == expected
