"""The only way into the price store: a source's slots and the gates before them."""

from spreadscan.exchanges._adapter import PartialQuote
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.health import HealthSlot
from spreadscan.kernel.memory import DirtyBits, PriceSlots
from spreadscan.kernel.tap import Tap

class FeedSink:
    """A source's slots in the price store, and the only writer of them.

    Args:
        source_id: whose slots.
        extractor: the compiled plan with the source's instruments.
        prices: writable price store.
        dirty: writable bitmap.
        health: the feed's own slot.
        restart_update_id: a quote with this id is never old; -1 for none.
        is_restart_told_by_time: a lower id with a later exchange time is not old.
        sends_unchanged: a quote with the last one's id proves that it stands; else it is old.
        max_lag_ms: a quote that took this much longer than the quickest ones is late; 0 for never.
        max_jump_pct: a middle this far from the last good one is held; 0 for never.

    Raises:
        IndexError: no such source.
        PermissionError: a region that is not writable.
        ValueError: a negative bound.

    Concurrency: one thread; holder of the source's lock. Taking the source raises its epoch, which
    makes every older slot unusable, and heals slots a killed predecessor left half written.
    """

    source_id: int
    epoch: int
    live_count: int
    tap: Tap | None
    """Where every received message and every mark is copied to."""
    def __init__(
        self,
        source_id: int,
        extractor: Extractor,
        prices: PriceSlots,
        dirty: DirtyBits,
        health: HealthSlot,
        *,
        restart_update_id: int = -1,
        is_restart_told_by_time: bool = False,
        sends_unchanged: bool = True,
        max_lag_ms: int = 1_000,
        max_jump_pct: float = 10.0,
    ) -> None: ...
    def close(self) -> None: ...
    def set_wake_fd(self, wake_fd: int) -> None:
        """Use this eventfd to wake the engine; -1 for none.

        Called every turn of the feed's loop, it also tells that the loop turns. From the first call
        on, a loop that was away for longer than max_lag_ms makes quotes without an exchange time
        late that may have waited meanwhile.
        """

    def mark(self, symbol_id: int, flag: int) -> None:
        """Make a symbol unusable until its next fresh quote, which may have any update id.

        Its last good price still counts for the jump gate, unless it is UNSUBSCRIBED.
        """

    def is_live(self, symbol_id: int) -> bool: ...
    def last_ns(self, symbol_id: int) -> int:
        """When the last accepted quote or repeat of an unchanged one arrived, CLOCK_MONOTONIC.

        0 when there was none since the symbol was subscribed.
        """

    def silent(self, older_than_ns: int) -> list[int]:
        """Symbols whose last accepted quote or repeat arrived before a moment.

        Those that are disconnected, unsubscribed or were never quoted are not among them; those
        that are unusable for what their last frames were, are.

        Args:
            older_than_ns: CLOCK_MONOTONIC, as `last_ns`; not an age.
        """

    def held(self) -> dict[int, int]:
        """Symbols whose price jumped and is not borne out yet, and since when (CLOCK_MONOTONIC)."""

    def confirm(self, symbol_id: int, price: float) -> bool:
        """Publish the held quote of a symbol if an independent price bears it out.

        Args:
            symbol_id: whose.
            price: per one base coin, from elsewhere (REST), after the quote.

        Returns:
            Whether a quote was held and *price* is within max_jump_pct of its middle. One that
            became unusable for another reason meanwhile stays so.
        """

    def feed(self, payload: bytes) -> int: ...
    def feed_at(self, payload: bytes, received_ns: int) -> int:
        """Treat *payload* as one message that arrived at a recorded time; return its QuoteStatus.

        No clock is read: publish delays are 0 and not recorded. A sink takes either recorded
        messages or received ones.
        """

    def merge(self, partial: PartialQuote) -> int:
        """Merge a change into its symbol's slot; return its QuoteStatus, which is counted.

        The slot is usable once both sides are known. What `Extractor` refuses leaves it unusable,
        with the side that came alone as the only one known: the other must be the outdated one.
        What is late or held is the book that the next change is merged with.
        """

    def bench_consume(self, payloads: list[bytes], rounds: int) -> int: ...
