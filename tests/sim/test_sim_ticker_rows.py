"""What each exchange's tickers hold besides the living: dead, frozen, foreign and unopened rows."""

import pytest

START_MS = 1_790_000_000_000


def by_symbol(rows):
    return {row.get("symbol") or row["instId"]: row for row in rows}


def test_binance_keeps_suspended_pairs_without_a_book_unless_told_to_leave_them_out(asked):
    rows, venue, _ = asked("binance_spot", "api/v3/ticker/24hr", delisted=["ETHUSDT"])
    trading, *_ = asked(
        "binance_spot", "api/v3/ticker/24hr?symbolStatus=TRADING", delisted=["ETHUSDT"]
    )
    listing, *_ = asked("binance_spot", "api/v3/exchangeInfo", delisted=["ETHUSDT"])

    found = by_symbol(rows)
    dead = {row["symbol"] for row in listing["symbols"] if row["status"] != "TRADING"}
    assert found.keys() == {row["symbol"] for row in listing["symbols"]}
    assert dead == {s for s, row in found.items() if float(row["bidPrice"]) == 0}
    assert found["ETHUSDT"]["lastPrice"] == venue.listings[1].price_text(312000)
    assert {row["symbol"] for row in trading} == found.keys() - dead


def test_binance_leaves_the_book_out_of_a_mini_ticker_and_all_else_out_of_a_book_ticker(asked):
    full, *_ = asked("binance_spot", "api/v3/ticker/24hr")
    mini, *_ = asked("binance_spot", "api/v3/ticker/24hr?type=MINI")
    book, *_ = asked("binance_spot", "api/v3/ticker/bookTicker")

    keys = ("symbol", "bidPrice", "bidQty", "askPrice", "askQty")
    assert book == [{key: row[key] for key in keys} for row in full]
    assert [row["quoteVolume"] for row in mini] == [row["quoteVolume"] for row in full]
    assert not any("bidPrice" in row for row in mini)


def test_binance_futures_show_only_what_trades_and_keep_frozen_index_prices(asked):
    day, venue, _ = asked("binance_futures", "fapi/v1/ticker/24hr", delisted=["ETHUSDT"])
    index, *_ = asked("binance_futures", "fapi/v1/premiumIndex", delisted=["ETHUSDT"])

    names = {listing.exchange_symbol for listing in venue.listings}
    shown = {row["symbol"] for row in day}
    found = by_symbol(index)
    assert names - shown == {"ETHUSDT"}
    assert {"BTCUSDT_261225", "XAUUSDT"} <= shown
    assert not {"OMGUSDT", "NEWCOINUSDT"} & shown
    assert not any("bidPrice" in row for row in day)
    assert found["BTCUSDT"]["time"] == START_MS
    for settled in ("OMGUSDT", "ETHUSDT"):
        assert found[settled]["time"] < START_MS - 10**9
        assert found[settled]["nextFundingTime"] == 0
    assert found["ETHUSDT"]["indexPrice"] == "3120.00000000"
    assert found["BTCUSDT_261225"]["lastFundingRate"] == ""


@pytest.mark.parametrize("path", ["api/v3/ticker/24hr", "api/v3/ticker/bookTicker"])
def test_one_symbol_of_binance_is_an_object_and_an_unknown_one_an_error(asked, path):
    one, *_ = asked("binance_spot", f"{path}?symbol=BTCUSDT")
    none, *_ = asked("binance_spot", f"{path}?symbol=NOPEUSDT", status=400)

    assert one["symbol"] == "BTCUSDT"
    assert none["code"] == -1121


def test_bybit_forgets_delisted_symbols_and_shows_phases_instead_of_books(asked):
    body, *_ = asked("bybit_futures", "v5/market/tickers?category=linear", delisted=["ETHUSDT"])
    rows = by_symbol(body["result"]["list"])

    assert not {"ETHUSDT", "REEFUSDT", "STMXUSDT"} & rows.keys()
    assert {"BTCPERP", "BTCUSDT-25DEC26", "TSLAUSDT"} <= rows.keys()
    assert rows["EARLYUSDT"]["curPreListingPhase"] == "CallAuction"
    assert rows["EARLYUSDT"]["bid1Price"] == ""


