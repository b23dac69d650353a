"""The registry: every module of this folder that does not begin with ``_`` is an exchange."""

import importlib
import pkgutil
from functools import cache

from spreadscan.exchanges._adapter import Adapter, MarketSpec
from spreadscan.model import Market, source_id_of, source_name_of

__all__ = ["Source", "adapters", "source_named", "sources"]


class Source:
    """One market of one exchange, with what its adapter declares."""

    __slots__ = ("adapter", "market", "name", "source_id", "spec")

    def __init__(self, adapter: Adapter, market: Market) -> None:
        self.adapter = adapter
        self.market = market
        self.spec: MarketSpec = adapter.markets[market]
        self.source_id = source_id_of(adapter.venue_id, market)
        self.name = source_name_of(adapter.name, market)


@cache
def adapters() -> dict[str, Adapter]:
    """Return every exchange by name.

    Raises:
        AssertionError: a file's ADAPTER carries another name, or a venue id twice.
    """
    found: dict[str, Adapter] = {}
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name.startswith("_"):
            continue
        adapter: Adapter = importlib.import_module(f"{__name__}.{module_info.name}").ADAPTER
        assert adapter.name == module_info.name, (adapter.name, module_info.name)
        assert adapter.venue_id not in {other.venue_id for other in found.values()}, adapter.name
        found[adapter.name] = adapter
    return found


@cache
def sources() -> dict[str, Source]:
    """Return every source by name, in order of source id."""
    every = [
        Source(adapter, market) for adapter in adapters().values() for market in adapter.markets
    ]
    return {source.name: source for source in sorted(every, key=lambda source: source.source_id)}


def source_named(name: str) -> Source:
    """Return the source of that name.

    Raises:
        KeyError: no exchange file declares it.
    """
    return sources()[name]
