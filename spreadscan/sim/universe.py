"""The coins of the simulated world and how one of them is listed at one source.

Prices are of the right order of magnitude and nothing more. A coin has another name at every
source (*naming*); a venue turns namings into *listings*: its own spelling, price scale, contract
size and grid. Grids follow from the price, as they do at the exchanges: five or six significant
digits of price, sizes worth about a dollar.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

__all__ = [
    "MAX_COINS",
    "Coin",
    "Listing",
    "Naming",
    "coins",
    "contract_coins_for",
    "decimal_text",
    "magnitude",
    "prefixed",
    "without_listed",
]

MAX_COINS = 1024


class Coin(msgspec.Struct, frozen=True):
    """One coin; its rank in the table is its rank in liquidity."""

    name: str
    price_usd: float
    """Price at the start of the simulation."""
    contract_coins: float
    """Coins in one contract, at venues that count contracts."""
    bundle: int = 1
    """Coins in the unit that some perpetuals quote instead: 1000 for ``1000PEPE``."""


class Naming(NamedTuple):
    """What one source calls one coin."""

    coin_index: int
    coin: Coin
    base: str
    """The base of its symbol there; another coin may carry the same one at another source."""
    coins: int = 1
    """Coins that one unit of the base stands for: 1000 for ``1000PEPE``."""
    base_name: str = ""
    """The coin that is meant, where the exchange says so beside the base."""


class Listing(msgspec.Struct, frozen=True, kw_only=True):
    """One coin at one source, on that source's grid of powers of ten."""

    exchange_symbol: str
    base: str
    """See Naming."""
    base_name: str = ""
    coin: Coin
    coin_index: int
    price_coins: float = 1.0
    """Coins whose price is quoted: ``quoted price = coin price * price_coins``."""
    size_coins: float = 1.0
    """Coins in one unit of size: a bundle, a contract, or 1."""
    tick_exponent: int
    """The tick is ``10 ** tick_exponent`` of the quoted price."""
    lot_exponent: int
    """The lot is ``10 ** lot_exponent`` units of size."""
    price_digits: int
    """Decimals that the venue writes in a price."""
    size_digits: int

    def price_text(self, ticks: int) -> str:
        """Write a price as this venue does."""
        return decimal_text(ticks, self.tick_exponent, self.price_digits)

    def size_text(self, lots: int) -> str:
        """Write a size as this venue does."""
        return decimal_text(lots, self.lot_exponent, self.size_digits)


def decimal_text(units: int, exponent: int, digits: int) -> str:
    """Write ``units * 10 ** exponent`` with at least ``digits`` decimals, exactly.

    Args:
        units: not negative.
        exponent: power of ten of one unit.
        digits: decimals to write; more where the value needs them.
    """
    if exponent >= 0:
        whole, fraction = str(units * 10**exponent), ""
    else:
        text = str(units).rjust(1 - exponent, "0")
        whole, fraction = text[:exponent], text[exponent:]
    fraction = fraction.ljust(digits, "0")
    return f"{whole}.{fraction}" if fraction else whole


def magnitude(value: float) -> int:
    """Return the exponent of the leading digit: 4 for 64,250, -6 for 0.0000091."""
    return math.floor(math.log10(value))


def prefixed(coin_index: int, coin: Coin, bundle: int = 1) -> Naming:
    """Call a coin as most exchanges do: by its name, behind the size of a bundle."""
    name = coin.name if bundle == 1 else f"{bundle}{coin.name}"
    return Naming(coin_index, coin, name, bundle, name)


def without_listed(
    rows: Iterable[dict[str, Any]], key: str, listings: Sequence[Listing]
) -> list[dict[str, Any]]:
    """Return the rows whose symbol no coin of this world carries at the source."""
    taken = {listing.exchange_symbol for listing in listings}
    return [row for row in rows if row[key] not in taken]


def contract_coins_for(price_usd: float) -> float:
    """Return how many coins make a contract worth some dollars."""
    return 10.0 ** max(-4, 1 - magnitude(price_usd))


def coins(count: int) -> Sequence[Coin]:
    """Return the ``count`` most liquid coins; beyond the real ones they are called ``SIM0001``.

    Raises:
        ValueError: ``count`` is not in 1 to MAX_COINS.
    """
    if not 1 <= count <= MAX_COINS:
        raise ValueError(f"{count} symbols, expected 1 to {MAX_COINS}")
    return [*_REAL[:count], *(_invented(number) for number in range(1, count - len(_REAL) + 1))]


