"""Funding over REST: fields as documented, intervals that differ and change, time that passes."""

import pytest
from funding_cases import answer_of

from spreadscan.exchanges import sources
from spreadscan.sim.faults import Fault
from spreadscan.sim.market import Market as Prices
from spreadscan.sim.market import MarketSettings
from spreadscan.sim.rest import MarketBoard
from spreadscan.sim.scenario import Scenario
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import Target, venues
from spreadscan.sim.venues._funding import HOUR_MS, funding_of

ALL = ("binance", "okx", "bybit", "mexc")
COINS = 64
NOW_MS = 1_790_000_000_000
PATHS = {
    "binance_futures": ("fapi/v1/premiumIndex", "fapi/v1/fundingInfo"),
    "bybit_futures": ("v5/market/tickers?category=linear",),
    "okx_futures": ("api/v5/public/funding-rate?instId=ANY",),
    "mexc_futures": ("api/v1/contract/funding_rate",),
}
# How late an exchange shows that a settlement is over.
LATE_MS = {"mexc_futures": 10_000}


@pytest.fixture(params=PATHS)
def source(request):
    return sources()[request.param]


@pytest.fixture
def venue(source):
    return venues()[source.adapter.name](source.market, coins(COINS))


@pytest.fixture
def read(source, venue):
    """What the adapter makes of the venue's answers at a moment, by symbol."""
    market = Prices(venue.listings, MarketSettings(seed=5), NOW_MS)
    board = MarketBoard(market, range(len(venue.listings)))

    def ask(now_ms):
        replies = [
            venue.rest(Target(request.path, dict(request.query)), now_ms, board)
            for request in source.spec.funding.requests
        ]
        assert {reply.status for reply in replies} == {200}
        answer = answer_of(source.spec.funding.parse([reply.body for reply in replies]))
        listed = {listing.exchange_symbol for listing in venue.listings}
        assert not listed & answer.refused.keys()
        return {row.exchange_symbol: row for row in answer.rows}

    return ask


def test_the_adapter_reads_the_truth_out_of_every_answer(source, venue, read):
    rows = read(NOW_MS)

    for listing in venue.listings:
        row = rows[listing.exchange_symbol]
        truth = funding_of(venue, listing, NOW_MS - LATE_MS.get(source.name, 0))
        assert row.rate == pytest.approx(truth.rate, abs=1e-12)
        assert row.interval_s == truth.hours * 3600
        assert row.next_settlement_ms == truth.next_ms


def test_intervals_of_one_to_eight_hours_and_rates_of_both_signs_occur(venue, read):
    found = read(NOW_MS)
    rows = [found[listing.exchange_symbol] for listing in venue.listings]

    assert {row.interval_s / 3600 for row in rows} == {1, 2, 4, 8}
    assert len({row.rate for row in rows}) > COINS / 2
    assert min(row.rate for row in rows) < 0 < max(row.rate for row in rows)


def test_next_settlement_moves_on_when_its_time_has_come(source, venue, read):
    symbol = venue.listings[0].exchange_symbol
    first = read(NOW_MS)[symbol]
    late_ms = LATE_MS.get(source.name, 0)

    before = read(first.next_settlement_ms + late_ms - 1)[symbol]
    after = read(first.next_settlement_ms + late_ms)[symbol]

    assert before == first
    assert after.next_settlement_ms == first.next_settlement_ms + first.interval_s * 1000
    assert after.rate != first.rate


def test_interval_that_changes_is_told(venue, read):
    listing = venue.listings[0]
    usual = read(NOW_MS)[listing.exchange_symbol]

    venue.hourly.add(listing.exchange_symbol)
    hourly = read(NOW_MS)[listing.exchange_symbol]

    assert usual.interval_s > 3600
    assert hourly.interval_s == 3600
    assert not hourly.is_interval_assumed
    assert hourly.next_settlement_ms - NOW_MS <= HOUR_MS + LATE_MS["mexc_futures"]


def test_no_funding_is_told_of_what_is_delisted(venue, read):
    symbol = venue.listings[3].exchange_symbol
    venue.delisted.add(symbol)

    row = read(NOW_MS).get(symbol)

    assert row is None or (row.rate, row.next_settlement_ms) == (0.0, 0)


