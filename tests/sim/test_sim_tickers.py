"""REST tickers: fields as documented, prices of this moment, volumes by rank, rows of the dead."""

import itertools
import re

import numpy as np
import orjson
import pytest

from spreadscan.model import Market as MarketKind
from spreadscan.sim.market import Market, MarketSettings
from spreadscan.sim.protobuf import fields
from spreadscan.sim.rest import MarketBoard
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import Target, venues

ALL = ("binance", "okx", "bybit", "mexc")
NOW_MS = 1_790_000_000_000


class Place:
    """How one source is asked and read; written from the exchanges' documents."""

    def __init__(self, path, request, read, *, name="symbol", bid, ask, last, turnover):
        self.path = path
        self.request = request
        self.read = read
        self.keys = (name, bid, ask, last, turnover)

    def rows(self, body):
        rows = body
        if isinstance(body, dict):
            rows = body["result"]["list"] if "result" in body else body["data"]
        return {row[self.keys[0]]: row for row in rows}

    def value(self, row, key):
        return float(row[self.keys[("name", "bid", "ask", "last", "turnover").index(key)]])


def binance_side(frame):
    event = orjson.loads(frame).get("data", {})
    return (event["b"], event["a"]) if "b" in event else None


def bybit_side(frame):
    data = orjson.loads(frame).get("data", {})
    return (data["b"][0][0], data["a"][0][0]) if "b" in data else None


def okx_side(frame):
    book = orjson.loads(frame).get("data")
    return book and (book[0]["bids"][0][0], book[0]["asks"][0][0])


def mexc_spot_side(frame):
    if isinstance(frame, str):
        return None
    body = dict(fields(dict(fields(frame)).get(315, b"")))
    return body and (body[1], body[3])


def mexc_futures_side(frame):
    push = orjson.loads(frame)
    book = push["data"]
    return (
        (book["bids"][0][0], book["asks"][0][0]) if push["channel"] == "push.depth.full" else None
    )


BINANCE = {"method": "SUBSCRIBE", "id": 1}
BYBIT = {"op": "subscribe"}
AGGRE = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
PLACES = {
    "binance_spot": Place(
        "api/v3/ticker/24hr",
        lambda symbol: {**BINANCE, "params": [f"{symbol.lower()}@bookTicker"]},
        binance_side,
        bid="bidPrice",
        ask="askPrice",
        last="lastPrice",
        turnover="quoteVolume",
    ),
    "binance_futures": Place(
        "fapi/v1/ticker/24hr",
        lambda symbol: {**BINANCE, "params": [f"{symbol.lower()}@bookTicker"]},
        binance_side,
        bid="lastPrice",
        ask="lastPrice",
        last="lastPrice",
        turnover="quoteVolume",
    ),
    "bybit_spot": Place(
        "v5/market/tickers?category=spot",
        lambda symbol: {**BYBIT, "args": [f"orderbook.1.{symbol}"]},
        bybit_side,
        bid="bid1Price",
        ask="ask1Price",
        last="lastPrice",
        turnover="turnover24h",
    ),
    "bybit_futures": Place(
        "v5/market/tickers?category=linear",
        lambda symbol: {**BYBIT, "args": [f"orderbook.1.{symbol}"]},
        bybit_side,
        bid="bid1Price",
        ask="ask1Price",
        last="lastPrice",
        turnover="turnover24h",
    ),
    "okx_spot": Place(
        "api/v5/market/tickers?instType=SPOT",
        lambda symbol: {**BYBIT, "args": [{"channel": "bbo-tbt", "instId": symbol}]},
        okx_side,
        name="instId",
        bid="bidPx",
        ask="askPx",
        last="last",
        turnover="volCcy24h",
    ),
    "okx_futures": Place(
        "api/v5/market/tickers?instType=SWAP",
        lambda symbol: {**BYBIT, "args": [{"channel": "bbo-tbt", "instId": symbol}]},
        okx_side,
        name="instId",
        bid="bidPx",
        ask="askPx",
        last="last",
        turnover="volCcy24h",
    ),
    "mexc_spot": Place(
        "api/v3/ticker/24hr",
        lambda symbol: {"method": "SUBSCRIPTION", "params": [f"{AGGRE}{symbol}"]},
        mexc_spot_side,
        bid="bidPrice",
        ask="askPrice",
        last="lastPrice",
        turnover="quoteVolume",
    ),
    "mexc_futures": Place(
        "api/v1/contract/ticker",
        lambda symbol: {"method": "sub.depth.full", "param": {"symbol": symbol, "limit": 5}},
        mexc_futures_side,
        bid="bid1",
        ask="ask1",
        last="lastPrice",
        turnover="amount24",
    ),
}
HAS_NO_BOOK = {"binance_futures"}


