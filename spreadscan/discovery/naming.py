"""Which coin a listing is, as far as names, the operator and the last universe tell. Pure.

In this order: the operator's word; the listed base, if it is a coin on spot; the base without its
factor, if that is one; and where both are, prices: 1000CAT is a thousand CAT only if it costs as
much. What follows from prices across sources is in `spreadscan.discovery.identity`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from statistics import median

import msgspec

from spreadscan.config import ListingWord
from spreadscan.discovery.last import Last
from spreadscan.discovery.member import Member, instrument_of, per_coin
from spreadscan.discovery.multiplier import readings, split_multiplier
from spreadscan.discovery.screen import QUOTE, Screened
from spreadscan.exchanges import Source
from spreadscan.model import ContractKind, Instrument, RawInstrument, RawTicker

__all__ = [
    "Names",
    "coin_of",
    "kept_members",
    "named_members",
    "proven_scales",
    "spot_bases_of",
]

Tickers = Mapping[str, RawTicker]
"""By exchange symbol."""
Scales = Mapping[str, tuple[str, float]]
"""Listed base to the coin that it bundles and how many."""

NUMBERED = re.compile(r"_\d+$")
SPOT_SOURCES = slice(0, None, 2)


class Names(msgspec.Struct, frozen=True, kw_only=True):
    """What tells names, for all sources of a run."""

    spot_bases: frozenset[str]
    proven: dict[str, tuple[str, float]]
    last: dict[tuple[int, str], tuple[str, Instrument]]
    """(source id, exchange symbol) to symbol and leg in the last universe."""


def coin_of(symbol_name: str) -> str:
    """Return the coin of a symbol: ``CAT-USDT`` and ``CAT_2-USDT``, another coin called so."""
    return NUMBERED.sub("", symbol_name.removesuffix(f"-{QUOTE}"))


def spot_bases_of(listings: Iterable[Sequence[RawInstrument]], last: Last) -> frozenset[str]:
    """Return every base on spot, in any quote and state: a halted coin still owns its name.

    Those of the last universe count too: a source may be missing now.
    """
    listed = {
        row.base for rows in listings for row in rows if row.kind is ContractKind.SPOT and row.base
    }
    symbols = last.universe.symbols if last.universe else ()
    return frozenset(listed) | {
        coin_of(row.name)
        for row in symbols
        if any(leg is not None for leg in row.instruments[SPOT_SOURCES])
    }


def proven_scales(
    priced: Iterable[tuple[str, float]], spot_bases: AbstractSet[str], max_deviation: float
) -> dict[str, tuple[str, float]]:
    """Return the bases that are on spot themselves and yet cost a round number of another coin.

    Args:
        priced: (listed base, price of one listed unit) of all listings of all sources.
        spot_bases: see `spot_bases_of`.
        max_deviation: as a share, 0 to 1.
    """
    prices: defaultdict[str, list[float]] = defaultdict(list)
    for base, price in priced:
        prices[base].append(price)
    found = {}
    for base in prices.keys() & spot_bases:
        for coin, factor in readings(base):
            if coin not in spot_bases or coin not in prices:
                continue
            ratio = median(prices[base]) / factor / median(prices[coin])
            if abs(ratio - 1) <= max_deviation:
                found[base] = coin, factor
    return found


def named_members(
    source: Source,
    screened: Screened,
    tickers: Tickers,
    words: Mapping[str, ListingWord],
    names: Names,
) -> Iterator[Member]:
    """Yield a source's listings under the coins that they are taken for."""
    for row in screened.rows:
        word = words.get(row.exchange_symbol)
        last_name, last_leg = names.last.get((source.source_id, row.exchange_symbol), (None, None))
        coin, multiplier, basis = _reading(row.base, word, names, last_name, last_leg)
        ticker = tickers.get(row.exchange_symbol)
        price, index_price = per_coin(ticker, multiplier)
        yield Member(
            source_id=source.source_id,
            source=source.name,
            market=source.market,
            exchange_symbol=row.exchange_symbol,
            coin=coin,
            leg=instrument_of(row, multiplier),
            basis=basis,
            price=price,
            index_price=index_price,
            turnover_usd=ticker.turnover_usd if ticker else None,
            last_name=last_name,
            is_accepted=word is not None and word.verdict == "accept",
        )


def _reading(
    base: str,
    word: ListingWord | None,
    names: Names,
    last_name: str | None,
    last_leg: Instrument | None,
) -> tuple[str, float, str]:
    """Return (coin, multiplier, basis)."""
    if word is not None and (word.coin is not None or word.multiplier is not None):
        bare = next(readings(base), (base, 1.0))[0] if word.multiplier is not None else base
        return word.coin or bare, word.multiplier or 1.0, "operator"
    if base in names.proven:
        return *names.proven[base], "price"
    is_ambiguous = base in names.spot_bases and any(
        coin in names.spot_bases for coin, _ in readings(base)
    )
    if is_ambiguous and last_name and last_leg and last_leg.price_multiplier != 1:
        # It was proven once; without prices nothing speaks against it.
        return coin_of(last_name), last_leg.price_multiplier, "last"
    coin, multiplier = split_multiplier(base, names.spot_bases)
    return coin, multiplier, "name" if multiplier != 1 else ""


def kept_members(
    source: Source, tickers: Tickers, words: Mapping[str, ListingWord], names: Names
) -> Iterator[Member]:
    """Yield a source's listings of the last universe, for a run that could not read its own.

    One that the operator has meanwhile rejected, or says to be something else, waits for its row.
    """
    for (source_id, exchange_symbol), (name, leg) in names.last.items():
        word = words.get(exchange_symbol)
        if source_id != source.source_id or (word and _contradicts(word, name, leg)):
            continue
        ticker = tickers.get(exchange_symbol)
        price, index_price = per_coin(ticker, leg.price_multiplier)
        yield Member(
            source_id=source_id,
            source=source.name,
            market=source.market,
            exchange_symbol=exchange_symbol,
            coin=coin_of(name),
            leg=leg,
            basis="last" if leg.price_multiplier != 1 else "",
            price=price,
            index_price=index_price,
            turnover_usd=ticker.turnover_usd if ticker else None,
            last_name=name,
            is_accepted=word is not None and word.verdict == "accept",
        )


def _contradicts(word: ListingWord, name: str, leg: Instrument) -> bool:
    return (
        word.verdict == "reject"
        or (word.coin is not None and word.coin != coin_of(name))
        or (word.multiplier is not None and word.multiplier != leg.price_multiplier)
    )
