"""Configuration: five TOML files beside each other become one frozen, typed tree.

``config.toml`` names what this host wants, ``exchanges.toml`` where the exchanges are and how hard
we may lean on them, ``directions.toml`` which source pairs are scanned, ``fees.toml`` what a fill
costs, ``identity.toml`` which listing is which coin where names mislead. Read once at start by
``runtime`` and handed down; each stage gets only its branch. A key that is unknown, of the wrong
type or out of range raises ConfigError with file, key, value and what was expected. Relative paths
are relative to the parent of the configuration folder.
"""

from pathlib import Path

import msgspec

from spreadscan.config_checks import (
    check_cpu_plan,
    check_exchanges,
    check_fees,
    check_identity,
    check_thresholds,
)
from spreadscan.config_file import read_toml
from spreadscan.config_schema import (
    CpuConfig,
    CpuRoleConfig,
    DirectionRow,
    DirectionsFile,
    DiscoveryConfig,
    EngineConfig,
    ExchangeConfig,
    ExchangesFile,
    FeeConfig,
    FeedConfig,
    FeesFile,
    IdentityFile,
    ListingWord,
    MainFile,
    MarketConfig,
    RecordConfig,
    RuntimeConfig,
    ShmConfig,
    SimConfig,
    TrackerConfig,
)
from spreadscan.errors import ConfigError
from spreadscan.exchanges import Source, sources
from spreadscan.model import Direction, Market, source_name_of

__all__ = [
    "Config",
    "CpuConfig",
    "CpuRoleConfig",
    "DiscoveryConfig",
    "EngineConfig",
    "ExchangeConfig",
    "FeeConfig",
    "FeedConfig",
    "ListingWord",
    "MarketConfig",
    "RecordConfig",
    "RoundTripFees",
    "RuntimeConfig",
    "ShmConfig",
    "SimConfig",
    "TrackerConfig",
    "load_config",
]


class RoundTripFees(msgspec.Struct, frozen=True, kw_only=True):
    """What a round trip costs in one direction, in basis points."""

    usual_bps: float
    by_symbol: dict[str, float] = {}
    """Where a leg has fees of its own."""

    def of(self, symbol: str) -> float:
        """Return what a round trip of one symbol costs."""
        return self.by_symbol.get(symbol, self.usual_bps)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The whole tree, checked across files."""

    file: str
    """The configuration file as it was named, to pass on to child processes."""
    root: str
    """Folder that relative paths are relative to."""
    is_sim: bool
    shm: ShmConfig
    runtime: RuntimeConfig
    cpu: CpuConfig
    feed: FeedConfig
    engine: EngineConfig
    tracker: TrackerConfig
    discovery: DiscoveryConfig
    record: RecordConfig
    sim: SimConfig
    exchanges: dict[str, ExchangeConfig]
    """Enabled exchanges only; addresses are the simulator's when is_sim."""
    directions: tuple[Direction, ...]
    """Those whose two exchanges are enabled."""
    fees: dict[str, FeeConfig]
    """By source name."""
    identity: tuple[ListingWord, ...]
    """The operator's word on single listings."""

    def path(self, value: str) -> Path:
        """Resolve a path of this configuration."""
        return Path(self.root) / value

    def active_sources(self) -> list[Source]:
        """Return the sources of the enabled exchanges, in order of source id."""
        return [source for source in sources().values() if source.adapter.name in self.exchanges]

    def market(self, source: Source) -> MarketConfig:
        """Return address and limits of a source."""
        return self.exchanges[source.adapter.name].market(source.market)

    def round_trip_fees(self, direction: Direction) -> RoundTripFees:
        """Return what opening and closing cost: two taker fills on each leg."""
        by_id = {source.source_id: source.name for source in self.active_sources()}
        legs = [self.fees[by_id[direction.spot_source]], self.fees[by_id[direction.futures_source]]]
        own = {fee.name for leg in legs for fee in leg.symbol}
        return RoundTripFees(
            usual_bps=2 * sum(leg.taker_bps for leg in legs),
            by_symbol={name: 2 * sum(leg.taker_of(name) for leg in legs) for name in own},
        )


def load_config(file: Path, *, is_sim: bool = False) -> Config:
    """Read ``file`` and its four neighbours.

    Raises:
        ConfigError: a file is missing, is no TOML, or holds something unusable.
    """
    main = read_toml(file, MainFile)
    exchanges_file, directions_file, fees_file, identity_file = (
        file.with_name(f"{name}.toml") for name in ("exchanges", "directions", "fees", "identity")
    )
    listed = read_toml(exchanges_file, ExchangesFile)
    rows = read_toml(directions_file, DirectionsFile).direction
    fees = read_toml(fees_file, FeesFile).fees
    words = read_toml(identity_file, IdentityFile).listing

    check_thresholds(file, main)
    check_cpu_plan(file, main)
    check_exchanges(exchanges_file, listed)
    enabled = {name: branch for name, branch in listed.exchanges.items() if branch.enabled}
    check_fees(fees_file, fees, enabled)
    check_identity(
        identity_file,
        words,
        {source_name_of(name, kind) for name in listed.exchanges for kind in Market},
    )
    if is_sim:
        enabled = {name: _simulated(name, branch, listed.sim) for name, branch in enabled.items()}
    return Config(
        file=str(file),
        root=str(file.absolute().parent.parent),
        is_sim=is_sim,
        shm=_shm_for_sim(main.shm) if is_sim else main.shm,
        runtime=_runtime_for_sim(main.runtime) if is_sim else main.runtime,
        cpu=main.cpu,
        feed=main.feed,
        engine=main.engine,
        tracker=_tracker_for_sim(main.tracker) if is_sim else main.tracker,
        discovery=main.discovery,
        record=_record_for_sim(main.record) if is_sim else main.record,
        sim=listed.sim,
        exchanges=enabled,
        directions=_directions(directions_file, rows, listed.exchanges, enabled),
        fees={
            source_name_of(name, market): getattr(fees[name], market.value)
            for name in enabled
            for market in Market
        },
        identity=tuple(words),
    )


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


def _record_for_sim(record: RecordConfig) -> RecordConfig:
    return msgspec.structs.replace(record, dir=str(Path(record.dir) / "sim"))


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
