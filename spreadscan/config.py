"""Configuration: four TOML files beside each other become one frozen, typed tree.

``config.toml`` names what this host wants, ``exchanges.toml`` where the exchanges are and how hard
we may lean on them, ``directions.toml`` which source pairs are scanned, ``fees.toml`` what a fill
costs. Read once at start by ``runtime`` and handed down; each stage gets only its branch. A key
that is unknown, of the wrong type or out of range raises ConfigError with file, key, value and
what was expected. Relative paths are relative to the parent of the configuration folder.
"""

from pathlib import Path

import msgspec

from spreadscan.config_file import read_toml
from spreadscan.config_schema import (
    DirectionRow,
    DirectionsFile,
    DiscoveryConfig,
    EngineConfig,
    ExchangeConfig,
    ExchangesFile,
    FeeConfig,
    FeedConfig,
    FeesFile,
    MainFile,
    MarketConfig,
    MarketFees,
    RuntimeConfig,
    ShmConfig,
    SimConfig,
    TrackerConfig,
)
from spreadscan.errors import ConfigError
from spreadscan.exchanges import Source, sources
from spreadscan.model import Direction, Market, source_name_of
from spreadscan.shm.layout import NUM_SOURCES

__all__ = [
    "Config",
    "DiscoveryConfig",
    "EngineConfig",
    "ExchangeConfig",
    "FeeConfig",
    "FeedConfig",
    "MarketConfig",
    "RuntimeConfig",
    "ShmConfig",
    "SimConfig",
    "TrackerConfig",
    "load_config",
]


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole tree, checked across files."""

    file: str
    """The configuration file as it was named, to pass on to child processes."""
    root: str
    """Folder that relative paths are relative to."""
    is_sim: bool
    shm: ShmConfig
    runtime: RuntimeConfig
    feed: FeedConfig
    engine: EngineConfig
    tracker: TrackerConfig
    discovery: DiscoveryConfig
    sim: SimConfig
    exchanges: dict[str, ExchangeConfig]
    """Enabled exchanges only; addresses are the simulator's when is_sim."""
    directions: tuple[Direction, ...]
    """Those whose two exchanges are enabled."""
    fees: dict[str, FeeConfig]
    """By source name."""

    def path(self, value: str) -> Path:
        """Resolve a path of this configuration."""
        return Path(self.root) / value

    def active_sources(self) -> list[Source]:
        """Return the sources of the enabled exchanges, in order of source id."""
        return [source for source in sources().values() if source.adapter.name in self.exchanges]

    def market(self, source: Source) -> MarketConfig:
        """Return address and limits of a source."""
        return self.exchanges[source.adapter.name].market(source.market)

    def round_trip_fee_bps(self, direction: Direction) -> float:
        """Return what opening and closing cost: two taker fills on each leg."""
        by_id = {source.source_id: source.name for source in self.active_sources()}
        spot, futures = by_id[direction.spot_source], by_id[direction.futures_source]
        return 2 * (self.fees[spot].taker_bps + self.fees[futures].taker_bps)


def load_config(file: Path, *, is_sim: bool = False) -> Config:
    """Read ``file`` and its three neighbours.

    Raises:
        ConfigError: a file is missing, is no TOML, or holds something unusable.
    """
    main = read_toml(file, MainFile)
    exchanges_file, directions_file, fees_file = (
        file.with_name(name) for name in ("exchanges.toml", "directions.toml", "fees.toml")
    )
    listed = read_toml(exchanges_file, ExchangesFile)
    rows = read_toml(directions_file, DirectionsFile).direction
    fees = read_toml(fees_file, FeesFile).fees

    _check_thresholds(file, main)
    _check_exchanges(exchanges_file, listed)
    enabled = {name: branch for name, branch in listed.exchanges.items() if branch.enabled}
    _check_fees(fees_file, fees, enabled)
    if is_sim:
        enabled = {name: _simulated(name, branch, listed.sim) for name, branch in enabled.items()}
    return Config(
        file=str(file),
        root=str(file.absolute().parent.parent),
        is_sim=is_sim,
        shm=_shm_for_sim(main.shm) if is_sim else main.shm,
        runtime=_runtime_for_sim(main.runtime) if is_sim else main.runtime,
        feed=main.feed,
        engine=main.engine,
        tracker=_tracker_for_sim(main.tracker) if is_sim else main.tracker,
        discovery=main.discovery,
        sim=listed.sim,
        exchanges=enabled,
        directions=_directions(directions_file, rows, listed.exchanges, enabled),
        fees={
            source_name_of(name, market): getattr(fees[name], market.value)
            for name in enabled
            for market in Market
        },
    )


