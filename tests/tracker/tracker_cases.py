"""Builders of signals, quotes and episodes for the tracker's tests."""

import numpy as np

from spreadscan.directions import DirectionRecord
from spreadscan.model import Direction, Instrument, SignalType
from spreadscan.shm.layout import PRICE_DTYPE, SIGNAL_DTYPE
from spreadscan.symbols import SymbolRecord
from spreadscan.tracker.book import EpisodeBook
from spreadscan.tracker.episode import Clocks, EpisodeIds
from spreadscan.tracker.names import RouteNames
from spreadscan.tracker.sight import Rules
from spreadscan.tracker.snapshot import Snapshot
from spreadscan.universe import Universe

SECOND_NS = 1_000_000_000
NOW_NS = 5_000 * SECOND_NS
WALL_NS = 1_750_000_000 * SECOND_NS
OFFSET_NS = WALL_NS - NOW_NS
BOOT = "11111111-2222-3333-4444-555555555555"
DIRECTION = "okx_spot_binance_futures"
SPOT, FUTURES = 4, 1
FEE_BPS = 30.0
RULES = Rules(converge_net_bps=0.0, max_life_ns=60 * SECOND_NS, max_suspended_ns=40 * SECOND_NS)
CLOCKS = Clocks(BOOT, NOW_NS, WALL_NS)
LEG = Instrument(
    exchange_symbol="X", price_multiplier=1.0, contract_size=1.0, tick_size=0.0, qty_step=0.0,
    min_qty=0.0, min_notional=0.0, tradable_via_api=True,
)  # fmt: skip


def universe(names, *, generation=1, direction_id=0, spot=SPOT, futures=FUTURES, retired=None):
    """Symbols by id, all of them in one direction; those retired are ids by name."""
    legs = tuple(LEG if source in {spot, futures} else None for source in range(8))
    return Universe(
        generation=generation,
        timestamp="2026-01-01T00:00:00Z",
        symbols=tuple(
            SymbolRecord(symbol_id=number, name=name, instruments=legs)
            for number, name in sorted(names.items())
        ),
        directions=(
            DirectionRecord(
                direction_id=direction_id,
                spot_source=spot,
                futures_source=futures,
                symbols=tuple(sorted(names)),
            ),
        ),
        retired_ids=retired or {},
    )


def names_of(names, direction_id=0):
    """The names of a universe of these symbols in the one direction."""
    direction = Direction(
        direction_id=direction_id, name=DIRECTION, spot_source=SPOT, futures_source=FUTURES
    )
    return RouteNames.of(universe(names, direction_id=direction_id), [direction])


NAMES = names_of({7: "BTC-USDT", 8: "ETH-USDT", 9: "SOL-USDT"})


def book(last_id=0, names=NAMES, rules=RULES, boot_id=BOOT, previous=None):
    return EpisodeBook(rules, names, EpisodeIds(last_id), boot_id, previous)


def record(kind=SignalType.OPEN, *, net_bps=20.0, time_ns=NOW_NS, symbol_id=7, **more):
    """One SIGNAL_DTYPE record; what is not named is plausible."""
    row = np.zeros((), dtype=SIGNAL_DTYPE)
    values = {
        "sequence": 1,
        "time_ns": time_ns,
        "type": kind,
        "version": 1,
        "direction": 0,
        "spot_source": SPOT,
        "futures_source": FUTURES,
        "symbol_id": symbol_id,
        "spot_bid": 99.9,
        "spot_ask": 100.0,
        "futures_bid": 100.5,
        "futures_ask": 100.6,
        "spot_bid_qty": 4.0,
        "spot_ask_qty": 3.0,
        "futures_bid_qty": 2.0,
        "futures_ask_qty": 1.0,
        "gross_bps": net_bps + FEE_BPS,
        "net_bps": net_bps,
        "executable_usd": 201.0,
        "z_score": np.nan,
        "net_after_funding_bps": np.nan,
    } | more
    for name, value in values.items():
        row[name] = value
    return row


def signals(*records):
    """Records as the ring gives them."""
    found = np.empty(len(records), SIGNAL_DTYPE)
    for index, each in enumerate(records):
        found[index] = each
    return found


def quote(bid, ask, *, received_ns=NOW_NS, epoch=3, flags=0, qty=2.0):
    """One PRICE_DTYPE record."""
    row = np.zeros((), dtype=PRICE_DTYPE)
    for name, value in {
        "bid": bid,
        "ask": ask,
        "bid_qty": qty,
        "ask_qty": qty,
        "received_ns": received_ns,
        "epoch": epoch,
        "flags": flags,
    }.items():
        row[name] = value
    return row


class Case:
    """A book, and everything that it handed out to be stored, by id."""

    def __init__(self, **more):
        self.book = book(**more)
        self.stored = {}

    def signal(self, kind=SignalType.OPEN, *, offset_ns=OFFSET_NS, **more):
        return self.book.apply(signals(record(kind, **more)), offset_ns)

    def look(self, net_bps, now_ns, offset_ns=OFFSET_NS):
        """Take a snapshot; None is a leg out of sight, a mapping says it by symbol."""
        rows = self.book.rows
        nets = [
            net_bps.get(route.symbol) if isinstance(net_bps, dict) else net_bps
            for route in self.book.routes(rows)
        ]
        net = np.array([0.0 if each is None else each for each in nets], np.float64)
        count = len(nets)
        seen = Snapshot(
            usable=np.array([each is not None for each in nets], np.bool_),
            gross_bps=net + FEE_BPS,
            net_bps=net,
            executable_usd=np.full(count, 201.0),
            spot=np.full(count, quote(99.9, 100.0)),
            futures=np.full(count, quote(100.5, 100.6)),
        )
        return self.book.observe(rows, seen, now_ns, offset_ns)

    def store(self):
        """Take what changed; return it."""
        changed = self.book.take_changes()
        self.stored.update((episode.episode_id, episode) for episode in changed)
        return changed

    @property
    def open(self):
        return self.book.open_episodes()

    @property
    def all(self):
        """Every episode that there ever was, as it is now, in order of id."""
        self.store()
        now = self.stored | {episode.episode_id: episode for episode in self.open}
        return [now[number] for number in sorted(now)]


def opened_case(**more):
    """A case with one open episode."""
    subject = Case()
    subject.signal(**more)
    return subject
