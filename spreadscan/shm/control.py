"""The control block: what the operator asked for, as words every process looks at.

Values are stored first and the generation last, so a process that sees a new generation sees what
it asks for; it then writes that generation back into its own health slot.
"""

import msgspec

from spreadscan.shm.layout import Control
from spreadscan.shm.region import Region

__all__ = ["ControlReader", "ControlState", "ControlWriter"]


class ControlState(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for now."""

    generation: int
    is_shutdown: bool
    is_killed: bool
    """No signal may leave; sticky."""
    is_paused: bool
    paused_sources: int
    """Bit = source id."""
    paused_directions: int
    """Bit = direction id."""
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
            is_shutdown=load(Control.SHUTDOWN) != 0,
            is_killed=load(Control.KILL) != 0,
            is_paused=load(Control.PAUSE_ALL) != 0,
            paused_sources=load(Control.PAUSED_SOURCES),
            paused_directions=load(Control.PAUSED_DIRECTIONS),
            config_generation=load(Control.CONFIG_GENERATION),
        )


class ControlWriter:
    """The operator's pen.

    Concurrency: one writer at a time, whoever holds the control lock.
    """

    def __init__(self, region: Region) -> None:
        self._store = region.mapping.store_word
        self._load = region.mapping.load_word

    def command(self, **values: int) -> int:
        """Store words by the names of layout.Control, then raise the generation; return it.

        Raises:
            AttributeError: there is no such word.
        """
        for name, value in values.items():
            self._store(getattr(Control, name), value)
        generation = self._load(Control.GENERATION) + 1
        self._store(Control.GENERATION, generation)
        return generation

    def ask_for_reload(self) -> int:
        """Ask every process to read the universe again; return the command's generation."""
        return self.command(CONFIG_GENERATION=self._load(Control.CONFIG_GENERATION) + 1)
