"""Which routes are listed: follows the universe on disk, and ends what it has no room for.

The engine may have read the next universe before us, or may still send what it found in the last
one. A signal of a route that ours does not list is therefore a reason to look at the disk.
"""

import numpy as np
import numpy.typing as npt

from spreadscan.errors import UniverseError
from spreadscan.runtime.process import Context
from spreadscan.tracker.book import EpisodeBook
from spreadscan.tracker.names import RouteNames
from spreadscan.universe import read_metadata

__all__ = ["Listing", "names_now"]


def names_now(context: Context) -> RouteNames:
    """Return the names of the context's universe."""
    return RouteNames.of(context.universe, context.config.directions)


class Listing:
    """Keeps the book's names those of the universe.

    Args:
        context: whose universe it is.
        book: with the names of that universe; what an earlier run left in it may be unlisted.

    Concurrency: none; it belongs to the tracker's loop.
    """

    def __init__(self, context: Context, book: EpisodeBook) -> None:
        self._context = context
        self._book = book
        self._folder = context.config.path(context.config.runtime.generated_dir)
        self._is_ending_due = True
        self._unreadable_generation = -1

    def adopt(self) -> None:
        """Go over to the context's universe; `end_unlisted` does the rest."""
        self._book.adopt(names_now(self._context))
        self._is_ending_due = True

    def lists(self, records: npt.NDArray[np.void]) -> bool:
        """Tell whether the universe lists the routes of signals; when not, `catch_up` knows why."""
        return self._book.lists(records)

    def catch_up(self) -> None:
        """Find out about a route that is not listed: is it too new for us, or delisted?

        Reads the universe when another one is on disk. When ours stands there, the route is
        delisted. When that cannot be told, the route is followed as if it were listed.
        """
        try:
            on_disk = read_metadata(self._folder).generation
        except UniverseError:
            return
        if on_disk == self._context.universe.generation:
            self._is_ending_due = True
        elif on_disk != self._unreadable_generation:
            if self._context.reload():
                self.adopt()
            else:
                # It was told once; the next reason to try is another generation or a command.
                self._unreadable_generation = on_disk

    def end_unlisted(self, wall_offset_ns: int) -> None:
        """End what the universe does not list, if it may hold such episodes.

        Call it with the ring drained: what ended before the universe changed has then done so.
        """
        if self._is_ending_due:
            self._is_ending_due = False
            self._book.end_unlisted(self._context.clock.monotonic_ns(), wall_offset_ns)
