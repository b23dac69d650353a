"""What the control block holds back, in names: what is in force, whatever a file says."""

from spreadscan.config import Config
from spreadscan.holds import known_symbols, read_holds
from spreadscan.shm.control import ControlState

__all__ = ["holds_now", "holds_of_the_absent"]

# More symbols than these are counted only.
SHOWN_SYMBOLS = 5


def holds_now(config: Config, state: ControlState) -> str:
    """Say what is held back in a few words; "" when nothing is."""
    parts = ["killed"] if state.is_killed else []
    parts += ["everything"] if state.is_paused else []
    parts += [
        source.name
        for source in config.active_sources()
        if state.paused_sources >> source.source_id & 1
    ]
    parts += [
        row.name for row in config.directions if state.paused_directions >> row.direction_id & 1
    ]
    parts += _symbols(config, state.paused_symbols)
    if not parts:
        return ""
    return ", ".join(parts) + (f" ({state.reason})" if state.reason else "")


def holds_of_the_absent(config: Config) -> tuple[str, ...]:
    """Return names that are held and that nothing has now: they count when it comes back."""
    holds, _ = read_holds(config)
    known = {source.name for source in config.active_sources()}
    known |= {row.name for row in config.directions}
    if holds.symbols:
        known |= known_symbols(config).keys()
    return tuple(name for name in holds.names if name not in known)


def _symbols(config: Config, bits: int) -> list[str]:
    if not bits:
        return []
    names = [name for name, number in known_symbols(config).items() if bits >> number & 1]
    if len(names) != bits.bit_count() or len(names) > SHOWN_SYMBOLS:
        return [f"{bits.bit_count()} symbols"]
    return names
