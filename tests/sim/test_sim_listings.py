"""The REST bodies have the documented shapes, fetched over real HTTP."""

import asyncio
import json
import re
import urllib.error
import urllib.request

import pytest

from spreadscan.sim.universe import coins

DECIMAL = re.compile(r"\d+(\.\d+)?")


@pytest.fixture
def fetch(in_world):
    """GET one path of the simulated REST server; returns (status, body)."""

    def get(path, symbols=64):
        found = []

        def blocking(url):
            try:
                with urllib.request.urlopen(url, timeout=5) as reply:
                    return reply.status, json.load(reply)
            except urllib.error.HTTPError as error:
                return error.code, json.load(error)

        async def body(world):
            url = f"{world.simulation.rest_url}/{path}"
            found.append(await asyncio.to_thread(blocking, url))

        in_world(body, symbols=symbols, exchanges=("binance", "okx", "bybit", "mexc"))
        return found[0]

    return get


def filters(row):
    return {entry["filterType"]: entry for entry in row["filters"]}


def test_binance_spot_lists_every_coin_and_rows_to_refuse(fetch):
    status, body = fetch("binance_spot/api/v3/exchangeInfo")

    rows = {row["symbol"]: row for row in body["symbols"]}
    names = {f"{coin.name}USDT" for coin in coins(64)}
    assert status == 200
    assert names <= rows.keys()
    for name in names:
        row = rows[name]
        assert row["symbol"] == row["baseAsset"] + row["quoteAsset"]
        assert (row["status"], row["isSpotTradingAllowed"]) == ("TRADING", True)
        assert re.fullmatch(r"\d+\.\d{8}", filters(row)["PRICE_FILTER"]["tickSize"])
        assert float(filters(row)["LOT_SIZE"]["stepSize"]) > 0
        assert float(filters(row)["NOTIONAL"]["minNotional"]) == 5
    strangers = [row for name, row in rows.items() if name not in names]
    assert {"BREAK", "HALT", "CANCEL_ONLY"} <= {row["status"] for row in strangers}
    assert {"USDC", "BTC", "TRY"} <= {row["quoteAsset"] for row in strangers}
    assert any(not row["symbol"].isascii() for row in strangers)
    assert any("MIN_NOTIONAL" in filters(row) for row in strangers)


def test_binance_futures_lists_bundles_and_contracts_to_refuse(fetch):
    _, body = fetch("binance_futures/fapi/v1/exchangeInfo")

    rows = {row["symbol"]: row for row in body["symbols"]}
    assert rows["1000PEPEUSDT"]["baseAsset"] == "1000PEPE"
    assert filters(rows["BTCUSDT"])["MIN_NOTIONAL"]["notional"] == "50"
    assert filters(rows["BTCUSDT"])["PRICE_FILTER"]["tickSize"] == "0.10"
    assert rows["BTCUSDT"]["pricePrecision"] == 2
    assert {"PERPETUAL", "CURRENT_QUARTER", "TRADIFI_PERPETUAL"} == {
        row["contractType"] for row in rows.values()
    }
    assert {"SETTLING", "PENDING_TRADING"} <= {row["status"] for row in rows.values()}
    assert {"INDEX", "PREMARKET", "EQUITY", "COMMODITY"} <= {
        row["underlyingType"] for row in rows.values()
    }
    assert rows["BTCUSDC"]["marginAsset"] == "USDC"


def test_okx_spot_lists_strings_without_exponents(fetch):
    _, body = fetch("okx_spot/api/v5/public/instruments?instType=SPOT")

    rows = {row["instId"]: row for row in body["data"]}
    assert body["code"] == "0"
    for coin in coins(64):
        row = rows[f"{coin.name}-USDT"]
        assert (row["baseCcy"], row["quoteCcy"], row["state"]) == (coin.name, "USDT", "live")
        assert all(DECIMAL.fullmatch(row[key]) for key in ("tickSz", "lotSz", "minSz"))
    assert {"live", "suspend", "test", "preopen"} == {row["state"] for row in rows.values()}
    assert rows["2Z-USDT"]["tickSz"] == ""