def _check_thresholds(file: Path, main: MainFile) -> None:
    engine = main.engine
    if engine.rearm_net_bps >= engine.open_net_bps:
        raise ConfigError(
            str(file),
            "engine.rearm_net_bps",
            str(engine.rearm_net_bps),
            f"less than engine.open_net_bps ({engine.open_net_bps})",
        )
    if main.tracker.converge_net_bps > engine.rearm_net_bps:
        # Or an episode could end while the engine still counts its route as open: a spread that
        # widened again would raise no new opening.
        raise ConfigError(
            str(file),
            "tracker.converge_net_bps",
            str(main.tracker.converge_net_bps),
            f"at most engine.rearm_net_bps ({engine.rearm_net_bps})",
        )
    if engine.max_spread_bps <= engine.open_net_bps:
        raise ConfigError(
            str(file),
            "engine.max_spread_bps",
            str(engine.max_spread_bps),
            f"more than engine.open_net_bps ({engine.open_net_bps})",
        )
    beat_ms = main.runtime.heartbeat_interval_ms
    if engine.feed_silence_ms < 5 * beat_ms:
        raise ConfigError(
            str(file),
            "engine.feed_silence_ms",
            str(engine.feed_silence_ms),
            f"at least five of runtime.heartbeat_interval_ms ({beat_ms})",
        )


def _check_exchanges(file: Path, listed: ExchangesFile) -> None:
    """Refuse an enabled exchange that has no adapter, or operating limits beyond its own."""
    known = {source.adapter.name for source in sources().values()}
    for name, branch in listed.exchanges.items():
        if not branch.enabled:
            continue
        if name not in known:
            raise ConfigError(
                str(file), f"exchanges.{name}.enabled", "true", f"one of {sorted(known)}"
            )
        for source in sources().values():
            if source.adapter.name != name:
                continue
            if source.source_id >= NUM_SOURCES:
                raise ConfigError(
                    str(file), f"exchanges.{name}", f"source id {source.source_id}",
                    f"below {NUM_SOURCES}, the number of sources in shared memory",
                )  # fmt: skip
            _check_limits(file, source, branch)


def _check_limits(file: Path, source: Source, branch: ExchangeConfig) -> None:
    wanted = branch.market(source.market)
    limits = source.spec.limits
    allowed = {
        "topics_per_connection": (wanted.topics_per_connection, limits.topics_per_connection),
        "topics_per_message": (wanted.topics_per_message, limits.topics_per_message),
        "messages_per_s": (wanted.messages_per_s, limits.messages_per_s),
    }
    prefix = f"exchanges.{source.adapter.name}.{source.market.value}"
    for key, (found, limit) in allowed.items():
        if limit is not None and found > limit:
            raise ConfigError(
                str(file), f"{prefix}.{key}", str(found), f"at most {limit}, the exchange's own"
            )
    if limits.connects_per_window is None:
        return
    # The whole count may go out at once, so the count is what is compared, not the mean rate; and
    # markets on one host share its limit, which counts by address.
    shared = [market for market in (branch.spot, branch.futures) if _host(market) == _host(wanted)]
    connects = sum(market.connects_per_window for market in shared)
    if connects > limits.connects_per_window:
        raise ConfigError(
            str(file), f"{prefix}.connects_per_window", f"{connects} over all markets of its host",
            f"at most {limits.connects_per_window} in {limits.connects_window_s:g} s",
        )  # fmt: skip
    if wanted.connects_window_s < limits.connects_window_s:
        raise ConfigError(
            str(file), f"{prefix}.connects_window_s", str(wanted.connects_window_s),
            f"at least {limits.connects_window_s:g}, the exchange's own",
        )  # fmt: skip


