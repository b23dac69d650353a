"""Rows, members and universes for the tests of discovery."""

from spreadscan.directions import DirectionRecord
from spreadscan.discovery.member import Member, instrument_of
from spreadscan.exchanges import source_named, sources
from spreadscan.model import ContractKind, Direction, RawInstrument
from spreadscan.symbols import SymbolRecord
from spreadscan.universe import Universe

EXCHANGES = ("binance", "bybit", "okx", "mexc")
DIRECTIONS = tuple(
    Direction(
        direction_id=number,
        name=f"{spot}_spot_{futures}_futures",
        spot_source=source_named(f"{spot}_spot").source_id,
        futures_source=source_named(f"{futures}_futures").source_id,
    )
    for number, (spot, futures) in enumerate(
        (spot, futures) for spot in EXCHANGES for futures in EXCHANGES if spot != futures
    )
)


def perpetual(base="BTC", **changes):
    fields = {
        "exchange_symbol": f"{base}USDT",
        "base": base,
        "quote": "USDT",
        "settle": "USDT",
        "kind": ContractKind.LINEAR_PERPETUAL,
        "status": "TRADING",
        "is_trading": True,
        "tick_size": 0.5,
        "qty_step": 2.0,
        "min_qty": 4.0,
        "min_notional": 5.0,
    }
    return RawInstrument(**(fields | changes))


def spot(base="BTC", **changes):
    return perpetual(base, **({"kind": ContractKind.SPOT, "settle": ""} | changes))


def member(source, coin, price=None, **changes):
    """One listing of a source (by name) that is taken for *coin*; price is per coin."""
    found = source_named(source)
    symbol = changes.pop("exchange_symbol", f"{coin}USDT")
    fields = {
        "source_id": found.source_id,
        "source": source,
        "market": found.market,
        "exchange_symbol": symbol,
        "coin": coin,
        "leg": instrument_of(
            perpetual(coin, exchange_symbol=symbol), changes.pop("multiplier", 1.0)
        ),
        "basis": "",
        "price": price,
        "index_price": None,
        "turnover_usd": None,
        "last_name": None,
    }
    return Member(**(fields | changes))


def pairs_of(resolution):
    """What a scanner would watch: (direction, symbol) to the two listings."""
    names = {source.source_id: source.name for source in sources().values()}
    found = {}
    for row in DIRECTIONS:
        spots = resolution.members.get(row.spot_source, {})
        perpetuals = resolution.members.get(row.futures_source, {})
        for name in spots.keys() & perpetuals.keys():
            found[f"{names[row.spot_source]}_{names[row.futures_source]}", name] = (
                spots[name],
                perpetuals[name],
            )
    return found


def universe_of(members_by_source, generation=1):
    """A universe that lists, for each source id, symbol name to leg."""
    names = sorted({name for by_name in members_by_source.values() for name in by_name})
    ids = {name: number for number, name in enumerate(names)}
    return Universe(
        generation=generation,
        timestamp="2026-11-21T10:00:00+00:00",
        symbols=tuple(
            SymbolRecord(
                symbol_id=ids[name],
                name=name,
                instruments=tuple(
                    members_by_source.get(source_id, {}).get(name) for source_id in range(8)
                ),
            )
            for name in names
        ),
        directions=tuple(
            DirectionRecord(
                direction_id=row.direction_id,
                spot_source=row.spot_source,
                futures_source=row.futures_source,
                symbols=tuple(
                    sorted(
                        ids[name]
                        for name in members_by_source.get(row.spot_source, {}).keys()
                        & members_by_source.get(row.futures_source, {}).keys()
                    )
                ),
            )
            for row in DIRECTIONS
        ),
    )