def test_okx_swaps_have_contract_values_and_no_base(fetch):
    _, body = fetch("okx_futures/api/v5/public/instruments?instType=SWAP")

    rows = {row["instId"]: row for row in body["data"]}
    for coin in coins(64):
        row = rows[f"{coin.name}-USDT-SWAP"]
        assert (row["baseCcy"], row["quoteCcy"]) == ("", "")
        assert (row["ctType"], row["settleCcy"], row["ctValCcy"]) == ("linear", "USDT", coin.name)
        assert DECIMAL.fullmatch(row["ctVal"])
        assert float(row["ctVal"]) == coin.contract_coins
        assert DECIMAL.fullmatch(row["lotSz"])
    assert rows["BTC-USD-SWAP"]["ctType"] == "inverse"
    assert rows["BTC-USDC-SWAP"]["settleCcy"] == "USDC"
    assert rows["EARLY-USDT-SWAP"]["ruleType"] == "pre_market"
    assert (rows["2Z-USDT-SWAP"]["state"], rows["2Z-USDT-SWAP"]["ctVal"]) == ("preopen", "")


LINEAR = "bybit_futures/v5/market/instruments-info?category=linear"


def test_bybit_spot_lists_plain_coins_in_one_page_whatever_is_asked(fetch):
    _, body = fetch("bybit_spot/v5/market/instruments-info?category=spot&limit=2")

    rows = {row["symbol"]: row for row in body["result"]["list"]}
    assert (body["retCode"], body["result"]["nextPageCursor"]) == (0, None)
    for coin in coins(64):
        row = rows[f"{coin.name}USDT"]
        assert (row["baseCoin"], row["quoteCoin"], row["status"]) == (coin.name, "USDT", "Trading")
        assert DECIMAL.fullmatch(row["priceFilter"]["tickSize"])
        assert float(row["lotSizeFilter"]["basePrecision"]) > 0
    assert {"USDC", "EUR", "BTC"} <= {row["quoteCoin"] for row in rows.values()}
    assert rows["TSLAXUSDT"]["symbolType"] == "xstocks"


def test_bybit_futures_carry_the_multiplier_before_or_behind_the_name(fetch):
    _, body = fetch(LINEAR)

    rows = {row["symbol"]: row for row in body["result"]["list"]}
    assert rows["1000PEPEUSDT"]["baseCoin"] == "1000PEPE"
    assert rows["SHIB1000USDT"]["baseCoin"] == "SHIB1000"
    assert rows["BTCPERP"]["settleCoin"] == "USDC"
    assert rows["BTCUSDT-25DEC26"]["contractType"] == "LinearFutures"
    assert {"stock", "commodity", "forex"} <= {row["symbolType"] for row in rows.values()}
    assert rows["OMGUSDT"]["deliveryTime"] != "0"
    assert {row["status"] for row in rows.values()} == {"Trading"}


@pytest.mark.parametrize(("status", "symbol"), [("PreLaunch", "EARLYUSDT"), ("Closed", "REEFUSDT")])
def test_bybit_shows_other_statuses_only_when_asked(fetch, status, symbol):
    _, body = fetch(f"{LINEAR}&status={status}")

    assert [row["symbol"] for row in body["result"]["list"]] == [symbol]


def test_bybit_futures_come_500_a_page_unless_more_are_asked_for(fetch):
    _, first = fetch(LINEAR, symbols=700)
    cursor = first["result"]["nextPageCursor"]
    _, second = fetch(f"{LINEAR}&cursor={cursor}", symbols=700)
    _, whole = fetch(f"{LINEAR}&limit=1000", symbols=700)

    pages = [body["result"]["list"] for body in (first, second, whole)]
    assert re.fullmatch(r"first%3D\w+%26last%3D\w+", cursor)
    assert (len(pages[0]), second["result"]["nextPageCursor"]) == (500, "")
    assert pages[0] + pages[1] == pages[2]
    assert len(pages[2]) > 700


