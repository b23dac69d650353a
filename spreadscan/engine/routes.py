"""From a universe to the engine's routes. Pure."""

from spreadscan.config import Config
from spreadscan.shm.price_store import slot_of
from spreadscan.universe import Universe

__all__ = ["routes_of", "unknown_fees"]


def routes_of(universe: Universe, config: Config) -> list[tuple[int, int, int, int, float]]:
    """Return (spot slot, futures slot, direction id, symbol id, round-trip fee in bps) each.

    Directions that the configuration does not enable are left out.
    """
    fees = {row.direction_id: config.round_trip_fees(row) for row in config.directions}
    names = {symbol.symbol_id: symbol.name for symbol in universe.symbols}
    return [
        (
            slot_of(record.spot_source, symbol_id),
            slot_of(record.futures_source, symbol_id),
            record.direction_id,
            symbol_id,
            fees[record.direction_id].of(names[symbol_id]),
        )
        for record in universe.directions
        if record.direction_id in fees
        for symbol_id in record.symbols
    ]


def unknown_fees(universe: Universe, config: Config) -> list[str]:
    """Return the symbols with a fee of their own that the universe does not list."""
    listed = {symbol.name for symbol in universe.symbols}
    wanted = {fee.name for market in config.fees.values() for fee in market.symbol}
    return sorted(wanted - listed)
