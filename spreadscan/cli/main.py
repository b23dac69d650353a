"""``spreadscan``: everything a developer or a newcomer runs."""

import sys

from spreadscan.cli.bench import bench
from spreadscan.cli.decode import decode
from spreadscan.cli.group import command_group, run_group
from spreadscan.cli.replay import replay
from spreadscan.cli.shm_size import shm_size
from spreadscan.cli.sim import sim
from spreadscan.cli.units import units
from spreadscan.cli.up import up

__all__ = ["app", "main"]

# Its Parquet library takes a fifth of a second to import, which no other command should pay.
LATER = {"compact": "spreadscan.cli.compact:compact"}

app = command_group("spreadscan", "Spreads between spot and perpetual markets, live.", LATER)
app.command("up")(up)
app.command("sim")(sim)
app.command("decode")(decode)
app.command("replay")(replay)
app.command("shm-size")(shm_size)
app.command("units")(units)
app.command("bench")(bench)


def main() -> int:
    """Entry of the console script; return the exit status."""
    return run_group(app)


if __name__ == "__main__":
    sys.exit(main())