def _host(market: MarketConfig) -> str:
    return market.ws_url.split("/")[2]


def _check_fees(
    file: Path, fees: dict[str, MarketFees], enabled: dict[str, ExchangeConfig]
) -> None:
    for name in enabled:
        if name not in fees:
            raise ConfigError(str(file), f"fees.{name}", "nothing", "fees of an enabled exchange")


def _simulated(name: str, branch: ExchangeConfig, sim: SimConfig) -> ExchangeConfig:
    def overlaid(market: Market) -> MarketConfig:
        source = source_name_of(name, market)
        return msgspec.structs.replace(
            branch.market(market),
            rest_url=f"{sim.rest_base}/{source}",
            ws_url=f"{sim.ws_base}/{source}",
        )

    return msgspec.structs.replace(
        branch, spot=overlaid(Market.SPOT), futures=overlaid(Market.FUTURES)
    )


# A simulated pipeline must never share memory, locks, universe or ledger with a real one on one
# host: a simulated price taken for a real one is a phantom signal.


def _shm_for_sim(shm: ShmConfig) -> ShmConfig:
    return msgspec.structs.replace(shm, prefix=f"{shm.prefix[:36]}-sim")


def _runtime_for_sim(runtime: RuntimeConfig) -> RuntimeConfig:
    return msgspec.structs.replace(
        runtime,
        run_dir=str(Path(runtime.run_dir) / "sim"),
        generated_dir=str(Path(runtime.generated_dir) / "sim"),
    )


def _tracker_for_sim(tracker: TrackerConfig) -> TrackerConfig:
    return msgspec.structs.replace(tracker, data_dir=str(Path(tracker.data_dir) / "sim"))


def _directions(
    file: Path,
    rows: list[DirectionRow],
    listed: dict[str, ExchangeConfig],
    enabled: dict[str, ExchangeConfig],
) -> tuple[Direction, ...]:
    spellings = {
        source_name_of(name, market): (name, market) for name in listed for market in Market
    }
    ids = {source.name: source.source_id for source in sources().values()}
    seen: set[int] = set()
    pairs: set[tuple[str, str]] = set()
    result = []
    for index, row in enumerate(rows):
        key = f"direction[{index}]"
        for field, market in (("spot", Market.SPOT), ("futures", Market.FUTURES)):
            found = getattr(row, field)
            if found not in spellings or spellings[found][1] is not market:
                wanted = [name for name, (_, kind) in spellings.items() if kind is market]
                raise ConfigError(str(file), f"{key}.{field}", repr(found), f"one of {wanted}")
        if spellings[row.spot][0] == spellings[row.futures][0]:
            expected = f"another exchange than that of {row.spot}"
            raise ConfigError(str(file), f"{key}.futures", repr(row.futures), expected)
        if row.id in seen:
            raise ConfigError(str(file), f"{key}.id", str(row.id), "an id used once")
        if (row.spot, row.futures) in pairs:
            raise ConfigError(str(file), key, f"{row.spot}, {row.futures}", "a pair listed once")
        seen.add(row.id)
        pairs.add((row.spot, row.futures))
        if all(spellings[name][0] in enabled for name in (row.spot, row.futures)):
            result.append(
                Direction(
                    direction_id=row.id,
                    name=f"{row.spot}_{row.futures}",
                    spot_source=ids[row.spot],
                    futures_source=ids[row.futures],
                )
            )
    if not result:
        raise ConfigError(str(file), "direction", "no usable pair", "a pair of enabled exchanges")
    return tuple(result)
