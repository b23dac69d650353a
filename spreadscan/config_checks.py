"""What no single key of the configuration can tell: values that must fit each other. Pure.

Each check raises ConfigError with file, key, what was found and what was expected.
"""

from collections.abc import Collection, Sequence
from pathlib import Path

from spreadscan.config_schema import (
    CpuConfig,
    CpuRoleConfig,
    ExchangeConfig,
    ExchangesFile,
    ListingWord,
    MainFile,
    MarketFees,
)
from spreadscan.core_list import parse_cores
from spreadscan.errors import ConfigError
from spreadscan.exchanges import Source, sources
from spreadscan.model import Market
from spreadscan.shm.layout import NUM_SOURCES

__all__ = ["check_cpu_plan", "check_exchanges", "check_fees", "check_identity", "check_thresholds"]

# 16 kB a route, 200 MB for as many as there can be.
MAX_BASELINE_LOOKS = 4096


def check_thresholds(file: Path, main: MainFile) -> None:
    """Refuse thresholds that contradict each other."""
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
    tracker = main.tracker
    looks = round(tracker.baseline_window_h * 3600 / tracker.baseline_interval_s)
    # The latest look is left out of what is published.
    if not tracker.baseline_min_samples < looks <= MAX_BASELINE_LOOKS:
        raise ConfigError(
            str(file),
            "tracker.baseline_window_h",
            f"{tracker.baseline_window_h} ({looks} looks)",
            f"more than tracker.baseline_min_samples ({tracker.baseline_min_samples}) and at most "
            f"{MAX_BASELINE_LOOKS} looks of tracker.baseline_interval_s",
        )
    beat_ms = main.runtime.heartbeat_interval_ms
    if engine.feed_silence_ms < 5 * beat_ms:
        raise ConfigError(
            str(file),
            "engine.feed_silence_ms",
            str(engine.feed_silence_ms),
            f"at least five of runtime.heartbeat_interval_ms ({beat_ms})",
        )
    if engine.confirm_updates == 1 and engine.confirm_ms:
        # The first quote would confirm, and the time never count.
        raise ConfigError(
            str(file),
            "engine.confirm_updates",
            "1",
            f"0, or 2 and more, beside engine.confirm_ms ({engine.confirm_ms})",
        )
    if engine.max_funding_age_s < 2 * main.feed.funding_interval_s:
        # Or what was asked for in time would be too old before the next answer, or after one
        # question that failed.
        raise ConfigError(
            str(file),
            "feed.funding_interval_s",
            str(main.feed.funding_interval_s),
            f"at most half of engine.max_funding_age_s ({engine.max_funding_age_s})",
        )
    if engine.max_baseline_age_s < 2 * tracker.baseline_interval_s:
        # Or what is usual would be forgotten between two looks.
        raise ConfigError(
            str(file),
            "tracker.baseline_interval_s",
            str(tracker.baseline_interval_s),
            f"at most half of engine.max_baseline_age_s ({engine.max_baseline_age_s})",
        )
    if main.record.max_mib < 2 * main.record.segment_mib:
        # One that is being written and one that may be deleted.
        raise ConfigError(
            str(file),
            "record.max_mib",
            str(main.record.max_mib),
            f"at least two of record.segment_mib ({main.record.segment_mib})",
        )


def check_cpu_plan(file: Path, main: MainFile) -> None:
    """Refuse cores that are no list, a priority without its class, and a class without one."""
    for role in CpuConfig.__struct_fields__:
        share: CpuRoleConfig = getattr(main.cpu, role)
        try:
            parse_cores(share.cores)
        except ValueError:
            raise ConfigError(
                str(file), f"cpu.{role}.cores", repr(share.cores), "cores such as '2-3,6', or ''"
            ) from None
        is_realtime = share.policy in {"fifo", "rr"}
        if is_realtime != (share.priority > 0):
            raise ConfigError(
                str(file),
                f"cpu.{role}.priority",
                str(share.priority),
                f"{'1 to 99' if is_realtime else '0'} with policy {share.policy!r}",
            )


def check_exchanges(file: Path, listed: ExchangesFile) -> None:
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
    shared = [
        market for market in (branch.spot, branch.futures) if market.ws_host == wanted.ws_host
    ]
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


def check_fees(file: Path, fees: dict[str, MarketFees], enabled: dict[str, ExchangeConfig]) -> None:
    """Refuse an enabled exchange without fees, and two fees of one symbol."""
    for name in enabled:
        if name not in fees:
            raise ConfigError(str(file), f"fees.{name}", "nothing", "fees of an enabled exchange")
    for name, markets in fees.items():
        for market in Market:
            symbols = [fee.name for fee in getattr(markets, market.value).symbol]
            twice = next((each for each in symbols if symbols.count(each) > 1), None)
            if twice is not None:
                key = f"fees.{name}.{market.value}.symbol"
                raise ConfigError(str(file), key, f"{twice} again", "one entry about a symbol")


def check_identity(file: Path, words: Sequence[ListingWord], known: Collection[str]) -> None:
    """Refuse a word about no known source, a second word about one listing, and an empty word."""
    seen: set[tuple[str, str]] = set()
    for index, word in enumerate(words):
        key = f"listing[{index}]"
        if word.source not in known:
            raise ConfigError(
                str(file), f"{key}.source", repr(word.source), f"one of {sorted(known)}"
            )
        if (word.source, word.symbol) in seen:
            found = f"{word.source} {word.symbol} again"
            raise ConfigError(str(file), key, found, "one word about a listing")
        if word.coin is None and word.multiplier is None and word.verdict is None:
            raise ConfigError(str(file), key, "nothing said", "coin, multiplier or verdict")
        seen.add((word.source, word.symbol))