def test_rows_that_are_no_perpetual_of_ours_are_there_as_well(asked):
    info, *_ = asked("binance_futures", "fapi/v1/fundingInfo")
    linear, *_ = asked("bybit_futures", "v5/market/tickers?category=linear")
    swaps, *_ = asked("okx_futures", "api/v5/public/funding-rate?instId=ANY")
    contracts, *_ = asked("mexc_futures", "api/v1/contract/funding_rate")

    assert {"BTCUSD_PERP"} <= {row["symbol"] for row in info}
    assert "SOLUSDT" not in {row["symbol"] for row in info if row["fundingIntervalHours"] == 8}
    dated = next(row for row in linear["result"]["list"] if row["symbol"] == "BTCUSDT-25DEC26")
    assert (dated["fundingRate"], dated["fundingIntervalHour"]) == ("", "")
    assert {"SWAP", "FUTURES"} == {row["instType"] for row in swaps["data"]}
    dead = next(row for row in contracts["data"] if row["symbol"] == "OMG_USDT")
    assert dead["nextSettleTime"] is None


def test_linear_listing_and_tickers_tell_the_same_interval(asked):
    infos, venue, _ = asked("bybit_futures", "v5/market/instruments-info?category=linear")
    tickers, *_ = asked("bybit_futures", "v5/market/tickers?category=linear")
    minutes = {row["symbol"]: row["fundingInterval"] for row in infos["result"]["list"]}
    hours = {row["symbol"]: row["fundingIntervalHour"] for row in tickers["result"]["list"]}

    symbols = [listing.exchange_symbol for listing in venue.listings]

    assert {minutes[symbol] for symbol in symbols} == {60, 120, 240, 480}
    assert all(minutes[symbol] == 60 * int(hours[symbol]) for symbol in symbols)


def test_one_swap_may_be_asked_for_and_an_unknown_or_several_may_not(asked):
    path = "api/v5/public/funding-rate"
    one, *_ = asked("okx_futures", f"{path}?instId=BTC-USDT-SWAP")
    unknown, *_ = asked("okx_futures", f"{path}?instId=NOPE-USDT-SWAP", status=400)
    several, *_ = asked("okx_futures", f"{path}?instId=BTC-USDT-SWAP,ETH-USDT-SWAP", status=400)
    none, *_ = asked("okx_futures", path, status=400)

    assert [row["instId"] for row in one["data"]] == ["BTC-USDT-SWAP"]
    assert [unknown["code"], several["code"], none["code"]] == ["51001", "51001", "50014"]


@pytest.mark.parametrize(
    ("source", "path", "allowed", "window_s"),
    [
        ("binance_futures", PATHS["binance_futures"][1], 500, 300.0),
        ("okx_futures", PATHS["okx_futures"][0], 10, 2.0),
        ("mexc_futures", PATHS["mexc_futures"][0], 20, 2.0),
    ],
)
def test_funding_has_a_limit_of_its_own(in_world, source, path, allowed, window_s):
    async def body(world):
        ledger = world.simulation.servers.ledgers[source]
        name = "/" + path.partition("?")[0]
        for _ in range(allowed - 1):
            assert ledger.admits_request(1000.0, name, 0, (allowed, window_s))

        statuses = [(await world.get(f"{source}/{path}"))[0] for _ in range(2)]
        world.clock.now_s += window_s
        later = (await world.get(f"{source}/{path}"))[0]

        assert (statuses, later) == ([200, 429], 200)
        assert ledger.report()["overruns"] == {
            "rest_requests": {"limit": allowed, "worst": allowed + 1, "count": 1}
        }

    in_world(body, exchanges=ALL)


def test_a_fault_may_be_about_funding_alone(in_world, source):
    async def body(world):
        world.tick_after(2)
        for path in PATHS[source.name]:
            _, kind, page = await world.get(f"{source.name}/{path}")
            assert (kind, page[:9]) == ("text/html", b"<!DOCTYPE")
        request = source.spec.instruments
        query = "&".join(f"{key}={value}" for key, value in request.query)
        assert await world.json(f"{source.name}{request.path}?{query}")

    fault = Fault(at_s=1, kind="html", source=source.name, answers="funding")
    in_world(body, exchanges=ALL, scenario=Scenario(fault=(fault,)))


def test_a_scenario_changes_the_interval_for_a_while(in_world):
    async def body(world):
        venue = next(v for v in world.simulation.venues if v.source == "mexc_futures")
        hours = []
        for _ in range(3):
            rows = (await world.json("mexc_futures/api/v1/contract/funding_rate"))["data"]
            hours.append(next(r["collectCycle"] for r in rows if r["symbol"] == "BTC_USDT"))
            world.tick_after(5)

        assert hours == [hours[0], 1, hours[0]]
        assert hours[0] > 1
        assert venue.hourly == set()

    fault = Fault(at_s=4, for_s=4, kind="hourly", source="mexc", symbol="BTC_USDT")
    in_world(body, exchanges=ALL, scenario=Scenario(fault=(fault,)))
