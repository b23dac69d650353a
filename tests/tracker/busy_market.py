"""A market that moves while trackers come and go, and that remembers every quote and signal.

Spreads cross the threshold and come back, with a signal or without; legs go stale, grow old or lose
their feed just when their price says that the spread is gone. Every quote has a number of its own
as its size, so an ending in the ledger names the two quotes that it rests on.
"""

import time
from typing import NamedTuple

from tracker_cases import quote, record

from spreadscan.model import SignalType, SlotFlag
from spreadscan.shm.layout import Prices
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.ring import RingWriter
from spreadscan.topology import feed_name

NEVER_NS = 2**62
FIRST_EPOCH = 3
SPOT, FUTURES = "spot", "futures"
WIDE = {SPOT: (99.0, 100.0), FUTURES: (103.0, 103.1)}
GONE = {SPOT: (103.9, 104.0), FUTURES: (99.0, 99.1)}
"""Of either leg, beside the other one of a wide spread."""


class Quote(NamedTuple):
    """One quote that stood in the store, and whether anybody may conclude anything from it."""

    leg: str
    symbol_id: int
    is_gone: bool
    is_proof: bool


class Sent(NamedTuple):
    """One signal in the ring."""

    sequence: int
    time_ns: int
    kind: SignalType


class Market:
    """Prices, feeds and engine of some routes in one direction.

    Args:
        host: regions and neighbours.
        symbols: how many routes.
        chance: where every choice comes from.
    """

    def __init__(self, host, symbols, chance):
        self.regions = host.regions
        self.neighbours = host.neighbours
        self.direction = host.direction
        self.max_leg_age_ns = host.config.engine.max_leg_age_ms * 1_000_000
        self.ring = RingWriter(host.regions.ring)
        self.chance = chance
        self.symbols = list(range(symbols))
        self.listed = list(self.symbols)
        self.sources = {SPOT: self.direction.spot_source, FUTURES: self.direction.futures_source}
        self.feeds = {row.source_id: feed_name(row.name) for row in host.config.active_sources()}
        self.quotes = {}
        self.standing = {}
        self.stood = {}
        """From when to when each quote stood in the store, by its number."""
        self.sent = {symbol_id: [] for symbol_id in self.symbols}
        self.is_open = dict.fromkeys(self.symbols, False)
        self.sequence = 0
        self.epochs = dict.fromkeys(self.sources, FIRST_EPOCH)
        for leg in self.sources:
            self.set_epoch(leg)
        for symbol_id in self.symbols:
            self.widen(symbol_id)

    def move(self):
        """One thing happens to one route; now and then to all of a feed."""
        if self.chance.random() < 0.01:
            self.lose_a_feed()
            return
        symbol_id = self.chance.choice(self.listed)
        if not self.is_open[symbol_id]:
            self.open(symbol_id)
        elif self.is_wide(symbol_id):
            self.disturb(symbol_id)
        else:
            self.resolve(symbol_id)

    def open(self, symbol_id):
        self.widen(symbol_id)
        self.is_open[symbol_id] = True
        self.send(SignalType.OPEN, symbol_id)

    def disturb(self, symbol_id):
        what = self.chance.choice(["opens again", "goes on", "gone", "gone", "flagged", "aged"])
        if what == "opens again":
            self.send(SignalType.OPEN, symbol_id)
        elif what == "goes on":
            self.send(SignalType.UPDATE, symbol_id)
        else:
            leg = self.chance.choice([SPOT, FUTURES])
            flags = self.chance.choice([SlotFlag.HELD, SlotFlag.DISCONNECTED])
            self.put(
                leg, symbol_id, is_gone=True, is_proof=what == "gone",
                flags=flags if what == "flagged" else 0,
                age_ns=self.max_leg_age_ns + 1 if what == "aged" else 0,
            )  # fmt: skip

    def resolve(self, symbol_id):
        if self.is_proven_gone(symbol_id) and self.chance.random() < 0.5:
            self.send(SignalType.CLOSE, symbol_id)
            self.is_open[symbol_id] = False
            return
        self.widen(symbol_id)
        if self.chance.random() < 0.5:
            self.send(SignalType.UPDATE, symbol_id)

    def lose_a_feed(self):
        """A feed dies over prices that say what nobody vouches for, and another one comes.

        In between the engine has retired what it left.
        """
        leg = self.chance.choice([SPOT, FUTURES])
        feed = self.feeds[self.sources[leg]]
        last = {symbol_id: self.stands(leg, symbol_id) for symbol_id in self.symbols}
        touched = [each for each in self.symbols if self.is_wide(each)]
        self.neighbours.kill(feed)
        for symbol_id in self.symbols:
            self.end(leg, symbol_id)
        for symbol_id in touched:
            self.put(leg, symbol_id, is_gone=True, is_proof=False)
        time.sleep(self.chance.uniform(0.0, 0.02))
        self.epochs[leg] += 2
        self.set_epoch(leg)
        self.neighbours.begin(feed)
        for symbol_id, quote_before in last.items():
            self.put(leg, symbol_id, is_gone=quote_before.is_gone and quote_before.is_proof)

    def unlist(self, symbol_id):
        """A route that is open is not scanned any more; the engine lets go of it without a word."""
        self.open(symbol_id)
        self.listed.remove(symbol_id)
        self.is_open[symbol_id] = False

    def settle(self):
        """Leave every route as plain as can be: wide where the engine holds it open, or gone."""
        for symbol_id in self.symbols:
            self.widen(symbol_id)
            if not self.is_open[symbol_id]:
                self.put(FUTURES, symbol_id, is_gone=True)

    def hold_on(self):
        """Say of every route that is held open that it is."""
        for symbol_id in self.symbols:
            if self.is_open[symbol_id]:
                self.send(SignalType.UPDATE, symbol_id)

    def is_wide(self, symbol_id):
        return not any(self.stands(leg, symbol_id).is_gone for leg in self.sources)

    def is_proven_gone(self, symbol_id):
        legs = [self.stands(leg, symbol_id) for leg in self.sources]
        return all(leg.is_proof for leg in legs)

    def stands(self, leg, symbol_id):
        return self.quotes[self.standing[leg, symbol_id]]

    def widen(self, symbol_id):
        for leg in self.sources:
            self.put(leg, symbol_id)

    def put(self, leg, symbol_id, *, is_gone=False, is_proof=True, flags=0, age_ns=0):
        number = len(self.quotes) + 1
        self.quotes[number] = Quote(leg, symbol_id, is_gone, is_proof)
        begun_ns = time.monotonic_ns()
        book = (GONE if is_gone else WIDE)[leg]
        self.regions.prices.write(
            slot_of(self.sources[leg], symbol_id),
            quote(
                *book, received_ns=begun_ns - age_ns, epoch=self.epochs[leg], flags=flags,
                qty=float(number),
            ),
        )  # fmt: skip
        self.end(leg, symbol_id)
        self.stood[number] = (begun_ns, NEVER_NS)
        self.standing[leg, symbol_id] = number

    def end(self, leg, symbol_id):
        """What stood in the store does so no longer, or nobody vouches for it any more."""
        if number := self.standing.pop((leg, symbol_id), None):
            self.stood[number] = (self.stood[number][0], time.monotonic_ns())

    def set_epoch(self, leg):
        """The feed that comes owns its source from now on."""
        offset = Prices.SOURCE_STATES + self.sources[leg] * Prices.SOURCE_STATE_BYTES
        self.regions.prices.slots.mapping.store_word(offset + Prices.SOURCE_EPOCH, self.epochs[leg])

    def send(self, kind, symbol_id):
        self.sequence += 1
        time_ns = time.monotonic_ns()
        self.sent[symbol_id].append(Sent(self.sequence, time_ns, kind))
        pushed = self.ring.push(
            record(
                kind,
                time_ns=time_ns,
                symbol_id=symbol_id,
                direction=self.direction.direction_id,
                spot_source=self.direction.spot_source,
                futures_source=self.direction.futures_source,
                opening=self.sequence,
            )
        )
        assert pushed
