"""One listing on its way into the universe: what it is called, what it costs. Pure values."""

import msgspec

from spreadscan.model import Instrument, Market, RawInstrument, RawTicker

__all__ = ["Basis", "Member", "instrument_of"]

Basis = str
"""Why a multiplier is believed: "" (it is 1), "name", "price", "operator" or "last"."""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A listing under the coin that it is taken for."""

    source_id: int
    source: str
    market: Market
    exchange_symbol: str
    coin: str
    """``PEPE``; still to be proven by price."""
    leg: Instrument
    basis: Basis
    price: float | None
    """USDT for one coin; None when there is none to compare."""
    index_price: float | None
    turnover_usd: float | None
    """Of the last 24 hours; None when it is not known."""
    last_name: str | None
    """Its symbol in the last universe, ``PEPE-USDT``."""
    is_accepted: bool = False
    """The operator says: whatever its price."""

    @property
    def key(self) -> tuple[int, str]:
        """What identifies the listing for ever."""
        return self.source_id, self.exchange_symbol


def instrument_of(row: RawInstrument, multiplier: float) -> Instrument:
    """Return a row in units of one base coin."""
    coins = row.contract_size * multiplier
    return Instrument(
        exchange_symbol=row.exchange_symbol,
        price_multiplier=multiplier,
        contract_size=row.contract_size,
        tick_size=row.tick_size / multiplier,
        qty_step=row.qty_step * coins,
        min_qty=row.min_qty * coins,
        min_notional=row.min_notional,
        tradable_via_api=row.tradable_via_api,
    )


def per_coin(ticker: RawTicker | None, multiplier: float) -> tuple[float | None, float | None]:
    """Return (price, index price) of one coin."""
    if ticker is None:
        return None, None
    price, index = ticker.price, ticker.index_price
    # A price that is nothing after scaling is none.
    return (
        None if price is None else price / multiplier or None,
        None if index is None else index / multiplier or None,
    )
