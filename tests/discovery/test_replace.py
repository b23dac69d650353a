"""What a new universe must not have lost."""

import pytest
from listing_cases import DIRECTIONS, perpetual, universe_of

from spreadscan.discovery.intersect import Intersection
from spreadscan.discovery.member import instrument_of
from spreadscan.discovery.replace import OpenRoute, check_replaceable
from spreadscan.errors import DiscoveryError
from spreadscan.exchanges import source_named

SPOT = source_named("okx_spot").source_id
BINANCE, BYBIT = (source_named(f"{name}_futures").source_id for name in ("binance", "bybit"))


def listed(count, *, without=()):
    names = [f"S{number}" for number in range(count)]
    return {
        f"{name}-USDT": instrument_of(perpetual(name), 1.0) for name in names if name not in without
    }


LAST = universe_of({SPOT: listed(10), BINANCE: listed(10), BYBIT: listed(10)})


def found(**by_source):
    universe = universe_of(
        {source_named(f"{name}").source_id: legs for name, legs in by_source.items()}
    )
    # Ids as in LAST: a symbol keeps its own.
    ids = {row.name: row.symbol_id for row in LAST.symbols}
    names = {row.symbol_id: row.name for row in universe.symbols}
    directions = tuple(
        type(row)(
            direction_id=row.direction_id,
            spot_source=row.spot_source,
            futures_source=row.futures_source,
            symbols=tuple(sorted(ids[names[number]] for number in row.symbols)),
        )
        for row in universe.directions
    )
    return Intersection(
        symbols=(), directions=directions, next_symbol_id=0, retired_ids={}, without_id=()
    )


def check(new, last=LAST, *, open_routes=(), ended=None):
    check_replaceable(new, last, min_share=0.8, open_routes=open_routes, ended=ended or {})


def test_first_universe_is_taken_as_it_is():
    check(found(), None)


def test_share_of_the_last_pairs_is_enough_at_the_bound_and_not_below():
    check(found(okx_spot=listed(8), binance_futures=listed(10), bybit_futures=listed(10)))

    with pytest.raises(
        DiscoveryError, match="found 15 pairs, expected at least 80% of the last 20"
    ):
        check(found(okx_spot=listed(10), binance_futures=listed(10), bybit_futures=listed(5)))


def test_direction_without_a_pair_is_refused_by_name():
    many = {f"T{number}-USDT": instrument_of(perpetual("T"), 1.0) for number in range(20)}
    last = universe_of({SPOT: listed(5) | many, BINANCE: listed(5) | many, BYBIT: listed(2)})
    new = universe_of({SPOT: listed(5) | many, BINANCE: listed(5) | many})

    with pytest.raises(
        DiscoveryError,
        match="0 pairs of okx_spot_bybit_futures, expected at least 50% of its last 2",
    ):
        check(
            Intersection(
                symbols=(),
                directions=new.directions,
                next_symbol_id=0,
                retired_ids={},
                without_id=(),
            ),
            last,
        )


def test_direction_that_is_no_longer_configured_is_not_missed():
    rows = [row for row in DIRECTIONS if row.futures_source == BINANCE]
    new = found(okx_spot=listed(10), binance_futures=listed(10))
    kept = tuple(
        row for row in new.directions if row.direction_id in {r.direction_id for r in rows}
    )

    check(
        Intersection(symbols=(), directions=kept, next_symbol_id=0, retired_ids={}, without_id=())
    )


WITHOUT_S3 = {
    "okx_spot": listed(10, without=["S3"]),
    "binance_futures": listed(10),
    "bybit_futures": listed(10),
}
OPEN = OpenRoute("okx_spot_bybit_futures", "S3-USDT")


def test_pair_with_an_open_episode_may_not_vanish_by_our_doubts_alone():
    with pytest.raises(DiscoveryError, match=r"S3-USDT okx_spot_bybit_futures.*--force"):
        check(found(**WITHOUT_S3), open_routes=[OPEN])


def test_pair_that_its_exchange_has_ended_may():
    check(found(**WITHOUT_S3), open_routes=[OPEN], ended={SPOT: {"S3USDT"}})
    check(found(**WITHOUT_S3), open_routes=[OPEN], ended={BYBIT: {"S3USDT"}})


def test_episodes_of_pairs_that_stay_or_never_were_say_nothing():
    check(
        found(**WITHOUT_S3),
        open_routes=[
            OpenRoute("okx_spot_bybit_futures", "S4-USDT"),
            OpenRoute("okx_spot_bybit_futures", "OLD-USDT"),
            OpenRoute("bybit_spot_okx_futures", "S3-USDT"),
        ],
    )
