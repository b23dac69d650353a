"""Where the console scripts with commands begin: Ctrl-C while they load is one line, too.

Nothing is imported here that takes time; what comes after loading is said in ``group``.
"""

import sys
from importlib import import_module

from spreadscan.errors import EXIT_TEMPORARY

__all__ = ["spread_ctl", "spreadscan"]


def spread_ctl() -> int:
    """Run ``spread-ctl``; return the exit status."""
    return _run("spread-ctl", "spreadscan.cli.ctl")


def spreadscan() -> int:
    """Run ``spreadscan``; return the exit status."""
    return _run("spreadscan", "spreadscan.cli.main")


def _run(name: str, module: str) -> int:
    try:
        return int(import_module(module).main())
    except KeyboardInterrupt:
        sys.stderr.write(f"{name}: interrupted\n")
        return EXIT_TEMPORARY
