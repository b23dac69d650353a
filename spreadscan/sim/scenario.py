"""Scenario files: read, and checked against the world that they are to be played in.

What may stand in one is written at the top of ``sim/faults.py``.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import msgspec

from spreadscan.config_file import read_toml
from spreadscan.errors import ConfigError
from spreadscan.sim.faults import NEEDS_SYMBOL, Fault
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import Venue
from spreadscan.sim.world import AddedCoin, Ticker, build_venues, listed_symbols

__all__ = ["Scenario", "load_scenario"]

# Below this a quote is rounded so far from its price that two sources would disagree by the grid.
MIN_TICKS = 100

TableT = TypeVar("TableT", bound=msgspec.Struct)


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A scenario file."""

    fault: tuple[Fault, ...] = ()
    coin: tuple[AddedCoin, ...] = ()


def load_scenario(file: Path, exchanges: Sequence[str], symbols: int) -> Scenario:
    """Read and check a scenario.

    Args:
        file: the TOML file.
        exchanges: names of the simulated exchanges.
        symbols: how many of the usual coins are simulated.

    Raises:
        ConfigError: the file cannot be read, a key or value is wrong, a coin cannot be listed as
            it says, or a fault is about a source or symbol that is not simulated.
    """
    scenario = _read(file)
    names = {coin.name for coin in coins(symbols)}
    for number, coin in enumerate(scenario.coin):
        if not coin.name or coin.name in names:
            expected = "a name that no other coin has"
            raise ConfigError(str(file), f"coin[{number}].name", repr(coin.name), expected)
        names.add(coin.name)
    venues = build_venues(exchanges, symbols, scenario.coin)
    for number, coin in enumerate(scenario.coin):
        _check_coin(str(file), f"coin[{number}]", coin, venues)
    _check_tickers(str(file), scenario.coin, venues)
    listed = listed_symbols(venues)
    for number, fault in enumerate(scenario.fault):
        _check_fault(str(file), f"fault[{number}]", fault, listed)
    return scenario


class _Tables(msgspec.Struct, forbid_unknown_fields=True):
    """A scenario file before its tables are looked into."""

    fault: list[dict[str, Any]] = []
    coin: list[dict[str, Any]] = []


def _read(file: Path) -> Scenario:
    tables = read_toml(file, _Tables)
    for number, table in enumerate(tables.coin):
        listed = table.get("listed")
        for source, ticker in listed.items() if isinstance(listed, dict) else ():
            key = f"coin[{number}].listed.{source}"
            if isinstance(ticker, dict):
                _converted(str(file), key, ticker, Ticker)
            elif not isinstance(ticker, str):
                expected = f"a ticker, or a table of {', '.join(Ticker.__struct_fields__)}"
                raise ConfigError(str(file), key, repr(ticker), expected)
    return Scenario(
        fault=tuple(
            _converted(str(file), f"fault[{number}]", table, Fault)
            for number, table in enumerate(tables.fault)
        ),
        coin=tuple(
            _converted(str(file), f"coin[{number}]", table, AddedCoin)
            for number, table in enumerate(tables.coin)
        ),
    )


def _converted(file: str, key: str, table: Mapping[str, Any], shape: type[TableT]) -> TableT:
    """Return one table as a struct without inner tables, or say which of its keys is wrong."""
    try:
        return msgspec.convert(table, shape)
    except msgspec.ValidationError as error:
        sentence, _, path = str(error).partition(" - at ")
    if wrong := re.search(r"(missing required|unknown) field `([^`]*)`", sentence):
        if wrong[1] == "unknown":
            found, expected = "an unknown key", f"one of {', '.join(shape.__struct_fields__)}"
        else:
            found, expected = "nothing", "a value"
        raise ConfigError(file, f"{key}.{wrong[2]}", found, expected)
    name = path.strip("`").removeprefix("$.")
    expected = sentence.removeprefix("Expected ").partition(", got")[0]
    if sentence.startswith("Invalid enum value"):
        expected = f"one of {', '.join(get_args(get_type_hints(shape)[name]))}"
    raise ConfigError(file, f"{key}.{name}", repr(table[name]), expected)


def _check_coin(file: str, key: str, coin: AddedCoin, venues: Sequence[Venue]) -> None:
    sources = {venue.source: venue for venue in venues}
    for source in coin.listed:
        where = f"{key}.listed.{source}"
        if source not in sources:
            raise ConfigError(file, where, "no such source", f"one of {', '.join(sources)}")
        ticker = coin.ticker(source)
        assert ticker is not None
        if not ticker.base.isalnum() or ticker.base != ticker.base.upper():
            expected = "a ticker of capitals and digits"
            raise ConfigError(file, where, repr(ticker.base), expected)
        listing = next(row for row in sources[source].listings if row.coin.name == coin.name)
        tick = 10.0**listing.tick_exponent
        if coin.price_usd * ticker.coins < MIN_TICKS * tick:
            expected = f"at least {MIN_TICKS * tick:g} there: a higher price or more coins"
            raise ConfigError(
                file, where, f"a price of {coin.price_usd * ticker.coins:g}", expected
            )


def _check_tickers(file: str, added: Sequence[AddedCoin], venues: Sequence[Venue]) -> None:
    numbers = {coin.name: number for number, coin in enumerate(added)}
    for venue in venues:
        owners: dict[str, str] = {}
        for listing in venue.listings:
            owner = owners.setdefault(listing.exchange_symbol, listing.coin.name)
            if owner != listing.coin.name:
                key = f"coin[{numbers[listing.coin.name]}].listed.{venue.source}"
                expected = f"a ticker that is not {owner}'s there"
                raise ConfigError(file, key, repr(listing.base), expected)


def _check_fault(file: str, key: str, fault: Fault, listed: Sequence[tuple[str, str]]) -> None:
    names = {symbol for source, symbol in listed if fault.hits(source)}
    if not names:
        known = ", ".join(dict.fromkeys(source for source, _ in listed))
        raise ConfigError(file, f"{key}.source", repr(fault.source), f"one of {known}")
    if fault.kind in NEEDS_SYMBOL and fault.symbol is None:
        raise ConfigError(file, f"{key}.symbol", "none", f"one for kind {fault.kind!r}")
    if fault.symbol is not None and fault.symbol not in names:
        expected = "a symbol that the source lists"
        raise ConfigError(file, f"{key}.symbol", repr(fault.symbol), expected)
