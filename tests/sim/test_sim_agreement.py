"""Two independent readings of every exchange must agree: simulator against adapter and kernel."""

from urllib.parse import unquote

import pytest

from spreadscan.exchanges import sources
from spreadscan.exchanges._adapter import Ignored
from spreadscan.kernel.extract import Extractor
from spreadscan.sim.market import Market, MarketSettings
from spreadscan.sim.universe import Coin, Naming, coins
from spreadscan.sim.venues import Moment, Target, venues

START_MS = 1_790_000_000_000
COINS = 70
# A bundle of an added coin, at sources that have none of their own as well.
ADDED = Naming(COINS, Coin("CAT", 0.0000082, 1_000_000.0), "1000CAT", 1000)
QUOTE = 0


@pytest.fixture(params=list(sources()))
def source(request):
    return sources()[request.param]


@pytest.fixture
def venue(source):
    return venues()[source.adapter.name](source.market, coins(COINS), [ADDED])


def instruments(source, venue, board):
    """Page through the listing as discovery does."""
    request, rows = source.spec.instruments, {}
    while request is not None:
        query = {key: unquote(value) for key, value in request.query}
        reply = venue.rest(Target(request.path, query), START_MS, board)
        assert reply.status == 200
        rows |= {row.exchange_symbol: row for row in source.spec.parse_instruments(reply.body)}
        request = source.spec.next_page(reply.body)
    return rows


def test_the_adapter_reads_every_listing_on_the_grid_of_the_simulator(source, venue, board_of):
    rows = instruments(source, venue, board_of(venue))

    for listing in venue.listings:
        row = rows[listing.exchange_symbol]
        bundle = "" if listing.price_coins == 1 else str(int(listing.price_coins))
        name = listing.coin.name
        assert row.is_trading
        assert row.base in (f"{bundle}{name}", f"{name}{bundle}")
        assert row.quote == "USDT"
        assert row.tick_size == pytest.approx(10.0**listing.tick_exponent)
        # In units that the venue counts: contracts or coins, bundles included in their names.
        unit = listing.size_coins / listing.price_coins
        assert row.contract_size == pytest.approx(unit)
        assert row.qty_step == pytest.approx(10.0**listing.lot_exponent)


def test_a_delisted_symbol_is_no_longer_trading_to_the_adapter(source, venue, board_of):
    listing = venue.listings[3]
    venue.delisted.add(listing.exchange_symbol)

    row = instruments(source, venue, board_of(venue)).get(listing.exchange_symbol)

    assert row is None or not row.is_trading


def test_the_kernel_reads_the_truth_out_of_every_frame(source, venue):
    market = Market(venue.listings, MarketSettings(seed=4, rate_hz=2000.0), START_MS)
    legs = [
        (listing.exchange_symbol, number, listing.price_coins, listing.size_coins)
        for number, listing in enumerate(venue.listings)
    ]
    extractor = Extractor(source.spec.plan, legs)
    # The forms that our own subscriptions lead to.
    forms = {"binance_spot": "combined", "binance_futures": "combined", "mexc_spot": "100ms"}
    form = forms.get(source.name, "")

    for number in range(200):
        rows = market.step(START_MS + 20 * number).tolist()
        for quote in market.quotes(rows):
            listing = venue.listings[quote.row]
            sent_ms = quote.exchange_ms + 3
            frame = venue.encode(listing, quote, form, Moment(sent_ms))
            found = extractor.decode(frame if isinstance(frame, bytes) else frame.encode())

            tick, lot = 10.0**listing.tick_exponent, 10.0**listing.lot_exponent
            per_coin, coins_of = tick / listing.price_coins, lot * listing.size_coins
            assert (found.status, found.symbol_id) == (QUOTE, quote.row), frame
            assert found.update_id == quote.update_id
            assert found.exchange_ns in {-1, quote.exchange_ms * 10**6, sent_ms * 10**6}
            assert found[2:6] == pytest.approx(
                (
                    quote.bid_ticks * per_coin,
                    quote.bid_lots * coins_of,
                    quote.ask_ticks * per_coin,
                    quote.ask_lots * coins_of,
                ),
                rel=1e-12,
            )


def test_a_quiet_push_without_a_body_is_no_quote():
    venue = venues()["mexc"](sources()["mexc_spot"].market, coins(1))
    (listing,) = venue.listings
    quote = Market(venue.listings, MarketSettings(), START_MS).quote(0)
    extractor = Extractor(
        sources()["mexc_spot"].spec.plan, [(listing.exchange_symbol, 0, 1.0, 1.0)]
    )

    bare = venue.encode(listing, quote, "100ms", Moment(800, is_repeat=True))

    assert extractor.decode(bare).status != QUOTE
    assert isinstance(sources()["mexc_spot"].adapter.classify(bare), Ignored)