@pytest.fixture(params=PLACES)
def source(request):
    return request.param


@pytest.fixture
def rows_of(asked):
    """The ticker rows of one source by symbol, with its venue and market."""

    def ask(source, **changes):
        body, venue, market = asked(source, PLACES[source].path, **changes)
        return PLACES[source].rows(body), venue, market

    return ask


def test_tickers_show_the_prices_that_the_socket_sends(in_world, reader, source):
    place = PLACES[source]

    async def body(world):
        venue = next(venue for venue in world.simulation.venues if venue.source == source)
        for listing in (venue.listings[0], venue.listings[6]):  # BTC and PEPE
            symbol = listing.exchange_symbol
            row = world.simulation.row(source, symbol)
            async with world.connect(source) as socket:
                client = reader(socket)
                await client.send(place.request(symbol))
                await client.text()  # the acknowledgement: from here on nothing is missed
                for _ in range(3):
                    world.step_until_changed(row)
                truth = world.simulation.market.quote(row)
                said = {listing.price_text(t) for t in (truth.bid_ticks, truth.ask_ticks)}
                side = None
                while side is None or {float(s) for s in side} != {float(s) for s in said}:
                    side = place.read(await client.text())
                bid, ask = map(float, side)

            found = place.rows(await world.json(f"{source}/{place.path}"))[symbol]

            last = place.value(found, "last")
            assert last in (bid, ask)
            if source not in HAS_NO_BOOK:
                assert (place.value(found, "bid"), place.value(found, "ask")) == (bid, ask)

    in_world(body, exchanges=ALL)


def test_tickers_move_with_the_market(rows_of, source):
    place = PLACES[source]
    rows, venue, market = rows_of(source)

    changed = 0
    for row, listing in enumerate(venue.listings):
        quote, tick = market.quote(row), 10.0**listing.tick_exponent
        last = place.value(rows[listing.exchange_symbol], "last")
        assert last / tick == pytest.approx(quote.bid_ticks) or last / tick == pytest.approx(
            quote.ask_ticks
        )
        changed += not np.isclose(last, listing.coin.price_usd * listing.price_coins, rtol=1e-9)
    assert changed > len(venue.listings) / 2


def dollars(source, row, last):
    """Turnover in quote coins, as the documents say to work it out."""
    if source == "okx_futures":
        return float(row["volCcy24h"]) * last
    if source == "mexc_spot" and row["quoteVolume"] is None:
        return float(row["volume"]) * last
    return PLACES[source].value(row, "turnover")


def test_turnover_falls_with_the_rank_of_the_coin(rows_of, source):
    place = PLACES[source]
    rows, venue, _ = rows_of(source)

    found = [
        dollars(source, row, place.value(row, "last"))
        for row in (rows[listing.exchange_symbol] for listing in venue.listings)
    ]

    assert all(before > after for before, after in itertools.pairwise(found))
    assert found[0] > 1e9
    assert 1e5 < found[-1] < 1e9