def _invented(number: int) -> Coin:
    # Any spread of prices over six orders of magnitude will do; the golden ratio avoids clusters.
    price = 10.0 ** (6 * (number * 0.6180339887 % 1.0) - 4)
    rounded = round(price, 6 - magnitude(price))
    return Coin(f"SIM{number:04d}", rounded, contract_coins_for(price))


_REAL = (
    Coin("BTC", 64250.0, 0.01),
    Coin("ETH", 3120.0, 0.1),
    Coin("SOL", 152.4, 1.0),
    Coin("XRP", 0.585, 100.0),
    Coin("BNB", 575.0, 0.01),
    Coin("DOGE", 0.1235, 1000.0),
    Coin("PEPE", 0.00000915, 10_000_000.0, 1000),
    Coin("SHIB", 0.00001745, 1_000_000.0, 1000),
    Coin("BONK", 0.0000215, 100_000.0, 1000),
    Coin("ADA", 0.385, 100.0),
    Coin("TRX", 0.1415, 1000.0),
    Coin("TON", 5.45, 1.0),
    Coin("AVAX", 27.1, 1.0),
    Coin("LINK", 12.35, 1.0),
    Coin("DOT", 5.15, 1.0),
    Coin("BCH", 345.0, 0.1),
    Coin("NEAR", 4.65, 10.0),
    Coin("UNI", 6.85, 1.0),
    Coin("LTC", 66.2, 1.0),
    Coin("SUI", 0.985, 1.0),
    Coin("APT", 6.45, 1.0),
    Coin("ETC", 19.6, 10.0),
    Coin("XLM", 0.0985, 100.0),
    Coin("FIL", 3.95, 0.1),
    Coin("HBAR", 0.0565, 100.0),
    Coin("ARB", 0.585, 10.0),
    Coin("OP", 1.52, 1.0),
    Coin("ATOM", 5.05, 1.0),
    Coin("INJ", 20.4, 0.1),
    Coin("IMX", 1.31, 1.0),
    Coin("GRT", 0.158, 10.0),
    Coin("RENDER", 5.35, 1.0),
    Coin("LDO", 1.12, 1.0),
    Coin("AAVE", 118.5, 0.1),
    Coin("THETA", 1.33, 10.0),
    Coin("ALGO", 0.131, 10.0),
    Coin("WIF", 1.78, 1.0),
    Coin("FLOKI", 0.000135, 100_000.0, 1000),
    Coin("TIA", 5.75, 1.0),
    Coin("JUP", 0.855, 10.0),
    Coin("ENA", 0.335, 10.0),
    Coin("ORDI", 34.5, 0.1),
    Coin("STX", 1.58, 10.0),
    Coin("WLD", 1.71, 1.0),
    Coin("STRK", 0.415, 1.0),
    Coin("PYTH", 0.305, 10.0),
    Coin("GALA", 0.0205, 10.0),
    Coin("SAND", 0.272, 10.0),
    Coin("MANA", 0.285, 10.0),
    Coin("AXS", 5.05, 0.1),
    Coin("CHZ", 0.0565, 10.0),
    Coin("CRV", 0.268, 1.0),
    Coin("SNX", 1.42, 1.0),
    Coin("DYDX", 1.08, 1.0),
    Coin("ENS", 19.2, 0.1),
    Coin("COMP", 44.5, 0.1),
    Coin("MASK", 2.35, 1.0),
    Coin("APE", 0.735, 0.1),
    Coin("BLUR", 0.182, 10.0),
    Coin("GMX", 24.8, 0.1),
    Coin("PENDLE", 3.05, 1.0),
    Coin("ETHFI", 1.42, 1.0),
    Coin("NOT", 0.0105, 100.0),
    Coin("ZRO", 3.45, 1.0),
    Coin("YFI", 5350.0, 0.0001),
    Coin("KSM", 21.5, 0.1),
    Coin("EGLD", 29.2, 0.1),
    Coin("NEO", 10.4, 1.0),
    Coin("QTUM", 2.45, 1.0),
    Coin("XTZ", 0.705, 1.0),
)
