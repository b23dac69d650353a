"""The command line of the programs that are no `spreadscan` command."""

import argparse
import sys
from pathlib import Path
from typing import NoReturn

from spreadscan.errors import EXIT_USAGE

__all__ = ["CommandLine"]


class CommandLine(argparse.ArgumentParser):
    """Knows the flags every program takes and exits 64 on a wrong command line.

    Args:
        program: its name, for messages.
        description: first line of ``--help``.
    """

    def __init__(self, program: str, description: str | None = None) -> None:
        super().__init__(prog=program, description=description)
        self.add_argument(
            "--config",
            type=Path,
            default=Path("config/config.toml"),
            help="configuration file; its neighbours are read too (default: %(default)s)",
        )
        self.add_argument(
            "--sim", action="store_true", help="talk to the simulated exchanges, not the real ones"
        )

    def error(self, message: str) -> NoReturn:  # type: ignore[explicit-override] # typing, 3.12
        """Say what is wrong in one line and exit 64."""
        sys.stderr.write(f"{self.prog}: {message}; see {self.prog} --help\n")
        sys.exit(EXIT_USAGE)
