"""Coins of a scenario: other names at other sources, one price behind them all."""

import itertools

import orjson
import pytest

from spreadscan.model import Market as MarketKind
from spreadscan.sim.market import Market, MarketSettings
from spreadscan.sim.scenario import Scenario
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import Moment, venues
from spreadscan.sim.world import AddedCoin, Ticker, build_venues, listed_symbols

ALL = ("binance", "okx", "bybit", "mexc")
START_MS = 1_790_000_000_000
NEIRO = AddedCoin(
    name="NEIRO",
    price_usd=0.00041,
    listed={"binance_spot": "NEIRO", "bybit_futures": Ticker(base="1000NEIROCTO", coins=1000)},
)
NEIROETH = AddedCoin(
    name="NEIROETH",
    price_usd=0.062,
    contract_coins=100.0,
    listed={
        "bybit_spot": "NEIRO",
        "okx_futures": "NEIRO",
        "mexc_futures": Ticker(base="NEIRO", base_name="NEIROETH"),
    },
)
CAT = AddedCoin(
    name="CAT",
    price_usd=0.0000082,
    listed={
        "binance_spot": Ticker(base="1000CAT", coins=1000),
        "okx_spot": Ticker(base="1000CAT", coins=1000),
        "mexc_spot": Ticker(base="1000CAT", coins=1000),
        "mexc_futures": Ticker(base="1000CAT", coins=1000),
        "okx_futures": "CAT",
        "bybit_spot": "CAT",
    },
)
OTHER_CAT = AddedCoin(name="SIMONSCAT", price_usd=0.31, listed={"binance_spot": "CAT"})
ADDED = (NEIRO, NEIROETH, CAT, OTHER_CAT)
COUNT = 12


@pytest.fixture(scope="module")
def world():
    return {venue.source: venue for venue in build_venues(ALL, COUNT, ADDED)}


def added_rows(world):
    """All rows of added coins by (source, exchange symbol)."""
    return {
        (source, listing.exchange_symbol): listing
        for source, venue in world.items()
        for listing in venue.listings[COUNT:]
    }


def test_every_source_lists_a_coin_under_its_own_name_or_not_at_all(world):
    found = {key: (row.coin.name, row.price_coins) for key, row in added_rows(world).items()}

    assert found == {
        ("binance_spot", "NEIROUSDT"): ("NEIRO", 1),
        ("bybit_futures", "1000NEIROCTOUSDT"): ("NEIRO", 1000),
        ("bybit_spot", "NEIROUSDT"): ("NEIROETH", 1),
        ("okx_futures", "NEIRO-USDT-SWAP"): ("NEIROETH", 1),
        ("mexc_futures", "NEIRO_USDT"): ("NEIROETH", 1),
        ("binance_spot", "1000CATUSDT"): ("CAT", 1000),
        ("okx_spot", "1000CAT-USDT"): ("CAT", 1000),
        ("mexc_spot", "1000CATUSDT"): ("CAT", 1000),
        ("mexc_futures", "1000CAT_USDT"): ("CAT", 1000),
        ("okx_futures", "CAT-USDT-SWAP"): ("CAT", 1),
        ("bybit_spot", "CATUSDT"): ("CAT", 1),
        ("binance_spot", "CATUSDT"): ("SIMONSCAT", 1),
    }


def test_the_usual_coins_stand_before_the_added_ones_as_ever(world):
    plain = {venue.source: venue for venue in build_venues(ALL, COUNT)}

    for source, venue in world.items():
        assert venue.listings[:COUNT] == plain[source].listings
    assert len(listed_symbols(list(world.values()))) == 8 * COUNT + 12


def test_a_coin_has_one_price_behind_all_its_names(world):
    listings = [listing for venue in world.values() for listing in venue.listings]
    market = Market(listings, MarketSettings(seed=2, dislocations_per_s=0.0), START_MS)

    for _ in range(500):
        market.step(START_MS)
        per_coin = {}
        for mid, listing in zip(market.true_mids(), listings, strict=True):
            per_coin.setdefault(listing.coin.name, []).append(mid / listing.price_coins)
        for name, prices in per_coin.items():
            assert max(prices) / min(prices) < 1.0025, name
        assert 100 < per_coin["NEIROETH"][0] / per_coin["NEIRO"][0] < 200
        assert 30_000 < per_coin["SIMONSCAT"][0] / per_coin["CAT"][0] < 45_000


def test_grids_are_fine_enough_for_added_coins_too(world):
    for listing in added_rows(world).values():
        quoted = listing.coin.price_usd * listing.price_coins

        assert 10.0**listing.tick_exponent / quoted < 2e-3, listing
        lot_usd = 10.0**listing.lot_exponent * listing.size_coins * listing.coin.price_usd
        assert lot_usd < 100, listing


