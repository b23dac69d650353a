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

    def get(path):
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

        in_world(body, symbols=64)
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


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("binance_spot/fapi/v1/exchangeInfo", 404),
        ("okx_spot/api/v5/public/instruments?instType=COFFEE", 400),
        ("okx_spot/api/v5/nothing", 404),
        ("kraken_spot/anything", 404),
    ],
)
def test_a_wrong_request_is_refused_in_json(fetch, path, expected):
    status, body = fetch(path)

    assert status == expected
    assert isinstance(body, dict)