@pytest.mark.parametrize("query", ["category=linear", "category=spot&symbol=NOPEUSDT", ""])
def test_bybit_refuses_a_wrong_ticker_request_with_status_200(asked, query):
    body, *_ = asked("bybit_spot", f"v5/market/tickers?{query}")

    assert body["retCode"] == 10001


def test_okx_has_no_book_before_an_opening_and_nothing_after_a_delisting(asked):
    path = "api/v5/market/tickers?instType"
    spot, *_ = asked("okx_spot", f"{path}=SPOT", delisted=["ETH-USDT"])
    swaps, *_ = asked("okx_futures", f"{path}=SWAP")
    spot, swaps = by_symbol(spot["data"]), by_symbol(swaps["data"])

    assert not {"ETH-USDT", "OMG-USDT"} & spot.keys()
    assert spot["2Z-USDT"]["bidPx"] == spot["2Z-USDT"]["volCcy24h"] == ""
    assert {"BTC-USD-SWAP", "BTC-USDC-SWAP"} <= swaps.keys()


def test_okx_indexes_are_by_quote_coin_and_one_must_be_named(asked):
    usdt, venue, _ = asked("okx_futures", "api/v5/market/index-tickers?quoteCcy=USDT")
    usd, *_ = asked("okx_futures", "api/v5/market/index-tickers?quoteCcy=USD")
    one, *_ = asked("okx_futures", "api/v5/market/index-tickers?instId=BTC-USDT")
    refused, *_ = asked("okx_futures", "api/v5/market/index-tickers", status=400)
    wrong, *_ = asked("okx_futures", "api/v5/market/tickers?instType=COFFEE", status=400)

    assert [row["instId"] for row in usdt["data"]] == [f"{r.base}-USDT" for r in venue.listings]
    assert {row["instId"].partition("-")[2] for row in usd["data"]} == {"USD"}
    assert [row["instId"] for row in one["data"]] == ["BTC-USDT"]
    assert (refused["code"], wrong["code"]) == ("50014", "51000")


def test_mexc_spot_has_null_turnovers_and_pairs_without_prices(asked):
    body, venue, _ = asked("mexc_spot", "api/v3/ticker/24hr", delisted=["ETHUSDT"])
    rows = by_symbol(body)

    listed = [rows.get(listing.exchange_symbol) for listing in venue.listings]
    assert listed[1] is None
    assert 3 < sum(row["quoteVolume"] is None for row in listed if row) < 20
    assert (rows["OMGUSDT"]["lastPrice"], rows["OMGUSDT"]["quoteVolume"]) == ("0", None)
    assert "REEFUSDT" not in rows


def test_mexc_contracts_have_dead_rows_and_a_band_that_is_no_book(asked):
    body, *_ = asked("mexc_futures", "api/v1/contract/ticker", delisted=["ETH_USDT"])
    rows = by_symbol(body["data"])

    live = rows["BTC_USDT"]
    assert "ETH_USDT" not in rows
    assert rows["OMG_USDT"]["lastPrice"] == rows["STMX_USDT"]["bid1"] == 0
    assert live["minAskPrice"] < live["bid1"] < live["ask1"] < live["maxBidPrice"]
    assert isinstance(live["volume24"], int)


def test_mexc_answers_one_ticker_and_an_unknown_one_with_its_own_error(asked):
    spot, *_ = asked("mexc_spot", "api/v3/ticker/24hr?symbol=BTCUSDT")
    contract, *_ = asked("mexc_futures", "api/v1/contract/ticker?symbol=BTC_USDT")
    none, *_ = asked("mexc_futures", "api/v1/contract/ticker?symbol=NOPE_USDT")
    asked("mexc_spot", "api/v3/ticker/24hr?symbol=NOPE", status=400)

    assert (spot["symbol"], contract["data"]["symbol"]) == ("BTCUSDT", "BTC_USDT")
    assert (none["success"], none["code"]) == (False, 1001)
