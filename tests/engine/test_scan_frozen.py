"""A venue that repeats an old book while its symbol moves elsewhere is not believed."""

import time

import pytest
from engine_cases import EPOCH, FEE_BPS

from spreadscan.model import SignalType
from spreadscan.shm.counters import EngineCounter, Gate
from spreadscan.shm.price_store import slot_of

OPEN = SignalType.OPEN
SYMBOL = 7
SECOND = 1_000_000_000
# The frozen leg, and its own exchange's other market.
FROZEN, SIBLING = 4, 5
OTHERS = (0, 1, 2, 3, 6, 7)


class Exchanges:
    """One symbol at all sources, quoted once a second."""

    def __init__(self, market, sources=range(8)):
        self.market = market
        self.sources = list(sources)
        self.now_ns = time.monotonic_ns()
        pairs = [
            (spot, futures)
            for spot in self.sources
            for futures in self.sources
            if spot % 2 == 0 and futures % 2 and spot // 2 != futures // 2
        ]
        self.middle = {}
        self.number_of = {pair: number for number, pair in enumerate(pairs)}
        self.set_routes()

    def set_routes(self):
        self.market.scanner.set_routes(
            [
                (slot_of(spot, SYMBOL), slot_of(futures, SYMBOL), number, SYMBOL, FEE_BPS)
                for (spot, futures), number in self.number_of.items()
            ]
        )

    def restart(self):
        """The engine is killed and another one begins."""
        self.market.scanner = self.market.new_scanner()
        self.set_routes()

    @property
    def is_suspect(self):
        return self.market.regions.routes.is_suspect(slot_of(FROZEN, SYMBOL))

    def rise(self, seconds, of=(*OTHERS, SIBLING)):
        """All others rise, 10 bps a second; spot of the frozen one seems ever cheaper."""
        found = []
        for number in range(seconds):
            middle = 100.0 + 0.1 * number
            found += list(self.second([(s, middle + 0.001 * s) for s in of]))
        return found

    def second(self, moves=()):
        """Let a second pass: (source, middle) of those that move, the others repeat themselves."""
        self.now_ns += SECOND
        middles = dict(moves)
        for source in self.sources:
            middle = middles.get(source, self.middle.get(source, 100.0))
            self.middle[source] = middle
            self.market.quote(source, SYMBOL, middle - 0.01, middle, at_ns=self.now_ns)
        self.market.scanner.scan_at(self.now_ns)
        return self.market.signals()


@pytest.fixture
def world(make_market):
    return Exchanges(make_market(frozen_move_bps=20.0, frozen_after_s=2.0))


def alive(world, seconds, step=0.001):
    """Everybody moves a little, every second."""
    found = []
    for number in range(seconds):
        wiggle = 100.0 + step * (number % 2)
        found += list(world.second([(source, wiggle) for source in world.sources]))
    return found


def test_leg_that_stands_still_while_the_others_move_opens_nothing(world):
    alive(world, 3)
    found = []
    for number in range(20):
        # All others rise, 10 bps a second; spot of the frozen one seems ever cheaper.
        middle = 100.0 + 0.1 * number
        found += list(world.second([(s, middle + 0.001 * s) for s in (*OTHERS, SIBLING)]))

    of_frozen = [row for row in found if FROZEN in (row["spot_source"], row["futures_source"])]
    assert of_frozen == []
    market = world.market
    assert market.counter(EngineCounter.SUPPRESSED + Gate.FROZEN) > 0
    assert market.regions.routes.is_suspect(slot_of(FROZEN, SYMBOL))
    assert not any(market.regions.routes.is_suspect(slot_of(s, SYMBOL)) for s in OTHERS)
    assert market.regions.routes.suspects().nonzero()[0].tolist() == [slot_of(FROZEN, SYMBOL)]
    directions = {number for (spot, _), number in world.number_of.items() if spot == FROZEN}
    counts = market.regions.routes.suppressed()[:, Gate.FROZEN]
    assert {int(d) for d in counts.nonzero()[0]} <= directions


def test_suspect_leg_is_believed_as_soon_as_it_moves(world):
    alive(world, 3)
    for number in range(20):
        middle = 100.0 + 0.1 * number
        world.second([(s, middle + 0.001 * s) for s in (*OTHERS, SIBLING)])

    # It moves, and still is far away: that is what its book says.
    found = world.second([(FROZEN, 100.5)])

    assert {int(row["type"]) for row in found if row["spot_source"] == FROZEN} == {OPEN}
    alive_again = world.second()
    assert not world.market.regions.routes.is_suspect(slot_of(FROZEN, SYMBOL))
    assert len(alive_again) == 0


def test_leg_that_stood_still_with_everybody_is_believed(world):
    alive(world, 3)
    for _ in range(30):
        world.second()

    # One exchange alone moves far: it, or all the others, may be right.
    found = world.second([(1, 101.0)])

    assert {(row["spot_source"], row["futures_source"]) for row in found} == {
        (spot, 1) for spot in (2, 4, 6)
    }


def test_leg_that_has_stood_still_for_a_moment_only_is_believed(world):
    alive(world, 10)

    # A jump elsewhere, and this one has not followed yet: a spread, if ever there was one.
    found = world.second([(s, 101.0 + 0.001 * s) for s in OTHERS])

    assert any(row["spot_source"] == FROZEN for row in found)


