"""The shape of the five configuration files: every key, its type and its range. No logic.

Keys end in their unit. Each stage gets only its branch. ``config.py`` loads the files and checks
what no single key can tell; ``config/*.toml`` says what each key is for and why it has its value.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from spreadscan.model import Market

__all__ = [
    "CpuConfig",
    "CpuRoleConfig",
    "DirectionRow",
    "DirectionsFile",
    "DiscoveryConfig",
    "EngineConfig",
    "ExchangeConfig",
    "ExchangesFile",
    "FeeConfig",
    "FeedConfig",
    "FeesFile",
    "IdentityFile",
    "ListingWord",
    "MainFile",
    "MarketConfig",
    "MarketFees",
    "RecordConfig",
    "RuntimeConfig",
    "ShmConfig",
    "SimConfig",
    "SymbolFee",
    "TrackerConfig",
]

Positive = Annotated[float, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]
PositiveInt = Annotated[int, Meta(gt=0)]
NotNegativeInt = Annotated[int, Meta(ge=0)]
# Below the largest rebate and above the dearest fill of any exchange a fee is a mistake.
FillBps = Annotated[float, Meta(ge=-10, le=100)]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
RestUrl = Annotated[str, Meta(pattern=r"^https?://[^\s]+[^/\s]$")]
WsUrl = Annotated[str, Meta(pattern=r"^wss?://[^\s]+[^/\s]$")]


class Branch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every branch refuses keys it does not know."""


class ShmConfig(Branch, frozen=True):
    """Shared memory."""

    prefix: Name
    """Regions are called ``/<prefix>.prices`` and so on."""
    backing: Literal["posix", "hugetlbfs"]
    hugetlbfs_dir: str
    """Mount point used when backing is hugetlbfs."""
    owner: str
    """User that must own the regions; ``"self"`` is whoever runs the process."""
    lock_memory: bool
    """mlock regions; a refusal by the kernel's limit is reported, not fatal."""
    attach_timeout_s: NotNegative
    """How long a process waits for shm-init before it exits 75."""


class RuntimeConfig(Branch, frozen=True):
    """What every process shares."""

    run_dir: str
    """Lock files and the wake-up socket."""
    generated_dir: str
    """Where discovery writes the universe and everybody reads it."""
    heartbeat_interval_ms: Annotated[int, Meta(gt=0, le=1000)]
    """At most a fifth of the shortest watchdog."""
    stop_timeout_s: Positive
    """How long the supervisor waits for a process to end before it kills it."""
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["auto", "text", "json", "journal"]
    """auto: fields where standard error leads to journald, lines of text elsewhere."""


class CpuRoleConfig(Branch, frozen=True):
    """Where the programs of one role run."""

    cores: Annotated[str, Meta(pattern=r"^(\d+(-\d+)?(,\d+(-\d+)?)*)?$")]
    """As the kernel writes it, ``2-3,6``; "" leaves it to the system."""
    one_core_each: bool
    """Each program on a core of its own, in the order of topology; else all on all of them."""
    policy: Literal["other", "batch", "fifo", "rr"]
    priority: Annotated[int, Meta(ge=0, le=99)]
    """Of fifo and rr, from 1; 0 for the others."""


class CpuConfig(Branch, frozen=True):
    """The CPU plan: a branch for each role of topology.CpuRole."""

    housekeeping: CpuRoleConfig
    feed: CpuRoleConfig
    engine: CpuRoleConfig


class FeedConfig(Branch, frozen=True):
    """Market-data connections."""

    retry_base_ms: PositiveInt
    """Second retry; the first is immediate and each further one doubles."""
    retry_cap_s: Positive
    healthy_after_s: Positive
    """Data must flow this long before the back-off starts anew."""
    connect_timeout_s: Positive
    silence_limit_s: Positive
    """A connection on which nothing came for this long, not even a ping, is dropped."""
    max_frame_bytes: PositiveInt
    max_lag_ms: Annotated[int, Meta(ge=0, le=3_600_000)]
    """A quote that took this much longer than the quickest ones is not used; 0 = any is."""
    max_jump_pct: Annotated[float, Meta(ge=0, le=1_000)]
    """A price this far from the last good one is held until it is borne out; 0 = none is."""
    symbol_silence_s: Positive
    """A symbol that is silent for longer is compared with REST."""
    connection_silence_s: Positive
    """A busy connection without a quote for this long, whatever else comes, is dropped."""
    source_silence_s: Positive
    """No quote on any connection for this long: all are dropped."""
    exchange_silence_s: Positive
    """Both markets silent for this long: the exchange counts as down."""
    first_data_s: Positive
    """How long a subscribed symbol may take to send its first quote."""
    first_change_s: Positive
    """The same where the first quote is the next change."""
    spot_check_interval_s: Positive
    """At most one REST request for prices in this time; for the listing, in six times it."""
    funding_interval_s: Annotated[float, Meta(ge=1, le=86_400)]
    """How often the funding of all perpetuals is asked for."""
    funding_settle_delay_s: NotNegative
    """And this long to twice as long after a settlement."""


