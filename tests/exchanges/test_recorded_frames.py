"""Every recorded frame, value by value, against Python's own JSON and float."""

import json
from pathlib import Path

import pytest

from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import Ack, Ignored, Notice, PartialQuote, Pong, Refused
from spreadscan.kernel.extract import Extractor
from spreadscan.model import ContractKind, QuoteStatus

FRAMES = Path(__file__).parents[2] / "../shared/data/frames"

pytestmark = pytest.mark.skipif(not FRAMES.is_dir(), reason=f"no recorded data: {FRAMES} is absent")


def assert_same(found, expected, ms, update_id):
    assert found.status == QuoteStatus.QUOTE
    assert (found.bid, found.bid_qty, found.ask, found.ask_qty) == tuple(map(float, expected))
    assert found.exchange_ns == (-1 if ms is None else int(ms) * 1_000_000)
    assert found.update_id == (-1 if update_id is None else int(update_id))


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("binance_spot", "binance_spot.btcusdt.2024-08-09.rawlog"),
        ("binance_futures", "binance_futures.btcusdt.2024-08-08.rawlog"),
    ],
)
def test_recorded_binance_frames_have_pythons_values(name, recording):
    extractor = Extractor(source_named(name).spec.plan, [("BTCUSDT", 0, 1.0, 1.0)])
    lines = (FRAMES / recording).read_bytes().splitlines()

    assert len(lines) == 20_000
    for line in lines:
        frame = line.partition(b" ")[2]
        data = json.loads(frame)["data"]
        expected = (data["b"], data["B"], data["a"], data["A"])
        assert_same(extractor.decode(frame), expected, data.get("T"), data["u"])


def test_recorded_okx_tickers_have_pythons_values_and_the_rest_is_understood():
    source = source_named("okx_spot")
    names = ("BTC-USDT", "UNI-USD-SWAP", "BTC-USD-220527")
    extractor = Extractor(
        source.spec.plan, [(name, number, 1.0, 1.0) for number, name in enumerate(names)]
    )
    quotes = others = 0
    for line in (FRAMES / "okx.mixed.2022-05-13.txt").read_bytes().splitlines():
        if line.startswith(b"wss"):
            continue
        frame = line.partition(b": ")[2]
        tree = json.loads(frame)
        found = extractor.decode(frame)
        if "data" in tree and tree["arg"]["channel"] == "tickers":
            row = tree["data"][0]
            expected = (row["bidPx"], row["bidSz"], row["askPx"], row["askSz"])
            assert_same(found, expected, row["ts"], None)
            quotes += 1
        else:
            assert found.status != QuoteStatus.QUOTE
            assert isinstance(source.adapter.classify(frame), Ack | Ignored)
            others += 1

    assert (quotes, others) == (16, 180)


def single_frames(venue, market):
    """(label, frame) of one source out of the single frames of late."""
    kind = {"futures": "perp", "spot": "spot"}[market]
    records = json.loads((FRAMES / "live_frames_2025_2026.json").read_bytes())
    return [
        (record["label"], record["raw"].encode())
        for record in records
        if (record["venue"], record["market"]) == (venue, kind)
    ]


@pytest.mark.parametrize(
    ("venue", "market", "count"),
    [("binance", "futures", 1), ("okx", "spot", 1), ("okx", "futures", 1)],
)
def test_recorded_single_quotes_of_late_have_pythons_values(venue, market, count):
    source = source_named(f"{venue}_{market}")
    frames = single_frames(venue, market)

    assert len(frames) == count
    for _, frame in frames:
        tree = json.loads(frame)
        symbol = tree["s"] if "s" in tree else tree["arg"]["instId"]
        if "s" in tree:
            expected, ms, update_id = [tree[key] for key in "bBaA"], tree["T"], tree["u"]
        else:
            row = tree["data"][0]
            expected = row["bids"][0][:2] + row["asks"][0][:2]
            ms, update_id = row["ts"], row.get("seqId")
        extractor = Extractor(source.spec.plan, [(symbol, 0, 1.0, 1.0)])
        assert_same(extractor.decode(frame), expected, ms, update_id)