def test_one_witness_is_not_enough(make_market):
    world = Exchanges(make_market(frozen_move_bps=20.0, frozen_after_s=2.0), sources=(FROZEN, 1))
    alive(world, 3)
    for number in range(20):
        found = world.second([(1, 100.0 + 0.1 * number)])
        if len(found):
            break

    assert found["type"].tolist() == [OPEN]


def test_check_can_be_turned_off(make_market):
    world = Exchanges(make_market(frozen_move_bps=0.0, frozen_after_s=2.0))
    alive(world, 3)
    found = []
    for number in range(20):
        middle = 100.0 + 0.1 * number
        found += list(world.second([(s, middle + 0.001 * s) for s in (*OTHERS, SIBLING)]))

    assert any(row["spot_source"] == FROZEN for row in found)
    assert world.market.counter(EngineCounter.SUPPRESSED + Gate.FROZEN) == 0


def test_other_witnesses_that_are_themselves_stale_prove_nothing(world):
    alive(world, 3)
    market = world.market
    # The others move and then fall silent for longer than a leg may be old; one stays.
    for number in range(20):
        middle = 100.0 + 0.1 * number
        world.second([(s, middle + 0.001 * s) for s in (*OTHERS, SIBLING)])
    assert market.regions.routes.is_suspect(slot_of(FROZEN, SYMBOL))
    world.sources = [FROZEN, 1]

    for _ in range(15):
        world.second()

    assert not market.regions.routes.is_suspect(slot_of(FROZEN, SYMBOL))


@pytest.fixture
def frozen(world):
    """A world with a leg that is suspect."""
    alive(world, 3)
    world.rise(20)
    assert world.is_suspect
    return world


def of_frozen(found):
    return [row for row in found if FROZEN in (row["spot_source"], row["futures_source"])]


@pytest.mark.parametrize("how", [Exchanges.set_routes, Exchanges.restart])
def test_suspect_leg_stays_so_over_a_reload_and_a_restart_until_it_moves(frozen, how):
    how(frozen)
    at_once = of_frozen(frozen.second())
    later = of_frozen([row for _ in range(5) for row in frozen.second()])

    assert (at_once, later) == ([], [])
    assert frozen.is_suspect
    moved = frozen.second([(FROZEN, 100.5)])
    assert {int(row["type"]) for row in of_frozen(moved)} == {OPEN}
    assert not frozen.is_suspect


def test_leg_that_an_earlier_engine_suspected_is_believed_once_the_others_stand_beside_it(frozen):
    frozen.restart()
    frozen.second([(s, 100.0) for s in (*OTHERS, SIBLING)])

    assert not frozen.is_suspect
    assert of_frozen(frozen.rise(20)) == []
    assert frozen.is_suspect


def test_leg_that_nobody_watches_any_more_is_not_shown_as_suspect(frozen):
    frozen.market.scanner.set_routes([])

    assert not frozen.is_suspect


def test_reload_does_not_let_a_leg_stand_still_for_longer(world):
    alive(world, 3)
    found = []
    for number in range(20):
        world.set_routes()
        middle = 100.0 + 0.1 * number
        found += list(world.second([(s, middle + 0.001 * s) for s in (*OTHERS, SIBLING)]))

    assert of_frozen(found) == []
    assert world.is_suspect


def test_exchanges_that_come_up_after_a_leg_moved_for_the_last_time_are_witnesses(world):
    everybody, world.sources = world.sources, [FROZEN, SIBLING]
    for _ in range(5):
        world.second()
    world.sources = everybody

    assert of_frozen(world.rise(60)) == []
    assert world.is_suspect


def test_feed_that_begins_anew_with_the_same_price_does_not_make_it_a_move(frozen):
    market, price = frozen.market, frozen.middle[FROZEN]
    market.set_epoch(FROZEN, EPOCH + 2)
    blank = {"epoch": EPOCH + 2, "at_ns": frozen.now_ns}
    market.quote(FROZEN, SYMBOL, 0.0, 0.0, qty=0.0, flags=1, **blank)
    market.scanner.scan_at(frozen.now_ns)
    market.quote(FROZEN, SYMBOL, price - 0.01, price, **blank)
    market.scanner.scan_at(frozen.now_ns)

    assert of_frozen(market.signals()) == []
    assert frozen.is_suspect


def test_other_market_of_the_same_exchange_is_no_witness(make_market):
    world = Exchanges(
        make_market(frozen_move_bps=20.0, frozen_after_s=2.0), sources=(FROZEN, SIBLING, 1)
    )
    alive(world, 3)

    found = world.rise(20, of=(1, SIBLING))

    assert any(row["spot_source"] == FROZEN for row in found)
    assert not world.is_suspect


def test_two_that_moved_are_not_enough_when_most_others_stand_still_too(world):
    alive(world, 3)

    # Two moved, four did not: a leg is suspect by most of the others only.
    found = world.rise(20, of=(1, 3))

    assert {1, 3} == {int(row["futures_source"]) for row in of_frozen(found)}
    assert not world.is_suspect