@pytest.mark.parametrize(
    ("source", "path", "symbol", "expected"),
    [
        ("binance_spot", "api/v3/exchangeInfo", "1000CATUSDT", {"baseAsset": "1000CAT"}),
        (
            "okx_futures",
            "api/v5/public/instruments?instType=SWAP",
            "NEIRO-USDT-SWAP",
            {"ctValCcy": "NEIRO", "ctVal": "100"},
        ),
        (
            "okx_spot",
            "api/v5/public/instruments?instType=SPOT",
            "1000CAT-USDT",
            {"baseCcy": "1000CAT"},
        ),
        (
            "bybit_futures",
            "v5/market/instruments-info?category=linear",
            "1000NEIROCTOUSDT",
            {"baseCoin": "1000NEIROCTO"},
        ),
        (
            "bybit_spot",
            "v5/market/instruments-info?category=spot",
            "NEIROUSDT",
            {"baseCoin": "NEIRO"},
        ),
        ("mexc_spot", "api/v3/exchangeInfo", "1000CATUSDT", {"baseAsset": "1000CAT"}),
        (
            "mexc_futures",
            "api/v1/contract/detail",
            "NEIRO_USDT",
            {"baseCoin": "NEIRO", "baseCoinName": "NEIROETH"},
        ),
        (
            "mexc_futures",
            "api/v1/contract/detail",
            "1000CAT_USDT",
            {"baseCoin": "1000CAT", "baseCoinName": "1000CAT"},
        ),
    ],
)
def test_the_list_says_what_the_source_calls_it(in_world, source, path, symbol, expected):
    async def body(world):
        answer = await world.json(f"{source}/{path}")
        rows = answer.get("symbols") or answer.get("data") or answer["result"]["list"]
        (row,) = (row for row in rows if symbol in (row.get("symbol"), row.get("instId")))
        assert expected.items() <= row.items()

    in_world(body, exchanges=ALL, scenario=Scenario(coin=ADDED))


def test_added_coins_are_quoted_over_sockets_and_in_tickers(in_world, reader):
    async def body(world):
        row = world.simulation.row("okx_futures", "NEIRO-USDT-SWAP")
        listing = world.simulation.listings[row]
        async with world.connect("okx_futures") as socket:
            client = reader(socket)
            arg = {"channel": "bbo-tbt", "instId": "NEIRO-USDT-SWAP"}
            await client.send({"op": "subscribe", "args": [arg]})
            await client.text()
            book = (await client.json())["data"][0]
        truth = world.simulation.market.quote(row)
        answer = await world.json("okx_futures/api/v5/market/tickers?instType=SWAP")
        (ticker,) = (row for row in answer["data"] if row["instId"] == "NEIRO-USDT-SWAP")

        bid = listing.price_text(truth.bid_ticks)
        assert book["bids"][0][0] == ticker["bidPx"] == bid
        assert float(bid) == pytest.approx(0.062, rel=0.01)

    in_world(body, exchanges=ALL, scenario=Scenario(coin=ADDED))


def test_two_coins_of_one_ticker_have_indexes_far_apart(in_world):
    async def body(world):
        bybit = await world.json("bybit_futures/v5/market/tickers?category=linear")
        mexc = await world.json("mexc_futures/api/v1/contract/ticker")
        per_thousand = {row["symbol"]: row for row in bybit["result"]["list"]}["1000NEIROCTOUSDT"]
        single = {row["symbol"]: row for row in mexc["data"]}["NEIRO_USDT"]

        assert float(per_thousand["indexPrice"]) == pytest.approx(0.41, rel=0.01)
        assert single["indexPrice"] == pytest.approx(0.062, rel=0.01)

    in_world(body, exchanges=ALL, scenario=Scenario(coin=ADDED))


def test_an_added_coin_takes_the_place_of_a_stranger_of_its_symbol(in_world):
    soon = AddedCoin(name="SOON", price_usd=0.4, listed={"binance_futures": "SOON"})

    async def body(world):
        info = await world.json("binance_futures/fapi/v1/exchangeInfo")
        rows = [row for row in info["symbols"] if row["symbol"] == "SOONUSDT"]
        tickers = await world.json("binance_futures/fapi/v1/ticker/24hr")

        assert [row["underlyingType"] for row in rows] == ["COIN"]
        assert len([row for row in tickers if row["symbol"] == "SOONUSDT"]) == 1

    in_world(body, exchanges=("binance",), scenario=Scenario(coin=(soon,)))


def test_added_coins_rank_behind_the_usual_ones(in_world):
    async def body(world):
        tickers = await world.json("binance_spot/api/v3/ticker/24hr")
        volume = {row["symbol"]: float(row["quoteVolume"]) for row in tickers}
        usual = [volume[f"{coin.name}USDT"] for coin in coins(COUNT)]

        assert min(usual) > volume["NEIROUSDT"] > volume["1000CATUSDT"] > volume["CATUSDT"] > 0

    in_world(body, exchanges=ALL, scenario=Scenario(coin=ADDED))


def test_frames_of_bundles_carry_the_bundles_price():
    spot, _futures = build_venues(("binance",), COUNT, ADDED)
    market = Market(spot.listings, MarketSettings(seed=2), START_MS)
    row = next(n for n, r in enumerate(spot.listings) if r.exchange_symbol == "1000CATUSDT")

    event = orjson.loads(
        spot.encode(spot.listings[row], market.quote(row), "raw", Moment(START_MS))
    )

    assert event["s"] == "1000CATUSDT"
    assert float(event["b"]) == pytest.approx(0.0082, rel=0.01)


def test_a_world_without_added_coins_is_the_one_it_was():
    # A venue is built alike by hand and for a scenario without coins.
    for name, kind in itertools.product(ALL, MarketKind):
        by_hand = venues()[name](kind, coins(COUNT))
        (built,) = (v for v in build_venues((name,), COUNT) if v.source == by_hand.source)

        assert by_hand.listings == built.listings
