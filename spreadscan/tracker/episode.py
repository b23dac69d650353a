"""One dislocation of one route, from its opening signal to its one ending. Pure values.

    OPEN signal --> open <--> suspended (a leg is out of sight)
                      |            |
                      +-- fresh quotes of both legs, spread gone --> converged
                      |            |
                      +-- older than its maximum life -------------> expired
                      +-- not in the running universe -------------> delisted
                      +-- the operator's kill ---------------------> halted
                                   +-- suspended beyond its limit -> lost

Times called ``_ns`` are CLOCK_MONOTONIC and carry every duration; ``_wall_ns`` is Unix time, kept
for people to read. Monotonic time belongs to one boot of the host, so an episode names its boot.
"""

from enum import IntEnum, StrEnum
from typing import NamedTuple

import msgspec

__all__ = [
    "MAX_CLOCK_STEP_NS",
    "NO_QUOTES",
    "Clocks",
    "Ending",
    "Episode",
    "EpisodeIds",
    "EpisodeState",
    "Moment",
    "Route",
    "resumed",
]

# 2^20 openings a second before ids run ahead of the clock; seconds << 20 stays below 2^53 until
# the year 2242, so an id survives a JSON reader that only knows doubles.
ID_SEQUENCE_BITS = 20
# Over a reboot only the wall clock tells how long nobody looked, and it may have been stepped.
MAX_CLOCK_STEP_NS = 2 * 3600 * 1_000_000_000


class Ending(StrEnum):
    """How an episode ended. The ledger stores the word, so a further ending is a further member.

    The order is that of the codes in the table of open episodes, from 1 on: append only.
    """

    CONVERGED = "converged"
    """The spread was seen to be gone, on fresh quotes of both legs."""
    EXPIRED = "expired"
    """Still open, or out of sight, when its maximum life was over."""
    DELISTED = "delisted"
    """Still open when its route left the universe: nobody watches its legs any more."""
    HALTED = "halted"
    """Still open when the operator killed the pipeline."""
    LOST = "lost"
    """Out of sight for longer than its limit: how it ended is not known."""


class EpisodeState(IntEnum):
    """What an episode is in the table of open ones."""

    FREE = 0
    OPEN = 1
    SUSPENDED = 2
    """A leg cannot be believed now: stale, cut off, or its feed dead."""
    ENDED = 3


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
    """The route at one instant; prices in USDT and sizes in coins, both per one base coin.

    All eight are 0 where they are not known: at a peak that was only kept as a point of the path.
    """

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


NO_QUOTES = (0.0,) * 8


class Episode(msgspec.Struct, frozen=True, kw_only=True):
    """The record of one dislocation, as it was at one instant.

    Concurrency: none needed; it is never changed, only succeeded.
    """

    episode_id: int
    """Unique across runs, restarts and crashes; grows with time of opening."""
    previous_id: int | None = None
    """The route's episode before this one; None when none is known."""
    route: Route
    boot_id: str
    opened_wall_ns: int
    opened_ns: int
    first: Moment
    peak: Moment
    """The moment of the highest net spread; the earliest one when several are equal."""
    last: Moment
    """The latest moment on fresh legs, of a signal or of a snapshot."""
    z_score: float | None = None
    """How far the opening stood from what is usual for the route; None where that is not known."""
    net_after_funding_bps: float | None = None
    """At the opening, with the funding that falls due; None where that is not known."""
    opening: int = 0
    """The engine's number of the opening that it holds the route open under; 0 when not known."""
    re_signals: int = 0
    """Openings that the engine signalled while the episode was open."""
    snapshots: int = 0
    """Snapshots taken on fresh legs."""
    snapshots_unusable: int = 0
    """Snapshots at which a leg could not be trusted: the episode was out of sight."""
    suspended_ns: int = 0
    """Time out of sight, up to the latest time that it was in sight or ended."""
    suspended_since_ns: int | None = None
    """None while in sight."""
    gaps: int = 0
    """Times that no tracker was running, or that signals were lost."""
    gap_ns: int = 0
    """How long nobody looked; over a reboot by the wall clock, as far as that can be believed."""
    ending: Ending | None = None
    """None while open."""
    ended_ns: int | None = None
    ended_wall_ns: int | None = None


class Clocks(NamedTuple):
    """Both clocks at one instant, and the boot that the first belongs to."""

    boot_id: str
    monotonic_ns: int
    wall_ns: int

    @property
    def offset_ns(self) -> int:
        """Wall clock minus monotonic clock."""
        return self.wall_ns - self.monotonic_ns


class EpisodeIds:
    """Gives out ids that grow with wall time and never repeat, also when that clock steps back.

    Args:
        last: the highest id ever stored, 0 when there is none.
    """

    def __init__(self, last: int) -> None:
        self.last = last

    def next(self, wall_ns: int) -> int:
        """Return the id of an episode opened at this Unix time."""
        self.last = max(self.last + 1, (wall_ns // 1_000_000_000) << ID_SEQUENCE_BITS)
        return self.last


def resumed(episode: Episode, before: Clocks, now: Clocks) -> Episode:
    """Return an open episode of an earlier run in the running boot's clock, with its gap marked.

    Within a boot the monotonic clock went on, whatever the wall clock was set to. After a reboot
    it began anew: the life then goes on from where it was last stored, and the time in between is
    kept apart as a gap, as nothing but the wall clock knows it.

    Args:
        episode: as it was stored.
        before: the clocks when the earlier run stored its last batch.
        now: the clocks of this start.
    """
    if episode.boot_id == now.boot_id:
        shift_ns = 0
        away_ns = max(0, now.monotonic_ns - max(before.monotonic_ns, episode.last.time_ns))
    else:
        seen_ns = max(before.monotonic_ns, episode.last.time_ns, episode.opened_ns)
        shift_ns = now.monotonic_ns - seen_ns
        away_ns = max(0, now.wall_ns - before.wall_ns)

    def shifted(moment: Moment) -> Moment:
        return moment._replace(time_ns=moment.time_ns + shift_ns)

    since_ns = episode.suspended_since_ns
    return msgspec.structs.replace(
        episode,
        boot_id=now.boot_id,
        opened_ns=episode.opened_ns + shift_ns,
        first=shifted(episode.first),
        peak=shifted(episode.peak),
        last=shifted(episode.last),
        suspended_since_ns=(
            max(episode.opened_ns, min(before.monotonic_ns, now.monotonic_ns - shift_ns))
            if since_ns is None
            else since_ns
        )
        + shift_ns,
        gaps=episode.gaps + 1,
        gap_ns=episode.gap_ns + away_ns,
    )