class EngineConfig(Branch, frozen=True):
    """When a route signals."""

    wait: Literal["spin", "adaptive", "eventfd"]
    spin_us: NotNegative
    """adaptive: how long to spin before sleeping on the eventfd."""
    wait_bound_ms: Annotated[int, Meta(gt=0, le=1000)]
    """Longest sleep; a lost wake-up costs no more than this."""
    open_net_bps: float
    rearm_net_bps: float
    """A route that fell to this may open again; must be below open_net_bps."""
    update_step_bps: Positive
    min_executable_usd: NotNegative
    max_spread_bps: Positive
    """Beyond this a spread is taken for a mistake and suppressed."""
    max_leg_age_ms: Annotated[int, Meta(gt=0, le=86_400_000)]
    """A leg whose last quote is older is stale."""
    confirm_updates: Annotated[int, Meta(ge=0, le=1_000)]
    """A crossing opens once so many quotes of its legs bore it out; 0 or 1 = with the first."""
    confirm_ms: Annotated[int, Meta(ge=0, le=60_000)]
    """Or once it has lasted this long; 0 = time alone confirms nothing."""
    frozen_move_bps: Annotated[float, Meta(ge=0, le=10_000)]
    """A leg that stands still while most others moved by more is suspect; 0 = none is."""
    frozen_after_s: Annotated[float, Meta(gt=0, le=3_600)]
    """Only a leg that has stood still for this long."""
    holding_h: Annotated[float, Meta(ge=0, le=8_760)]
    """For net_after_funding_bps: how long a position is meant to be held."""
    max_funding_age_s: Annotated[float, Meta(gt=0, le=86_400)]
    """Funding that was received longer ago is not known."""
    max_baseline_age_s: Annotated[float, Meta(gt=0, le=86_400)]
    """What the tracker found usual longer ago is not: it repeats every route's while it runs."""
    feed_silence_ms: Annotated[int, Meta(gt=0, le=60_000)]
    """A feed whose loop has not beaten for this long hangs: its prices are unusable meanwhile."""


class TrackerConfig(Branch, frozen=True):
    """The episode ledger."""

    data_dir: str
    snapshot_interval_ms: PositiveInt
    converge_net_bps: float
    """An episode whose net spread, on fresh legs, is at or below this has converged."""
    max_life_s: Positive
    max_suspended_s: Positive
    """An episode whose legs cannot be believed for this long is lost."""
    baseline_window_h: Annotated[float, Meta(gt=0, le=168)]
    """What is usual for a route is what it was over this long."""
    baseline_interval_s: Annotated[float, Meta(ge=1, le=3600)]
    """How often each route is looked at for it."""
    baseline_min_samples: PositiveInt
    """With fewer nothing is said to be usual."""
    retention_days: PositiveInt
    """Recorded days that are kept; compacted ones before them are deleted."""
    retention_max_mib: PositiveInt
    """Of all compacted days; the oldest make room."""


class DiscoveryConfig(Branch, frozen=True):
    """Listings over REST."""

    request_timeout_s: Positive
    attempts: PositiveInt
    max_body_bytes: PositiveInt
    min_share_of_last: Annotated[float, Meta(ge=0, le=1)]
    """A result with a smaller share of the last good pairs is refused unless forced."""
    max_price_deviation_pct: Annotated[float, Meta(gt=0, le=100)]
    """Listings of one name whose prices differ by more are different coins."""
    max_scale_deviation_pct: Annotated[float, Meta(gt=0, le=100)]
    """A factor in a name that could also be a coin of its own is believed within this."""
    delisting_notice_h: NotNegative
    """A listing takes no part any more this long before its announced end."""
    validate_window_s: Positive
    """How long a subscribed symbol may take to send its first quote."""


class RecordConfig(Branch, frozen=True):
    """Recordings of what the feeds receive."""

    enabled: bool
    dir: str
    segment_mib: Annotated[int, Meta(ge=1, le=4096)]
    """A segment of this compressed size is ended and the next one begun."""
    segment_s: Positive
    """The same by age."""
    max_mib: PositiveInt
    """Of one source; the oldest segments make room for new ones."""
    min_free_mib: NotNegativeInt
    """Recording stops when its disk has less than this left."""


