"""From a universe to the engine's routes. Pure."""

from spreadscan.config import Config
from spreadscan.shm.price_store import slot_of
from spreadscan.universe import Universe

__all__ = ["routes_of"]


def routes_of(universe: Universe, config: Config) -> list[tuple[int, int, int, int, float]]:
    """Return (spot slot, futures slot, direction id, symbol id, round-trip fee in bps) each.

    Directions that the configuration does not enable are left out.
    """
    fees_bps = {
        direction.direction_id: config.round_trip_fee_bps(direction)
        for direction in config.directions
    }
    return [
        (
            slot_of(record.spot_source, symbol_id),
            slot_of(record.futures_source, symbol_id),
            record.direction_id,
            symbol_id,
            fees_bps[record.direction_id],
        )
        for record in universe.directions
        if record.direction_id in fees_bps
        for symbol_id in record.symbols
    ]
