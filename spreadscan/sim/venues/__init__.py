"""The simulated exchanges: every module of this folder that does not begin with ``_`` is one."""

import importlib
import pkgutil
from functools import cache

from spreadscan.sim.venues._venue import (
    Action,
    Board,
    Client,
    Close,
    Endpoint,
    Frame,
    Listen,
    Moment,
    Ping,
    RecordedQuote,
    RestReply,
    Send,
    Session,
    Subject,
    Target,
    Unlisten,
    Venue,
    Window,
)

__all__ = [
    "Action",
    "Board",
    "Client",
    "Close",
    "Endpoint",
    "Frame",
    "Listen",
    "Moment",
    "Ping",
    "RecordedQuote",
    "RestReply",
    "Send",
    "Session",
    "Subject",
    "Target",
    "Unlisten",
    "Venue",
    "Window",
    "venues",
]


@cache
def venues() -> dict[str, type[Venue]]:
    """Return every simulated exchange by name.

    Raises:
        AssertionError: a file's VENUE carries another name than the file.
    """
    found: dict[str, type[Venue]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        if module_info.name.startswith("_"):
            continue
        venue: type[Venue] = importlib.import_module(f"{__name__}.{module_info.name}").VENUE
        assert venue.name == module_info.name, (venue.name, module_info.name)
        found[venue.name] = venue
    return found
