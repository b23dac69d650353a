"""What one universe has and another has not. Pure."""

import msgspec

from spreadscan.universe import Universe, direction_name

__all__ = ["Changes", "changes"]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What is different, by name and in order."""

    symbols_added: tuple[str, ...]
    symbols_removed: tuple[str, ...]
    pairs_added: tuple[str, ...]
    """``<direction> <symbol>``"""
    pairs_removed: tuple[str, ...]


def changes(before: Universe | None, after: Universe) -> Changes:
    """Compare two universes by name; against none everything is new."""
    old_symbols, new_symbols = _symbols(before), _symbols(after)
    old_pairs, new_pairs = _pairs(before), _pairs(after)
    return Changes(
        symbols_added=tuple(sorted(new_symbols - old_symbols)),
        symbols_removed=tuple(sorted(old_symbols - new_symbols)),
        pairs_added=tuple(sorted(new_pairs - old_pairs)),
        pairs_removed=tuple(sorted(old_pairs - new_pairs)),
    )


def _symbols(universe: Universe | None) -> set[str]:
    return {symbol.name for symbol in universe.symbols} if universe else set()


def _pairs(universe: Universe | None) -> set[str]:
    if universe is None:
        return set()
    names = {symbol.symbol_id: symbol.name for symbol in universe.symbols}
    return {
        f"{direction_name(row)} {names[symbol_id]}"
        for row in universe.directions
        for symbol_id in row.symbols
    }
