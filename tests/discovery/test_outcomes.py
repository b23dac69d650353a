"""A run's sources together: what a failed one falls back on, what is too small to believe."""

import pytest

from spreadscan.directions import DirectionRecord
from spreadscan.discovery.intersect import Intersection
from spreadscan.discovery.last import Last
from spreadscan.discovery.outcomes import check_share, outcomes_of
from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import source_named
from spreadscan.model import ContractKind, Instrument, RawInstrument
from spreadscan.symbols import SymbolRecord
from spreadscan.universe import Metadata, Universe

SPOT, FUTURES = source_named("okx_spot"), source_named("binance_futures")
NOW, EARLIER = "2026-11-22T10:00:00+00:00", "2026-11-21T10:00:00+00:00"


def row(base, kind=ContractKind.SPOT, settle=""):
    return RawInstrument(
        exchange_symbol=f"{base}USDT",
        base=base,
        quote="USDT",
        settle=settle,
        kind=kind,
        status="live",
        is_trading=True,
    )


def perpetual(base):
    return row(base, ContractKind.LINEAR_PERPETUAL, "USDT")


def leg(exchange_symbol):
    return Instrument(
        exchange_symbol=exchange_symbol,
        price_multiplier=1.0,
        contract_size=1.0,
        tick_size=0.0,
        qty_step=0.0,
        min_qty=0.0,
        min_notional=0.0,
        tradable_via_api=True,
    )


def last_with(*bases, pairs=0, listed_at=None):
    legs = [None] * 8
    symbols = []
    for number, base in enumerate(bases):
        legs[SPOT.source_id] = leg(f"{base}-USDT")
        symbols.append(SymbolRecord(symbol_id=number, name=f"{base}-USDT", instruments=tuple(legs)))
    stats = {} if listed_at is None else {SPOT.name: {"listed_at": listed_at}}
    direction = DirectionRecord(
        direction_id=4, spot_source=4, futures_source=1, symbols=tuple(range(pairs))
    )
    return Last(
        universe=Universe(
            generation=3, timestamp=EARLIER, symbols=tuple(symbols), directions=(direction,)
        ),
        metadata=Metadata(
            timestamp=EARLIER,
            generation=3,
            num_symbols=len(symbols),
            next_symbol_id=len(symbols),
            per_source_counts={},
            per_direction_counts={},
            validation_stats=stats,
            sha256={},
        ),
    )


def test_failed_source_keeps_the_legs_of_the_last_universe_and_their_age():
    listings = {SPOT.name: DiscoveryError("okx_spot: down"), FUTURES.name: [perpetual("BTC")]}

    outcomes = outcomes_of([SPOT, FUTURES], listings, last_with("BTC", "ETH"), NOW)

    assert set(outcomes[SPOT.name].legs.by_name) == {"BTC-USDT", "ETH-USDT"}
    assert outcomes[SPOT.name].listed_at == EARLIER
    assert outcomes[SPOT.name].failure == "okx_spot: down"
    assert outcomes[FUTURES.name].listed_at == NOW
    assert outcomes[FUTURES.name].failure is None


def test_age_of_a_source_that_fails_again_is_that_of_its_last_listing():
    listings = {SPOT.name: DiscoveryError("down")}

    outcomes = outcomes_of([SPOT], listings, last_with("BTC", listed_at="long ago"), NOW)

    assert outcomes[SPOT.name].listed_at == "long ago"


@pytest.mark.parametrize("last", [Last(), last_with()], ids=["no universe", "no leg"])
def test_failed_source_without_an_earlier_listing_is_left_out(last):
    outcomes = outcomes_of([SPOT], {SPOT.name: DiscoveryError("okx_spot: down")}, last, NOW)

    assert outcomes[SPOT.name].legs.by_name == {}
    assert outcomes[SPOT.name].failure == "okx_spot: down"


def test_coin_of_a_failed_spot_source_still_unscales_a_perpetual():
    listings = {SPOT.name: DiscoveryError("down"), FUTURES.name: [perpetual("1000PEPE")]}

    outcomes = outcomes_of([SPOT, FUTURES], listings, last_with("PEPE"), NOW)

    assert outcomes[FUTURES.name].legs.scaled == ("PEPE-USDT",)


def found_with(pairs, direction_id=4):
    record = DirectionRecord(
        direction_id=direction_id, spot_source=4, futures_source=1, symbols=tuple(range(pairs))
    )
    return Intersection(symbols=(), directions=(record,), next_symbol_id=0, without_id=())


def test_result_below_the_share_of_the_last_is_refused():
    check_share(found_with(80), last_with(pairs=100), 0.8)
    check_share(found_with(0), Last(), 0.8)

    with pytest.raises(
        DiscoveryError, match="found 79 pairs, expected at least 80% of the last 100"
    ):
        check_share(found_with(79), last_with(pairs=100), 0.8)


def test_direction_that_is_no_longer_configured_is_not_missed():
    check_share(found_with(0, direction_id=5), last_with(pairs=100), 0.8)
