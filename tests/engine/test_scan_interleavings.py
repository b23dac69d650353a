"""Writes, deaths, words of the operator, reloads, restarts and kills in any order.

Against the simplest model there is: what a tracker has been told must be what the books say, each
time the engine has looked, wherever both legs may be believed.
"""

import random
import time

import pytest
from engine_cases import EPOCH

from spreadscan.model import SignalType, SlotFlag
from spreadscan.shm.layout import Control, Prices
from spreadscan.shm.price_store import slot_of

OPEN, CLOSE = SignalType.OPEN, SignalType.CLOSE
SYMBOLS = range(4)
# (direction, spot source, futures source): every source takes part in two routes.
DIRECTIONS = ((0, 0, 3), (1, 0, 5), (2, 4, 3), (3, 4, 1), (9, 2, 5), (63, 2, 1))
SOURCES = sorted({source for _, *pair in DIRECTIONS for source in pair})
# Basis points above 100 at which a leg may stand: no two of them differ by what is near a
# threshold, and some by what lies between the two.
LEVELS = (0, 12, 24, 33, 36, 48, 60)
FEE_BPS, OPEN_BPS, REARM_BPS, MIN_USD = 30.0, 5.0, 0.0, 100.0
MS = 1_000_000
MAX_AGE_MS = 10_000
# A pass comes at the latest after the bound of the wait, whatever wake-ups were lost.
WAIT_BOUND_MS = 5