@pytest.mark.parametrize(
    "query", ["&cursor=nonsense", "&cursor=first%253DA%2526last%253DB", "&limit=1001", "&limit=x"]
)
def test_bybit_refuses_a_wrong_page_with_status_200(fetch, query):
    status, body = fetch(LINEAR + query)

    assert (status, body["retCode"]) == (200, 10001)


def test_mexc_spot_gives_digits_for_grids_and_closes_the_largest_to_the_api(fetch):
    _, body = fetch("mexc_spot/api/v3/exchangeInfo")

    rows = {row["symbol"]: row for row in body["symbols"]}
    for coin in coins(64):
        row = rows[f"{coin.name}USDT"]
        assert (row["status"], row["tradeSideType"]) == ("1", 1)
        assert isinstance(row["quotePrecision"], int)
        assert isinstance(row["baseAssetPrecision"], int)
        assert 10.0 ** -row["quotePrecision"] < coin.price_usd / 1000
    assert (body["rateLimits"], rows["BTCUSDT"]["isSpotTradingAllowed"]) == ([], False)
    assert "0" in {row["baseSizePrecision"] for row in rows.values()}
    assert {"2", "3"} <= {row["status"] for row in rows.values()}


def test_mexc_contracts_are_numbers_and_not_always_called_like_their_coin(fetch):
    _, body = fetch("mexc_futures/api/v1/contract/detail")

    rows = {row["symbol"]: row for row in body["data"]}
    assert (body["success"], body["code"]) == (True, 0)
    for coin in coins(64):
        (row,) = (
            row
            for row in rows.values()
            if row["baseCoinName"] in (coin.name, f"1000{coin.name}")
            and (row["quoteCoin"], row["settleCoin"], row["futureType"], row["type"])
            == ("USDT", "USDT", 1, 1)
        )
        assert row["contractSize"] > 0
        assert 0 < row["priceUnit"] < coin.price_usd
    assert rows["TONCOIN_USDT"]["baseCoinName"] == "TON"
    assert rows["BTC_USDT"]["contractSize"] == 0.0001
    assert rows["PEPE_USDT"]["contractSize"] == 1_000_000
    assert rows["1000BONK_USDT"]["baseCoinName"] == "1000BONK"
    assert rows["BTC_USD"]["settleCoin"] == "BTC"
    assert rows["BTC_USDT_20261225"]["futureType"] == 2
    assert rows["TESLA_USDT"]["type"] == 2
    assert {rows[name]["state"] for name in ("OMG_USDT", "STMX_USDT")} == {3, 4}
    assert rows["DOGE_USDT"]["apiAllowed"] is False
    assert any(not row["displayName"].isascii() for row in rows.values())


def test_mexc_answers_one_contract_and_an_unknown_one_with_status_200(fetch):
    _, one = fetch("mexc_futures/api/v1/contract/detail?symbol=BTC_USDT")
    status, none = fetch("mexc_futures/api/v1/contract/detail?symbol=NOPE_USDT")

    assert one["data"]["symbol"] == "BTC_USDT"
    assert (status, none["success"], none["code"]) == (200, False, 1001)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("binance_spot/fapi/v1/exchangeInfo", 404),
        ("okx_spot/api/v5/public/instruments?instType=COFFEE", 400),
        ("okx_spot/api/v5/nothing", 404),
        ("kraken_spot/anything", 404),
        ("bybit_spot/v5/nothing", 404),
        ("mexc_spot/api/v1/contract/detail", 404),
    ],
)
def test_a_wrong_request_is_refused_in_json(fetch, path, expected):
    status, body = fetch(path)

    assert status == expected
    assert isinstance(body, dict)
