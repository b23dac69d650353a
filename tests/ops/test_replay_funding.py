"""Funding in a replay: what the feed was told, when it was told, and nothing of other lives."""

import io
import json
import math

import pytest
from replay_cases import FUTURES, SECOND_NS, SPOT, START_NS, Recording, futures, spot
from universe_cases import LIFE, PEPE, universe

from spreadscan.config import load_config
from spreadscan.exchanges import source_named
from spreadscan.ops.replay import replay
from spreadscan.ops.replay_stages import Feed, private_config, private_regions
from spreadscan.rawlog import Funded, FundingRow
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import remove_regions

SOURCE = source_named(FUTURES)
HOUR_MS = 3_600_000


@pytest.fixture
def config(make_config):
    return load_config(make_config({}))


def told(symbol_id=PEPE.symbol_id, rate=0.0004, age_ns=SECOND_NS // 10):
    row = FundingRow(
        symbol_id=symbol_id, rate=rate, interval_s=3600.0,
        next_settlement_ms=START_NS // 1_000_000 + HOUR_MS,
    )  # fmt: skip
    return Funded(age_ns=age_ns, rows=[row])


@pytest.fixture
def feed(config, tmp_path):
    own = private_config(config, tmp_path)
    regions = private_regions(own)
    remove_regions(own.shm)
    return Feed(SOURCE, regions, config.feed)


def record(feed, symbol_id=PEPE.symbol_id):
    return feed._regions.funding.read(slot_of(SOURCE.source_id, symbol_id))


def test_funding_is_known_from_when_the_feed_was_told(feed):
    feed.begin("s1", universe())

    feed.fund(told(), START_NS)

    found = record(feed)
    assert (found["rate"], found["interval_s"]) == (0.0004, 3600.0)
    assert found["next_settlement_ms"] == START_NS // 1_000_000 + HOUR_MS
    assert found["received_ns"] == START_NS - SECOND_NS // 10


def test_next_segment_of_the_same_life_forgets_nothing_that_stays(feed):
    feed.begin("s1", universe())
    feed.fund(told(), START_NS)

    feed.begin("s1", universe())

    assert record(feed)["rate"] == 0.0004


def test_another_universe_takes_back_what_is_gone(feed):
    feed.begin("s1", universe())
    feed.fund(told(), START_NS)

    feed.begin("s1", universe(2, symbols=[LIFE]))

    assert record(feed)["received_ns"] == 0


def test_new_life_begins_without_and_a_dead_one_leaves_what_it_knew(feed):
    feed.begin("s1", universe())
    feed.fund(told(), START_NS)

    feed.end()
    left = record(feed)["received_ns"]
    feed.begin("s2", universe())

    assert left > 0
    assert record(feed)["received_ns"] == 0


def test_recording_with_funding_replays_the_same_every_time(config, tmp_path):
    recording = Recording(tmp_path / "record")
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), until_s=3.0)
    recording.write(
        FUTURES, universe(), (0.5, told()), (1.0, futures(1.02, 1)), (1.5, told(rate=-0.01)),
        (2.0, futures(0.99, 2)), until_s=3.0,
    )  # fmt: skip
    outcomes = []

    for _ in range(2):
        out = io.BytesIO()
        found = replay(recording.root, config, out=out)
        outcomes.append((found, out.getvalue()))

    assert outcomes[0] == outcomes[1]
    assert outcomes[0][0]["signals"] == {"open": 1, "update": 0, "close": 1}
    opening, closing = (json.loads(line) for line in outcomes[0][1].splitlines())
    # An hour apart, the first within an hour.
    settlements = math.floor(config.engine.holding_h)
    for signal, rate in ((opening, 0.0004), (closing, -0.01)):
        earned_bps = signal["net_after_funding_bps"] - signal["net_bps"]
        assert earned_bps == pytest.approx(settlements * rate * 10_000, rel=1e-4)


def test_recording_without_funding_tells_nothing_of_it(config, tmp_path):
    recording = Recording(tmp_path / "record")
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), until_s=3.0)
    recording.write(FUTURES, universe(), (1.0, futures(1.02, 1)), until_s=3.0)
    out = io.BytesIO()

    replay(recording.root, config, out=out)

    assert json.loads(out.getvalue().splitlines()[0])["net_after_funding_bps"] is None
