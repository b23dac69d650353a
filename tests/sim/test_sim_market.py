import numpy as np
import pytest

from spreadscan.model import Market as MarketKind
from spreadscan.sim.market import Market, MarketSettings
from spreadscan.sim.universe import coins
from spreadscan.sim.venues import venues

START_MS = 1_790_000_000_000


@pytest.fixture
def listings():
    world = coins(30)
    return [
        listing
        for exchange in ("binance", "okx")
        for kind in MarketKind
        for listing in venues()[exchange](kind, world).listings
    ]


def walked(market, seconds):
    """Let time pass and yield the rows that changed in each step."""
    for number in range(round(seconds / market.step_s)):
        yield market.step(START_MS + round((number + 1) * market.step_s * 1000))


def test_the_same_seed_gives_the_same_quotes_step_by_step(listings):
    settings = MarketSettings(seed=11)
    first, second = (Market(listings, settings, START_MS) for _ in range(2))

    for rows, others in zip(walked(first, 5), walked(second, 5), strict=True):
        assert rows.tolist() == others.tolist()
        assert [first.quote(row) for row in rows] == [second.quote(row) for row in rows]


def test_another_seed_gives_other_quotes(listings):
    first, second = (Market(listings, MarketSettings(seed=seed), START_MS) for seed in (1, 2))

    assert [first.quote(row) for row in range(20)] != [second.quote(row) for row in range(20)]


def test_every_quote_is_two_sided_uncrossed_newer_and_brackets_the_true_price(listings):
    market = Market(listings, MarketSettings(seed=3), START_MS)
    last = {row: market.quote(row) for row in range(len(listings))}

    for rows in walked(market, 20):
        mids = market.true_mids()
        for row in rows.tolist():
            quote, tick = market.quote(row), 10.0 ** listings[row].tick_exponent
            assert 0 < quote.bid_ticks < quote.ask_ticks
            assert min(quote.bid_lots, quote.ask_lots) > 0
            assert quote.bid_ticks * tick <= mids[row] * (1 + 1e-12)
            # One tick of room: a coarse grid may have to move the ask up.
            assert (quote.ask_ticks + 1) * tick >= mids[row]
            assert quote.update_id > last[row].update_id
            assert quote.exchange_ms >= last[row].exchange_ms
            assert quote[1:5] != last[row][1:5]
            last[row] = quote


@pytest.mark.parametrize("rate_hz", [200.0, 2000.0, 20_000.0])
def test_quotes_come_at_about_the_rate_asked_for(listings, rate_hz):
    market = Market(
        listings, MarketSettings(seed=4, rate_hz=rate_hz, dislocations_per_s=0.0), START_MS
    )

    count = sum(len(rows) for rows in walked(market, 10))

    assert 0.6 < count / (10 * rate_hz) < 1.4


def test_rate_zero_is_silence(listings):
    market = Market(listings, MarketSettings(seed=4, rate_hz=0.0), START_MS)

    assert all(len(rows) == 0 for rows in walked(market, 5))


def test_a_dislocation_moves_one_row_away_from_its_coin_and_back(listings):
    market = Market(listings, MarketSettings(seed=6, dislocations_per_s=2.0), START_MS)
    while not market.dislocations():
        market.step(START_MS)
    found = market.dislocations()[0]
    coin = listings[found.row].coin_index
    others = [
        row
        for row, listing in enumerate(listings)
        if listing.coin_index == coin and row != found.row
    ]

    def distance_bps():
        mids = market.true_mids() / [listing.price_coins for listing in listings]
        return (mids[found.row] / np.median(mids[others]) - 1) * 1e4

    while market.elapsed_s < (found.start_s + found.end_s) / 2:
        market.step(START_MS)
    away_bps = distance_bps()
    while market.elapsed_s < found.end_s:
        market.step(START_MS)
    back_bps = distance_bps()

    assert 60 <= abs(found.size_bps) <= 150
    assert 1 <= found.end_s - found.start_s <= 20
    assert away_bps == pytest.approx(found.size_bps, abs=25)
    assert abs(back_bps) < 25


def test_without_dislocations_sources_stay_within_the_fees_of_each_other(listings):
    market = Market(listings, MarketSettings(seed=8, dislocations_per_s=0.0), START_MS)
    count = len(listings) // 4

    for _ in walked(market, 60):
        by_source = (market.true_mids() / [row.price_coins for row in listings]).reshape(4, count)
        assert ((by_source.max(axis=0) / by_source.min(axis=0) - 1) * 1e4).max() < 25


def test_coins_move_together(listings):
    market = Market(listings, MarketSettings(seed=9, dislocations_per_s=0.0), START_MS)
    samples = [market.true_mids()[:30] for _ in walked(market, 120)]

    changes = np.diff(np.log(samples[::50]), axis=0)
    pairs = np.corrcoef(changes.T)[np.triu_indices(30, 1)]

    assert pairs.mean() > 0.15


def test_muted_rows_fall_silent_and_their_coin_follows_the_recording(listings):
    market = Market(listings, MarketSettings(seed=10, dislocations_per_s=0.0), START_MS)
    market.mute([0])
    before = market.quote(0)

    market.follow(0, 50_000.0)
    changed = {row for rows in walked(market, 5) for row in rows.tolist()}

    assert market.quote(0) == before
    assert 0 not in changed
    assert market.true_mids()[30] == pytest.approx(50_000.0, rel=0.005)
