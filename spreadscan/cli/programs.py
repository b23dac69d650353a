"""Entry of the twelve programs: each console script runs this and is known by its own name.

``python -m spreadscan.cli.programs NAME …`` does the same without the console script.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from spreadscan.errors import EXIT_USAGE, SpreadscanError

__all__ = ["main"]


def main() -> int:
    """Run the program whose console script this is."""
    return _dispatch(Path(sys.argv[0]).name, sys.argv[1:])


def _dispatch(name: str, argv: Sequence[str]) -> int:
    # The kernel checks itself when imported; what it finds is for the operator, on one line.
    try:
        program = _program(name)
    except SpreadscanError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return error.exit_code
    if program is None:
        sys.stderr.write(f"{name}: no such program\n")
        return EXIT_USAGE
    return program(argv)


def _program(name: str) -> Callable[[Sequence[str]], int] | None:
    # Imported here so that shm-init does not wait for a feed's libraries.
    if name == "shm-init":
        from spreadscan.shm.init import main as shm_init

        return shm_init
    if name == "pair-discovery":
        from spreadscan.cli.discover import main as discover

        return discover
    from spreadscan.runtime.process import run
    from spreadscan.topology import programs

    if name == "spread-engine":
        from spreadscan.engine.process import main as stage
    elif name == "spread-tracker":
        from spreadscan.tracker.process import main as stage
    elif name in programs() and programs()[name].source is not None:
        from spreadscan.feed.process import main as stage
    else:
        return None
    return lambda argv: run(name, stage, argv)


if __name__ == "__main__":
    sys.exit(_dispatch(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:]))
