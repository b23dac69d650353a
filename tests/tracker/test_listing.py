"""Universes that change under the tracker: what is delisted, what is late, what is ahead."""

import contextlib

import pytest

from spreadscan.model import SignalType
from spreadscan.ops.ledger import LedgerReader
from spreadscan.shm.counters import TrackerCounter
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.tracker.process import main

BTC, ETH, SOL = {7: "BTC-USDT"}, {8: "ETH-USDT"}, {9: "SOL-USDT"}


@pytest.fixture
def tracker(bench):
    with contextlib.closing(bench.tracker()) as subject:
        yield subject


def endings(bench):
    with LedgerReader(bench.data_dir) as reader:
        return {row.symbol: row.ending for row in reader.recent_episodes(50)}


def reload(bench, tracker):
    assert bench.reload()
    tracker.adopt_universe()


def test_reload_stores_the_ending_of_what_is_no_longer_listed(bench, tracker):
    bench.push()
    bench.push(symbol_id=8)
    tracker.step()
    bench.publish(ETH | SOL)

    reload(bench, tracker)

    assert endings(bench) == {"BTC-USDT": "delisted", "ETH-USDT": None}
    assert bench.counter(TrackerCounter.EPISODES_DELISTED) == 1
    assert bench.counter(TrackerCounter.EPISODES_OPEN) == 1


def test_close_that_waits_in_the_ring_at_a_reload_is_the_ending(bench, tracker):
    bench.push()
    tracker.step()
    bench.push(SignalType.CLOSE)
    bench.publish(ETH)

    reload(bench, tracker)

    assert endings(bench) == {"BTC-USDT": "converged"}


def test_start_with_another_universe_ends_what_it_does_not_list(bench, tracker):
    bench.push()
    bench.push(symbol_id=8)
    tracker.step()
    tracker.close()
    bench.publish(ETH)
    bench.reload()

    with contextlib.closing(bench.tracker()) as successor:
        successor.step()

    assert endings(bench) == {"BTC-USDT": "delisted", "ETH-USDT": None}


def test_close_that_waited_for_a_restart_into_another_universe_is_the_ending(bench, tracker):
    bench.push()
    tracker.step()
    tracker.close()
    bench.push(SignalType.CLOSE)
    bench.publish(ETH)
    bench.reload()

    with contextlib.closing(bench.tracker()) as successor:
        successor.step()

    assert endings(bench) == {"BTC-USDT": "converged"}


def test_signal_of_the_next_universe_is_given_its_name_before_anybody_asks_for_a_reload(
    bench, tracker
):
    tracker.step()
    bench.publish(BTC | SOL)

    bench.push(symbol_id=9)
    tracker.step()

    assert endings(bench) == {"SOL-USDT": None}
    assert bench.universe.generation == 2


def test_route_that_only_the_next_universe_lists_is_not_taken_for_a_delisted_one(bench, tracker):
    # Both symbols have names; the route over ETH does not exist yet.
    bench.universe = with_symbol_but_no_route(bench.universe, 8)
    with contextlib.closing(bench.tracker()) as successor:
        successor.step()
        bench.publish(BTC | ETH)

        bench.push(symbol_id=8)
        successor.step()

    assert endings(bench) == {"ETH-USDT": None}


def with_symbol_but_no_route(universe, symbol_id):
    (row,) = universe.directions
    symbols = tuple(number for number in row.symbols if number != symbol_id)
    row = type(row)(
        direction_id=row.direction_id, spot_source=row.spot_source,
        futures_source=row.futures_source, symbols=symbols,
    )  # fmt: skip
    return type(universe)(
        generation=universe.generation, timestamp="", symbols=universe.symbols, directions=(row,)
    )


def test_late_opening_of_a_symbol_that_left_is_stored_with_its_name_and_its_end(bench, tracker):
    tracker.step()
    bench.publish(ETH)
    reload(bench, tracker)

    bench.push(symbol_id=7)
    tracker.step()

    assert endings(bench) == {"BTC-USDT": "delisted"}


def test_universe_that_was_gone_back_to_counts_as_another_one(bench, tracker):
    bench.publish(BTC | SOL)
    reload(bench, tracker)
    bench.generation = 0
    bench.publish(BTC | ETH)

    bench.push(symbol_id=8)
    tracker.step()

    assert endings(bench) == {"ETH-USDT": None}
    assert bench.universe.generation == 1


def test_unknown_route_is_followed_until_it_expires_when_the_disk_tells_nothing(bench, tracker):
    tracker.step()
    (bench.folder / "metadata.json").unlink()
    bench.push(symbol_id=MAX_SYMBOLS - 1)

    tracker.step()
    bench.clock.advance(60)
    tracker.step()

    assert endings(bench) == {f"#{MAX_SYMBOLS - 1}": "expired"}


def test_damaged_universe_that_a_signal_points_to_is_tried_once(bench, tracker):
    tracker.step()
    bench.publish(BTC | SOL)
    (bench.folder / "symbols.bin").write_bytes(b"damaged")

    for _ in range(3):
        bench.push(symbol_id=9)
        tracker.step()

    assert bench.refused_reloads == 1
    assert bench.universe.generation == 1
    assert endings(bench) == {"#9": None}


def test_loop_goes_over_to_the_universe_it_is_told_to_read(bench):
    bench.push()
    bench.publish(ETH)
    bench.must_reload = True
    bench.ticks_left = 1

    main(bench)

    assert endings(bench) == {"BTC-USDT": "delisted"}


def test_loop_that_cannot_read_the_universe_goes_on_with_the_old_one(bench):
    bench.push()
    bench.publish(ETH)
    (bench.folder / "symbols.bin").write_bytes(b"damaged")
    bench.must_reload = True
    bench.ticks_left = 3

    main(bench)

    assert bench.refused_reloads == 1
    assert endings(bench) == {"BTC-USDT": None}