VOLUMES = {
    "binance_spot": "volume",
    "binance_futures": "volume",
    "bybit_spot": "volume24h",
    "bybit_futures": "volume24h",
    "okx_spot": "vol24h",
    "okx_futures": "vol24h",
    "mexc_spot": "volume",
    "mexc_futures": "volume24",
}


def test_volume_is_in_the_units_of_size_of_the_source(rows_of, source):
    place = PLACES[source]
    rows, venue, _ = rows_of(source)

    for listing in venue.listings:
        row = rows[listing.exchange_symbol]
        last = place.value(row, "last")
        traded_coins = float(row[VOLUMES[source]]) * listing.size_coins
        turnover = traded_coins * last / listing.price_coins
        assert dollars(source, row, last) == pytest.approx(turnover, rel=1e-5)


INDEXES = {
    "binance_futures": ("fapi/v1/premiumIndex", "1000PEPEUSDT", "indexPrice", 1000),
    "bybit_futures": ("v5/market/tickers?category=linear", "1000PEPEUSDT", "indexPrice", 1000),
    "okx_futures": ("api/v5/market/index-tickers?quoteCcy=USDT", "PEPE-USDT", "idxPx", 1),
    "mexc_futures": ("api/v1/contract/ticker", "PEPE_USDT", "indexPrice", 1),
}


@pytest.mark.parametrize("futures", INDEXES)
def test_the_index_is_the_coins_price_in_the_units_of_the_contract(in_world, futures):
    path, symbol, key, bundle = INDEXES[futures]

    async def body(world):
        world.step_until_changed(0)
        rows = PLACES[futures].rows(await world.json(f"{futures}/{path}"))

        index = float(rows[symbol][key])

        mids = zip(world.simulation.market.true_mids(), world.simulation.listings, strict=True)
        pepe = [mid / row.price_coins for mid, row in mids if row.coin.name == "PEPE"]
        assert len(pepe) == 8
        assert index == pytest.approx(np.median(pepe) * bundle, rel=1e-3)

    in_world(body, exchanges=ALL, market=MarketSettings(dislocations_per_s=0.0))


def test_a_dislocation_moves_the_mark_and_not_the_index():
    settings = MarketSettings(seed=6, dislocations_per_s=4.0, dislocation_bps=(400.0, 500.0))
    venue = venues()["binance"](MarketKind.FUTURES, coins(12))
    market = Market(venue.listings, settings, NOW_MS)
    while not any(
        dislocation.start_s + 0.5 < market.elapsed_s < dislocation.end_s - 0.5
        for dislocation in market.dislocations()
    ):
        market.step(NOW_MS)
    row = market.dislocations()[0].row
    board = MarketBoard(market, range(len(venue.listings)))

    reply = venue.rest(Target("/fapi/v1/premiumIndex", {}), NOW_MS, board)
    found = reply.rows[row]

    departure = float(found["markPrice"]) / float(found["indexPrice"]) - 1
    assert abs(departure) == pytest.approx(0.045, abs=0.01)


def test_the_ticker_of_a_recorded_symbol_follows_the_recording():
    venue = venues()["binance"](MarketKind.SPOT, coins(3))
    market = Market(venue.listings, MarketSettings(seed=1), NOW_MS)
    board = MarketBoard(market, range(3))
    before = board.quotes()
    market.mute([0])

    assert board.quotes() == before, "what is not played yet changes nothing"
    market.follow(0, 50_000.0)
    after = board.quotes()

    assert after[1:] == before[1:]
    assert after[0].bid_ticks < 500_000 < after[0].ask_ticks
    assert after[0].ask_ticks - after[0].bid_ticks < 100


def test_texts_hold_no_exponents(rows_of, source):
    rows, *_ = rows_of(source)

    texts = [value for row in rows.values() for value in row.values() if isinstance(value, str)]
    assert not [text for text in texts if re.fullmatch(r"-?[0-9.]+[eE][-+]?[0-9]+", text)]
