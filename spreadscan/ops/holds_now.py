"""What the control block holds back, in names: what is in force, whatever a file says."""

from spreadscan.config import Config
from spreadscan.holds import Holds, known_symbols, read_holds
from spreadscan.shm.control import ControlState

__all__ = ["holds_in_force", "holds_now", "holds_of_the_absent"]

# More symbols than these are counted only.
SHOWN_SYMBOLS = 5


def holds_now(config: Config, state: ControlState) -> str:
    """Say what is held back in a few words; "" when nothing is."""
    parts = ["killed"] if state.is_killed else []
    parts += ["everything"] if state.is_paused else []
    parts += [*_sources(config, state), *_directions(config, state)]
    parts += _symbols(config, state.paused_symbols)
    if not parts:
        return ""
    return ", ".join(parts) + (f" ({state.reason})" if state.reason else "")


def holds_in_force(config: Config, state: ControlState) -> Holds:
    """Return what is held by the file or by the block: what could not be stored counts as well.

    What was let go and could not be stored is held again by it: too much, never too little.
    """
    holds, _ = read_holds(config)
    bits = state.paused_symbols
    names = known_symbols(config) if bits else {}
    symbols = [name for name, number in names.items() if bits >> number & 1]
    held = holds.and_names(_sources(config, state), _directions(config, state), symbols)
    return held.but(
        killed=holds.killed or state.is_killed,
        everything=holds.everything or state.is_paused,
        reason=holds.reason or state.reason,
    )


def holds_of_the_absent(config: Config) -> tuple[str, ...]:
    """Return names that are held and that nothing has now: they count when it comes back."""
    holds, _ = read_holds(config)
    known = {source.name for source in config.active_sources()}
    known |= {row.name for row in config.directions}
    if holds.symbols:
        known |= known_symbols(config).keys()
    return tuple(name for name in holds.names if name not in known)


def _sources(config: Config, state: ControlState) -> list[str]:
    return [
        source.name
        for source in config.active_sources()
        if state.paused_sources >> source.source_id & 1
    ]


def _directions(config: Config, state: ControlState) -> list[str]:
    bits = state.paused_directions
    return [row.name for row in config.directions if bits >> row.direction_id & 1]


def _symbols(config: Config, bits: int) -> list[str]:
    if not bits:
        return []
    names = [name for name, number in known_symbols(config).items() if bits >> number & 1]
    if len(names) != bits.bit_count() or len(names) > SHOWN_SYMBOLS:
        return [f"{bits.bit_count()} symbols"]
    return names
