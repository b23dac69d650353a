"""One dislocation of one route, from its opening signal to its one ending. Pure values.

    OPEN signal --> open --+-- fresh quotes of both legs, spread gone --> converged
                           +-- older than its maximum life ------------> expired
                           +-- not in the running universe ------------> delisted

Times called ``_ns`` are CLOCK_MONOTONIC and carry every duration; ``_wall_ns`` is Unix time, kept
for people to read. Monotonic time belongs to one boot of the host, so an episode names its boot.
"""

import math
from enum import StrEnum
from typing import NamedTuple

import msgspec

from spreadscan.model import SignalType
from spreadscan.shm.layout import NUM_SOURCES, SIGNAL_DTYPE

__all__ = [
    "Ending",
    "Episode",
    "EpisodeIds",
    "Moment",
    "Route",
    "SignalEvent",
    "is_sound",
    "moment_of",
    "rebased",
]

# 2^20 openings a second before ids run ahead of the clock; seconds << 20 stays below 2^53 until
# the year 2242, so an id survives a JSON reader that only knows doubles.
ID_SEQUENCE_BITS = 20


class Ending(StrEnum):
    """How an episode ended. The ledger stores the word, so a further ending is a further member."""

    CONVERGED = "converged"
    """The spread was seen to be gone, on fresh quotes of both legs."""
    EXPIRED = "expired"
    """Still open, or out of sight, when its maximum life was over."""
    DELISTED = "delisted"
    """Still open when its route left the universe: nobody watches its legs any more."""


class SignalEvent(NamedTuple):
    """One record of the ring as Python values; fields and order are those of SIGNAL_DTYPE."""

    sequence: int
    time_ns: int
    type: int
    version: int
    length: int
    direction: int
    spot_source: int
    futures_source: int
    symbol_id: int
    spot_epoch: int
    spot_bid: float
    spot_ask: float
    futures_bid: float
    futures_ask: float
    spot_bid_qty: float
    spot_ask_qty: float
    futures_bid_qty: float
    futures_ask_qty: float
    gross_bps: float
    net_bps: float
    executable_usd: float
    exit_bps: float
    spot_age_us: int
    futures_age_us: int
    futures_epoch: int
    opening: int
    net_after_funding_bps: float
    """NaN when funding is not known."""
    z_score: float
    """NaN when the route has no baseline."""


assert SignalEvent._fields == SIGNAL_DTYPE.names


class Route(NamedTuple):
    """One symbol in one direction.

    Names identify it for ever; the numbers are those of the running universe.
    """

    direction: str
    symbol: str
    direction_id: int
    symbol_id: int
    """-1 when the running universe does not list the symbol: its legs cannot be read."""
    spot_source: int
    futures_source: int

    @property
    def key(self) -> tuple[str, str]:
        """What two episodes of the same route have in common."""
        return (self.direction, self.symbol)


class Moment(NamedTuple):
    """The route at one instant; prices in USDT and sizes in coins, both per one base coin."""

    time_ns: int
    gross_bps: float
    net_bps: float
    executable_usd: float
    spot_bid: float
    spot_ask: float
    spot_bid_qty: float
    spot_ask_qty: float
    futures_bid: float
    futures_ask: float
    futures_bid_qty: float
    futures_ask_qty: float


class Episode(msgspec.Struct, kw_only=True):
    """The record of one dislocation.

    Concurrency: none; it belongs to the tracker's loop.
    """

    episode_id: int
    """Unique across runs, restarts and crashes; grows with time of opening."""
    route: Route
    boot_id: str
    opened_wall_ns: int
    opened_ns: int
    first: Moment
    peak: Moment
    """The moment of the highest net spread; the earliest one when several are equal."""
    last: Moment
    """The latest moment on fresh legs, of a signal or of a snapshot."""
    re_signals: int = 0
    """Openings that the engine signalled while the episode was open."""
    snapshots: int = 0
    """Snapshots taken on fresh legs."""
    snapshots_unusable: int = 0
    """Snapshots at which a leg could not be trusted: the episode was out of sight."""
    ending: Ending | None = None
    """None while open."""
    ended_ns: int | None = None
    ended_wall_ns: int | None = None

    def observe(self, moment: Moment) -> bool:
        """Take a moment on fresh legs into first, peak and last; return whether it is a new peak.

        A signal may be drained after a snapshot that was later: it can raise the peak, but it does
        not turn ``last`` back.
        """
        if moment.time_ns >= self.last.time_ns:
            self.last = moment
        if moment.net_bps > self.peak.net_bps:
            self.peak = moment
            return True
        return False

    def end(self, ending: Ending, time_ns: int, wall_offset_ns: int) -> None:
        """End the episode, once; ``wall_offset_ns`` is wall clock minus monotonic clock, now."""
        assert self.ending is None, (self.episode_id, self.ending, ending)
        self.ending = ending
        self.ended_ns = max(time_ns, self.opened_ns)
        self.ended_wall_ns = self.ended_ns + wall_offset_ns


class EpisodeIds:
    """Gives out ids that grow with wall time and never repeat, also when that clock steps back.

    Args:
        last: the highest id ever stored, 0 when there is none.
    """

    def __init__(self, last: int) -> None:
        self._last = last

    def next(self, wall_ns: int) -> int:
        """Return the id of an episode opened at this Unix time."""
        self._last = max(self._last + 1, (wall_ns // 1_000_000_000) << ID_SEQUENCE_BITS)
        return self._last


def is_sound(event: SignalEvent) -> bool:
    """Tell whether a record can be believed: known type, sources, finite and positive values."""
    prices = (event.spot_bid, event.spot_ask, event.futures_bid, event.futures_ask)
    others = (
        event.gross_bps,
        event.net_bps,
        event.executable_usd,
        event.spot_bid_qty,
        event.spot_ask_qty,
        event.futures_bid_qty,
        event.futures_ask_qty,
    )
    return (
        SignalType.OPEN <= event.type <= SignalType.CLOSE
        and event.spot_source < NUM_SOURCES
        and event.futures_source < NUM_SOURCES
        and all(math.isfinite(price) and price > 0.0 for price in prices)
        and all(map(math.isfinite, others))
    )


def moment_of(event: SignalEvent) -> Moment:
    """Return what a signal saw."""
    return Moment(
        event.time_ns,
        event.gross_bps,
        event.net_bps,
        event.executable_usd,
        event.spot_bid,
        event.spot_ask,
        event.spot_bid_qty,
        event.spot_ask_qty,
        event.futures_bid,
        event.futures_ask,
        event.futures_bid_qty,
        event.futures_ask_qty,
    )


def rebased(episode: Episode, boot_id: str, monotonic_ns: int, wall_ns: int) -> Episode:
    """Return an open episode with its monotonic times in the running boot's clock.

    After a reboot only the wall clock links the two time scales. A wall clock that stands before
    the opening would give a negative life, so the opening is then taken to be now.
    """
    if episode.boot_id == boot_id:
        return episode
    shift_ns = episode.opened_wall_ns - episode.opened_ns - (wall_ns - monotonic_ns)
    shift_ns = min(shift_ns, monotonic_ns - episode.opened_ns)

    def shifted(moment: Moment) -> Moment:
        return moment._replace(time_ns=moment.time_ns + shift_ns)

    return msgspec.structs.replace(
        episode,
        boot_id=boot_id,
        opened_ns=episode.opened_ns + shift_ns,
        first=shifted(episode.first),
        peak=shifted(episode.peak),
        last=shifted(episode.last),
    )
