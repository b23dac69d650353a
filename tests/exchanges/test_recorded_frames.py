"""Every recorded frame, value by value, against Python's own JSON and float."""

import json
from pathlib import Path

import pytest

from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import Ack, Ignored
from spreadscan.kernel.extract import Extractor
from spreadscan.model import QuoteStatus

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


def test_recorded_single_frames_of_late_have_pythons_values():
    single = json.loads((FRAMES / "live_frames_2025_2026.json").read_bytes())
    seen = set()
    for record in single:
        if record["venue"] not in {"binance", "okx"}:
            continue
        market = "futures" if record["market"] == "perp" else "spot"
        name = f"{record['venue']}_{market}"
        tree = json.loads(record["raw"])
        symbol = tree["s"] if "s" in tree else tree["arg"]["instId"]
        extractor = Extractor(source_named(name).spec.plan, [(symbol, 0, 1.0, 1.0)])
        if "s" in tree:
            expected, ms, update_id = [tree[key] for key in "bBaA"], tree["T"], tree["u"]
        else:
            row = tree["data"][0]
            expected = row["bids"][0][:2] + row["asks"][0][:2]
            ms, update_id = row["ts"], row.get("seqId")
        assert_same(extractor.decode(record["raw"].encode()), expected, ms, update_id)
        seen.add(name)

    assert seen == {"binance_futures", "okx_spot", "okx_futures"}
