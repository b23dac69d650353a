"""What is usual for every route now, as the running tracker publishes it."""

from spreadscan.config import Config
from spreadscan.errors import RegionError, UniverseError
from spreadscan.ops.statistics import Usual
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.record_table import route_index
from spreadscan.shm.regions import attach_regions
from spreadscan.universe import load_universe

__all__ = ["baselines_now"]


def baselines_now(config: Config) -> dict[tuple[str, str], Usual]:
    """Return baselines by direction and symbol; none where no pipeline is set up.

    Concurrency: attaches read-only; nobody is held up.
    """
    try:
        regions = attach_regions(config.shm, reads=(RegionKind.BASELINE,), writes=(), timeout_s=0.0)
        universe = load_universe(config.path(config.runtime.generated_dir))
    except (RegionError, UniverseError):
        return {}
    records, stable = regions.baseline.read_all()
    directions = {row.direction_id: row.name for row in config.directions}
    symbols = {row.symbol_id: row.name for row in universe.symbols}
    found = {}
    for row in universe.directions:
        if row.direction_id not in directions:
            continue
        for symbol_id in row.symbols:
            index = route_index(row.direction_id, symbol_id)
            record = records[index]
            if stable[index] and record["samples"]:
                found[directions[row.direction_id], symbols[symbol_id]] = Usual(
                    float(record["median_bps"]), float(record["mad_bps"]), int(record["samples"])
                )
    return found