class MarketConfig(Branch, frozen=True):
    """Address and operating limits of one source."""

    rest_url: RestUrl
    ws_url: WsUrl
    topics_per_connection: PositiveInt
    topics_per_message: PositiveInt
    messages_per_s: Positive
    """Subscribe messages on one connection, pings included."""
    address_messages_per_s: PositiveInt
    """The same on all connections of this source together."""
    connects_per_window: PositiveInt
    connects_window_s: Positive
    rest_requests_per_s: PositiveInt
    ws_host: str = ""
    """Whose connects and messages they are; ``""`` is the host of ws_url. Markets with one host
    share it. It stays the real one under --sim, so that simulated markets share it too."""
    rest_host: str = ""
    """The same for REST and rest_url."""

    def __post_init__(self) -> None:
        """Fill in the hosts."""
        for key, url in (("ws_host", self.ws_url), ("rest_host", self.rest_url)):
            if not getattr(self, key):
                msgspec.structs.force_setattr(self, key, url.split("/")[2])


class ExchangeConfig(Branch, frozen=True):
    """One exchange."""

    enabled: bool
    spot: MarketConfig
    futures: MarketConfig

    def market(self, market: Market) -> MarketConfig:
        """Return the branch of one market."""
        return self.spot if market is Market.SPOT else self.futures


class SimConfig(Branch, frozen=True):
    """Where the simulated exchanges listen; source S is at ``<base>/<S>``."""

    rest_base: RestUrl
    """https serves and expects TLS; ws_base must then be wss."""
    ws_base: WsUrl
    ca_file: str | None = None
    """Certificate of the simulator's throw-away authority, written by it at start; None is a
    temporary file."""


class SymbolFee(Branch, frozen=True):
    """What a fill of one symbol costs where that differs; None: what the market costs."""

    name: Annotated[str, Meta(pattern=r"^[^\s-]+-USDT$")]
    """As it is called everywhere here, ``BTC-USDT``."""
    maker_bps: FillBps | None = None
    taker_bps: FillBps | None = None


class FeeConfig(Branch, frozen=True):
    """What one fill costs, in basis points of its value; negative is a rebate."""

    maker_bps: FillBps
    taker_bps: FillBps
    symbol: list[SymbolFee] = []
    """Those that cost something else."""

    def taker_of(self, symbol: str) -> float:
        """Return what a taker fill of one symbol costs."""
        own = next((fee.taker_bps for fee in self.symbol if fee.name == symbol), None)
        return self.taker_bps if own is None else own

    def maker_of(self, symbol: str) -> float:
        """Return what a maker fill of one symbol costs."""
        own = next((fee.maker_bps for fee in self.symbol if fee.name == symbol), None)
        return self.maker_bps if own is None else own


class MainFile(Branch, frozen=True):
    """config.toml."""

    shm: ShmConfig
    runtime: RuntimeConfig
    cpu: CpuConfig
    feed: FeedConfig
    engine: EngineConfig
    tracker: TrackerConfig
    discovery: DiscoveryConfig
    record: RecordConfig


class ExchangesFile(Branch, frozen=True):
    """exchanges.toml."""

    exchanges: dict[str, ExchangeConfig]
    sim: SimConfig


class DirectionRow(Branch, frozen=True):
    """One ``[[direction]]``; its id stands in records for ever."""

    id: Annotated[int, Meta(ge=0, le=63)]
    """One bit of the control block's pause word each."""
    spot: str
    futures: str


class DirectionsFile(Branch, frozen=True):
    """directions.toml."""

    direction: list[DirectionRow]


class MarketFees(Branch, frozen=True):
    """Fees of one exchange."""

    spot: FeeConfig
    futures: FeeConfig


class FeesFile(Branch, frozen=True):
    """fees.toml."""

    fees: dict[str, MarketFees]


class ListingWord(Branch, frozen=True, kw_only=True):
    """One ``[[listing]]``: what the operator says about it; wins over names and prices."""

    source: str
    symbol: Annotated[str, Meta(min_length=1)]
    """In the exchange's spelling."""
    coin: Annotated[str, Meta(pattern=r"^(?!.*_[0-9]+$)[^\s-]{1,32}$")] | None = None
    """The coin it is: another ticker's (an alias) or one of its own (a split). Names that end in
    ``_2`` and the like are discovery's own."""
    multiplier: Positive | None = None
    """How many coins one listed unit is."""
    verdict: Literal["accept", "reject"] | None = None
    """accept: whatever its price; reject: it takes no part."""
    reason: Annotated[str, Meta(min_length=1)]


class IdentityFile(Branch, frozen=True):
    """identity.toml."""

    listing: list[ListingWord] = []
