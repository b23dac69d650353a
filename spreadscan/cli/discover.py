"""``pair-discovery`` as a program: discovery, told by the episode ledger what must not vanish."""

import sqlite3
import sys
from collections.abc import Sequence

from spreadscan.config import Config
from spreadscan.discovery.process import main as discover
from spreadscan.discovery.replace import OpenRoute
from spreadscan.ops.ledger import LedgerReader

__all__ = ["main", "open_routes"]

# More than there are routes.
EVERY = 1_000_000


def main(argv: Sequence[str]) -> int:
    """Run once; return the exit status."""
    return discover(argv, open_routes)


def open_routes(config: Config) -> list[OpenRoute]:
    """Return the routes with an open episode; none where there is no ledger that can be read."""
    directory = config.path(config.tracker.data_dir)
    try:
        with LedgerReader(directory) as ledger:
            return [
                OpenRoute(episode.direction, episode.symbol)
                for episode in ledger.open_episodes(EVERY)
            ]
    except FileNotFoundError:
        return []
    except sqlite3.DatabaseError as error:
        # A ledger in trouble must not keep new listings from being scanned.
        sys.stderr.write(f"pair-discovery: open episodes are not known: {directory}: {error}\n")
        return []
