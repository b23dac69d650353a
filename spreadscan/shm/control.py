"""The control block: what the operator asked for, as words every process looks at.

Values are stored first and the generation last, so a process that sees a new generation sees what
it asks for; it then writes that generation back into its own health slot.
"""

from collections.abc import Sequence

import msgspec

from spreadscan.holds import HoldWords
from spreadscan.shm.layout import MAX_SYMBOLS, Control
from spreadscan.shm.region import Region

__all__ = ["ControlReader", "ControlState", "ControlWriter"]


class ControlState(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for now."""

    generation: int
    shutdown_waves: int
    """How many of `topology.stop_wave` are to end; 0: nobody."""
    is_killed: bool
    """No signal may leave; sticky."""
    kills: int = 0
    """Times that it was set since the block was made."""
    is_paused: bool
    paused_sources: int
    """Bit = source id."""
    paused_directions: int
    """Bit = direction id."""
    paused_symbols: int = 0
    """Bit = symbol id."""
    reason: str = ""
    """The operator's."""
    config_generation: int


class ControlReader:
    """The words, read-only.

    Concurrency: any number of readers.
    """

    def __init__(self, region: Region) -> None:
        self._load = region.mapping.load_word

    def generation(self) -> int:
        """Return the number of the last command; one load, for a loop's every turn."""
        return self._load(Control.GENERATION)

    def state(self) -> ControlState:
        """Return everything that is asked for."""
        load = self._load
        return ControlState(
            generation=load(Control.GENERATION),
            shutdown_waves=load(Control.SHUTDOWN),
            is_killed=load(Control.KILL) != 0,
            kills=load(Control.KILLS),
            is_paused=load(Control.PAUSE_ALL) != 0,
            paused_sources=load(Control.PAUSED_SOURCES),
            paused_directions=load(Control.PAUSED_DIRECTIONS),
            paused_symbols=self._number(Control.PAUSED_SYMBOLS, MAX_SYMBOLS // 8),
            reason=self._text(Control.REASON, Control.REASON_BYTES),
            config_generation=load(Control.CONFIG_GENERATION),
        )

    def _number(self, offset: int, size: int) -> int:
        return int.from_bytes(self._bytes(offset, size), "little")

    def _text(self, offset: int, size: int) -> str:
        return self._bytes(offset, size).split(b"\0")[0].decode(errors="replace")

    def _bytes(self, offset: int, size: int) -> bytes:
        words = [self._load(offset + at) for at in range(0, size, 8)]
        return b"".join(word.to_bytes(8, "little") for word in words)


class ControlWriter:
    """The operator's pen.

    Concurrency: one writer at a time, whoever holds the control lock; `kill` beside it.
    """

    def __init__(self, region: Region) -> None:
        self._store = region.mapping.store_word
        self._load = region.mapping.load_word
        self._swap = region.mapping.swap_word

    def command(self, **values: int) -> int:
        """Store words by the names of layout.Control, then raise the generation; return it.

        Raises:
            AttributeError: there is no such word.
        """
        for name, value in values.items():
            if name == "KILL":
                self._set_kill(value)
            else:
                self._store(getattr(Control, name), value)
        return self._raise(Control.GENERATION)

    def kill(self) -> int:
        """Let no signal leave any more; return the command's generation.

        Concurrency: needs no lock, so that a writer who hangs with it holds nobody up; one who
        stores `hold` at the same moment does not undo it, unless it lifts the kill before.
        """
        self._set_kill(1)
        return self._raise(Control.GENERATION)

    def ask_for_reload(self) -> int:
        """Ask every process to read its files again; return the command's generation."""
        return self.command(CONFIG_GENERATION=self._load(Control.CONFIG_GENERATION) + 1)

    def hold(self, words: HoldWords, *, lifts_kill: bool = False) -> int:
        """Store everything that is held back; return the command's generation.

        KILL is looked at without waiting for the generation, so it is set first and lifted last.
        Words without a kill leave it as it is: somebody may have set it since they were made.

        Args:
            words: what is held.
            lifts_kill: a kill that was seen is over.
        """
        if words.kill:
            self._set_kill(words.kill)
        self._store_symbols(words.symbols)
        text = words.reason.encode()[: Control.REASON_BYTES - 1].decode(errors="ignore").encode()
        data = text.ljust(Control.REASON_BYTES, b"\0")
        for offset in range(0, Control.REASON_BYTES, 8):
            word = int.from_bytes(data[offset : offset + 8], "little")
            self._store(Control.REASON + offset, word)
        return self.command(
            PAUSE_ALL=words.pause_all,
            PAUSED_SOURCES=words.sources,
            PAUSED_DIRECTIONS=words.directions,
            **({"KILL": 0} if lifts_kill else {}),
        )

    def hold_symbols(self, words: Sequence[int]) -> int:
        """Store which symbols are held back, and nothing else; return the command's generation.

        Args:
            words: MAX_SYMBOLS bits.
        """
        self._store_symbols(words)
        return self.command()

    def _store_symbols(self, words: Sequence[int]) -> None:
        for index, word in enumerate(words):
            self._store(Control.PAUSED_SYMBOLS + 8 * index, word)

    def _set_kill(self, value: int) -> None:
        if not value:
            self._store(Control.KILL, 0)
        elif self._swap(Control.KILL, 0, value):
            self._raise(Control.KILLS)

    def _raise(self, offset: int) -> int:
        """Count a word up; one number for one command, also of writers side by side."""
        while True:
            before = self._load(offset)
            if self._swap(offset, before, before + 1):
                return before + 1
