"""Who carries batches to the store: a thread of its own, so that a slow disk holds up nobody.

One batch is under way at a time. Whatever comes meanwhile is gathered by the tracker, so that the
next batch is larger rather than the queue longer.
"""

import queue
import sqlite3
import threading
from typing import NamedTuple, Protocol

from spreadscan.tracker.store import Batch, EpisodeStore

__all__ = ["InlineWriter", "Outcome", "ThreadWriter", "Writer"]


class Outcome(NamedTuple):
    """What became of a batch."""

    batch: Batch
    error: sqlite3.Error | OSError | None
    """None when it is stored."""


class Writer(Protocol):
    """Takes one batch at a time."""

    store: EpisodeStore

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way, or its outcome was not collected yet."""
        ...

    def submit(self, batch: Batch) -> None:
        """Hand over a batch; the writer must not be busy."""
        ...

    def collect(self, timeout_s: float = 0.0) -> Outcome | None:
        """Return the outcome of the batch under way; None while there is none."""
        ...

    def close(self, timeout_s: float) -> bool:
        """Close the store once nothing is under way; False when that took too long."""
        ...


class InlineWriter:
    """Stores in the caller's own time: for replays, whose clock stands still meanwhile.

    Nothing is synced: a replay's ledger is not kept.

    Concurrency: one thread.
    """

    def __init__(self, store: EpisodeStore) -> None:
        self.store = store
        self._outcome: Outcome | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an outcome waits to be collected."""
        return self._outcome is not None

    def submit(self, batch: Batch) -> None:
        """Store a batch now."""
        assert self._outcome is None
        self._outcome = _stored(self.store, batch._replace(is_synced=False))

    def collect(self, timeout_s: float = 0.0) -> Outcome | None:
        """Return the outcome of the last batch, once."""
        del timeout_s
        outcome, self._outcome = self._outcome, None
        return outcome

    def close(self, timeout_s: float) -> bool:
        """Close the store."""
        del timeout_s
        self.store.close()
        return True


class ThreadWriter:
    """Stores in a thread.

    Concurrency: called by one thread; the store belongs to the writer's thread.
    """

    def __init__(self, store: EpisodeStore) -> None:
        self.store = store
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._is_busy = False
        # A daemon: a disk that never answers must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """Whether a batch is under way, or its outcome was not collected yet."""
        return self._is_busy

    def submit(self, batch: Batch) -> None:
        """Hand over a batch."""
        assert not self._is_busy
        self._is_busy = True
        self._batches.put(batch)

    def collect(self, timeout_s: float = 0.0) -> Outcome | None:
        """Return the outcome of the batch under way, waiting for it up to *timeout_s*."""
        if not self._is_busy:
            return None
        try:
            outcome = self._outcomes.get(timeout_s > 0.0, timeout_s or None)
        except queue.Empty:
            if not self._thread.is_alive():
                raise RuntimeError("the ledger's thread ended by a mistake of its own") from None
            return None
        self._is_busy = False
        return outcome

    def close(self, timeout_s: float) -> bool:
        """End the thread, which closes the store; False when it did not end in time."""
        self._batches.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            self._outcomes.put(_stored(self.store, batch))
        self.store.close()


def _stored(store: EpisodeStore, batch: Batch) -> Outcome:
    try:
        store.commit(batch)
    except (sqlite3.Error, OSError) as error:
        return Outcome(batch, error)
    return Outcome(batch, None)
