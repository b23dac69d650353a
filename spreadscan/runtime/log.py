"""One line a record on standard error, with the program's name; journald adds the rest."""

import logging
import sys

__all__ = ["set_up_logging"]


def set_up_logging(program: str, level: str) -> logging.Logger:
    """Send everything of this process to standard error and return the program's logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        logging.Formatter(f"%(asctime)s %(levelname)s {program}: %(message)s", "%Y-%m-%d %H:%M:%S")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Client libraries log addresses of every request at INFO; ours says what matters.
    for library in ("aiohttp", "asyncio", "picows", "websockets"):
        logging.getLogger(library).setLevel(logging.WARNING)
    return logging.getLogger("spreadscan")