def test_recorded_bybit_frames_are_a_snapshot_a_delta_an_ack_a_pong_and_other_channels():
    source = source_named("bybit_futures")
    extractor = Extractor(source.spec.plan, [("BTCUSDT", 0, 1.0, 1.0)])
    frames = dict(single_frames("bybit", "futures"))

    snapshot = json.loads(frames["orderbook.1 snapshot"])
    data = snapshot["data"]
    assert_same(
        extractor.decode(frames.pop("orderbook.1 snapshot")),
        data["b"][0] + data["a"][0],
        snapshot["cts"],
        data["u"],
    )
    controls = {}
    for label, frame in frames.items():
        assert extractor.decode(frame).status == QuoteStatus.NOT_A_QUOTE
        controls[label[:17]] = source.adapter.classify(frame)
    assert controls == {
        "tickers snapshot": Ignored("tickers.BTCUSDT"),
        "tickers delta": Ignored("tickers.BTCUSDT"),
        "subscribe ack": Ack("t1"),
        "pong": Pong(),
        "orderbook.1 DELTA": PartialQuote(
            symbol="BTCUSDT", bid=(27991.7, 0.777), ask=(27994.4, 0.058), update_id=1188472
        ),
    }


def test_recorded_bybit_listings_of_2026_are_read():
    records = json.loads((FRAMES / "live_frames_2025_2026.json").read_bytes())
    linear, spot = (
        record["raw"].encode()
        for record in records
        if record["venue"] == "bybit" and "instruments-info" in record["label"]
    )

    contracts = source_named("bybit_futures").spec.parse_instruments(linear)
    (pair,) = source_named("bybit_spot").spec.parse_instruments(spot)

    perpetual, dated = ContractKind.LINEAR_PERPETUAL, ContractKind.DATED
    assert [(row.exchange_symbol, row.kind, row.settle) for row in contracts] == [
        ("BTCUSDT", perpetual, "USDT"),
        ("BTCPERP", perpetual, "USDC"),
        ("1000PEPEUSDT", perpetual, "USDT"),
        ("BTCUSDT-09OCT26", dated, "USDT"),
        ("BTCUSDT-25DEC26", dated, "USDT"),
    ]
    assert (pair.base, pair.tick_size, pair.qty_step, pair.min_notional) == ("BTC", 0.1, 1e-6, 5.0)


def test_recorded_mexc_contract_frames_are_other_channels_a_refusal_a_close_and_a_pong():
    source = source_named("mexc_futures")
    extractor = Extractor(source.spec.plan, [("BTC_USDT", 0, 1.0, 0.0001)])
    controls = []
    for _, frame in single_frames("mexc", "futures"):
        assert extractor.decode(frame).status == QuoteStatus.NOT_A_QUOTE
        controls.append(source.adapter.classify(frame))

    closing = "more than 60 seconds no response, close the channel"
    assert controls == [
        Ignored("push.deal"),
        Ignored("push.ticker"),
        Ignored("push.ticker"),
        Refused(("NOPE_USDT",), "Contract [NOPE_USDT] not exists"),
        Notice(closing),
        Pong(),
        Ignored("push.ticker"),
    ]


def test_recorded_mexc_spot_pushes_have_the_values_decoded_beside_them():
    source = source_named("mexc_spot")
    extractor = Extractor(source.spec.plan, [("BTCUSDT", 0, 1.0, 1.0)])
    records = json.loads((FRAMES / "mexc_spot.protobuf.2026-09.json").read_bytes())["frames"]
    quotes = 0
    for record in records:
        frame = bytes.fromhex(record["hex"])
        fields = dict(record["decoded_fields"])
        found = extractor.decode(frame)
        if 315 not in fields:
            assert found.status == QuoteStatus.NOT_A_QUOTE
            assert source.adapter.classify(frame) == Ignored(fields[1])
            continue
        ticker = dict(fields[315])
        assert_same(found, [ticker[number] for number in (1, 2, 3, 4)], fields[6], ticker[5])
        quotes += 1

    assert (quotes, len(records)) == (1, 4)