class World:
    """All books as the model knows them, and what the tracker has been told."""

    def __init__(self, market, draw):
        self.market = market
        self.draw = draw
        self.now_ns = time.monotonic_ns()
        self.books = {}
        self.epochs = dict.fromkeys(SOURCES, EPOCH)
        self.torn = set()
        self.pause = {}
        self.is_killed = False
        self.listed = []
        self.told = {}
        """Route -> (is open, number), as heard."""
        self.excused = set()
        """Routes that may have been ended without a word, or be told again."""
        self.resumed = set()
        """Routes that were open when the engine was killed, and not heard of since."""
        self.signals = 0
        self.reload()

    # What happens to it.

    def write(self):
        source, symbol = self.draw.choice(SOURCES), self.draw.choice(SYMBOLS)
        flags = self.draw.choice((*[0] * 10, SlotFlag.HELD, SlotFlag.DISCONNECTED))
        price = 100.0 * (1 + self.draw.choice(LEVELS) / 10_000)
        qty = self.draw.choice((10.0, 10.0, 10.0, 0.5))
        bid, ask = (price, price + 0.02) if source % 2 else (price - 0.02, price)
        age_ms = self.draw.choice((*[0] * 10, 2 * MAX_AGE_MS))
        epoch = self.epochs[source]
        self.market.quote(
            source, symbol, bid, ask, qty=qty, flags=flags, age_ms=age_ms, epoch=epoch,
            at_ns=self.now_ns,
        )  # fmt: skip
        self.torn.discard((source, symbol))
        received_ns = self.now_ns - age_ms * MS
        self.books[source, symbol] = (bid, ask, qty, flags, received_ns, epoch)

    def die(self):
        """A feed dies, mostly between two writes; its successor owns the source anew."""
        source, symbol = self.draw.choice(SOURCES), self.draw.choice(SYMBOLS)
        if self.draw.random() < 0.3:
            offset = Prices.SEQ + slot_of(source, symbol) * Prices.SEQ_ENTRY_BYTES
            mapping = self.market.regions.prices.slots.mapping
            mapping.store_word(offset, mapping.load_word(offset) | 1)
            self.torn.add((source, symbol))
        self.epochs[source] += self.draw.choice((1, 2)) if self.epochs[source] % 2 else 0
        self.market.set_epoch(source, self.epochs[source])

    def heal(self):
        """Feeds come back, and the operator lets everything go."""
        for source in SOURCES:
            self.epochs[source] |= 1
            self.market.set_epoch(source, self.epochs[source])
        self.pause = dict.fromkeys(self.pause, 0)
        self.is_killed = False
        self.market.command(**self.pause, KILL=0)

    def hold(self):
        """The operator pauses something, or ends a pause."""
        word, bits = self.draw.choice(
            (
                ("PAUSE_ALL", 1),
                ("PAUSED_SOURCES", 1 << self.draw.choice(SOURCES)),
                ("PAUSED_DIRECTIONS", 1 << self.draw.choice(DIRECTIONS)[0]),
                ("PAUSED_SYMBOLS", 1 << self.draw.choice(SYMBOLS)),
            )
        )
        self.pause[word] = 0 if self.pause.get(word) else bits
        self.market.command(**{word: self.pause[word]})

    def kill(self):
        self.is_killed = not self.is_killed
        self.market.command(KILL=int(self.is_killed))
        if self.is_killed:
            # The tracker ends its episodes then, whatever the engine does.
            self.end_everything()
            if self.draw.random() < 0.5:
                self.market.scanner.scan_at(self.now_ns)
                assert self.market.scanner.open_routes == 0

    def kill_in_passing(self):
        """Taken back before the engine has looked; a tracker may have."""
        if not self.is_killed:
            self.market.control.command(KILL=1)
            self.market.control.command(KILL=0)
            self.end_everything()

    def end_everything(self):
        self.told = {route: (False, number) for route, (_, number) in self.told.items()}
        self.resumed.clear()

    def reload(self):
        """Some routes go and come, under the running engine."""
        wanted = [
            (direction, spot, futures, symbol)
            for direction, spot, futures in DIRECTIONS
            for symbol in SYMBOLS
            if self.draw.random() < 0.8
        ]
        kept = {(direction, symbol) for direction, _, _, symbol in wanted}
        for route, (is_open, number) in self.told.items():
            if is_open and route not in kept:
                self.told[route] = (False, number)
                self.resumed.discard(route)
        self.listed = wanted
        self.set_routes()

    def set_routes(self):
        self.market.scanner.set_routes(
            [
                (slot_of(spot, symbol), slot_of(futures, symbol), direction, symbol, FEE_BPS)
                for direction, spot, futures, symbol in self.listed
            ]
        )

    def restart(self):
        """The engine is killed: between two passes, so with the ring as it is."""
        self.market.scanner = self.market.new_scanner()
        self.set_routes()
        self.resumed = {route for route, (is_open, _) in self.told.items() if is_open}

    def jam(self):
        """The tracker stands still for a while, and the ring is full."""
        if self.draw.random() < 0.9:
            return
        self.market.fill_ring()
        for _ in range(self.draw.randint(1, 12)):
            self.write()
            self.now_ns += MS
            self.market.scanner.scan_at(self.now_ns)
        self.hear(is_late=True)
        # What waited, then what was turned away.
        for _ in range(3):
            self.market.scanner.scan_at(self.now_ns)
            self.hear(is_late=True)
        self.check()

    def look(self):
        """One pass, at a time of its own; then everything must be as the books say."""
        self.now_ns += self.draw.randint(1, WAIT_BOUND_MS) * MS
        self.market.scanner.scan_at(self.now_ns)
        self.hear()
        self.check()

    # What must be true.

    def hear(self, *, is_late=False):
        for signal in self.market.signals():
            if not signal["type"]:
                continue
            self.signals += 1
            route = (int(signal["direction"]), int(signal["symbol_id"]))
            if not is_late:
                self.check_legs(signal)
            assert not self.is_held(*route, signal["spot_source"], signal["futures_source"])
            was_open, number = self.told.get(route, (False, 0))
            kind, opening = signal["type"], int(signal["opening"])
            if kind == OPEN:
                again = was_open and route in self.excused | self.resumed and opening == number
                assert again or (not was_open or route in self.excused)
                assert again or opening > number
            else:
                assert was_open
                assert opening == number
                assert kind == CLOSE or route not in self.resumed
            self.excused.discard(route)
            self.resumed.discard(route)
            self.told[route] = (kind != CLOSE, opening)

    def check_legs(self, signal):
        """No signal from a leg that may not be believed, and none from a price of before."""
        for side in ("spot", "futures"):
            source, symbol = int(signal[f"{side}_source"]), int(signal["symbol_id"])
            assert self.is_usable(source, symbol)
            bid, ask, *_ = self.books[source, symbol]
            assert (signal[f"{side}_bid"], signal[f"{side}_ask"]) == (bid, ask)

    def is_usable(self, source, symbol):
        if (source, symbol) not in self.books or (source, symbol) in self.torn:
            return False
        _, _, _, flags, received_ns, epoch = self.books[source, symbol]
        return (
            not flags
            and epoch == self.epochs[source]
            and epoch % 2 == 1
            and self.now_ns - received_ns <= MAX_AGE_MS * MS
        )

    def is_held(self, direction, symbol, spot, futures):
        return (
            self.is_killed
            or bool(self.pause.get("PAUSE_ALL"))
            or bool(self.pause.get("PAUSED_SOURCES", 0) & (1 << int(spot) | 1 << int(futures)))
            or bool(self.pause.get("PAUSED_DIRECTIONS", 0) >> direction & 1)
            or bool(self.pause.get("PAUSED_SYMBOLS", 0) >> symbol & 1)
        )

    def check(self):
        for direction, spot, futures, symbol in self.listed:
            route = (direction, symbol)
            if not (self.is_usable(spot, symbol) and self.is_usable(futures, symbol)):
                continue
            _, ask, spot_qty, *_ = self.books[spot, symbol]
            bid, _, futures_qty, *_ = self.books[futures, symbol]
            net = (bid - ask) / ask * 10_000 - FEE_BPS
            is_large = min(ask * spot_qty, bid * futures_qty) >= MIN_USD
            if self.is_held(direction, symbol, spot, futures):
                if net <= REARM_BPS and not self.is_killed:
                    # Ended without a word.
                    self.excused.add(route)
                continue
            is_open, _ = self.told.get(route, (False, 0))
            if net >= OPEN_BPS and is_large:
                assert is_open, (route, net)
                # One that an earlier engine opened has been told again.
                assert route not in self.resumed or route in self.excused, (route, net)
            elif net <= REARM_BPS and route not in self.excused:
                assert not is_open, (route, net)


@pytest.mark.parametrize("seed", range(6))
def test_whatever_happens_in_whatever_order_the_tracker_is_told_the_truth(make_market, seed):
    draw = random.Random(seed)
    market = make_market(
        open_net_bps=OPEN_BPS, rearm_net_bps=REARM_BPS, min_executable_usd=MIN_USD,
        max_leg_age_ms=MAX_AGE_MS, frozen_move_bps=0.0, update_step_bps=2.0,
    )  # fmt: skip
    world = World(market, draw)
    steps = (
        [world.write] * 60 + [world.look] * 15 + [world.heal] * 3
        + [world.die, world.hold, world.reload, world.restart, world.kill]
        + [world.kill_in_passing, world.jam]
    )  # fmt: skip
    for _ in range(6_000):
        draw.choice(steps)()
    # In the end everything is let go, and looked at once more.
    world.heal()
    world.look()

    assert world.signals > 100
    assert market.regions.control.mapping.load_word(Control.KILL) == 0
