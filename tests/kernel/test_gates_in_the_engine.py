"""What a gate holds back raises nothing, and what it lets in does."""

import pytest
from frame_cases import FLAT, LEGS
from gate_cases import BTC, MS, SOURCE, S, Stream

from spreadscan.config import load_config
from spreadscan.engine.channels import channels_of
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.scan import Scanner
from spreadscan.kernel.sink import FeedSink
from spreadscan.model import QuoteStatus, SlotFlag
from spreadscan.shm.counters import EngineCounter, Gate
from spreadscan.shm.health import HealthReader, HealthWriter
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.ring import RingReader, RingWriter

SPOT, ENGINE = 4, 8
FEE_BPS = 30.0
GATES = {
    SlotFlag.REFUSED: Gate.QUARANTINED,
    SlotFlag.LATE: Gate.QUARANTINED,
    SlotFlag.HELD: Gate.QUARANTINED,
    SlotFlag.HALTED: Gate.HALTED,
}


class Pair:
    """A spot leg that stands at 100, the stream's futures leg, and the engine over both."""

    def __init__(self, config, regions):
        self.stream = Stream(regions)
        self.regions = regions
        self.reader = RingReader(regions.ring)
        self.spot = FeedSink(
            SPOT, Extractor(FLAT, LEGS), regions.prices.slots, regions.dirty.bits,
            HealthWriter(regions.health, SPOT, "spot").slot,
        )  # fmt: skip
        self.ring = RingWriter(regions.ring)
        self.engine = HealthWriter(regions.health, ENGINE, "spread-engine")
        self.scanner = Scanner(channels_of(regions, self.ring.ring, self.engine.slot))
        self.scanner.configure(config.engine)
        self.scanner.set_routes([(slot_of(SPOT, BTC), slot_of(SOURCE, BTC), 0, BTC, FEE_BPS)])

    def signals(self):
        """Refresh the spot leg, look, and return what was raised."""
        self.spot.feed_at(
            b'{"s":"BTCUSDT","b":"99.9","B":"50","a":"100.0","A":"50"}', self.stream.now_ns
        )
        self.scanner.scan_at(self.stream.now_ns)
        found = self.reader.peek(100)
        self.reader.advance(len(found))
        return len(found)

    def suppressed(self):
        counters = HealthReader(self.regions.health).slot(ENGINE).counters
        return {
            gate: counters[EngineCounter.SUPPRESSED + gate]
            for gate in Gate
            if counters[EngineCounter.SUPPRESSED + gate]
        }


@pytest.fixture
def pair(regions, make_config):
    made = Pair(load_config(make_config({})), regions)
    for _ in range(10):
        made.stream.send(mid=99.0, A="50", B="50")
    return made


def test_spread_of_a_late_quote_is_none_and_of_the_next_timely_one_is(pair):
    late = pair.stream.send(after_ms=3_000, lag_ms=3_000, mid=105.0, A="50", B="50")
    of_late = pair.signals()
    timely = pair.stream.send(mid=105.0, A="50", B="50")

    assert (late, of_late) == (QuoteStatus.LATE, 0)
    assert (timely, pair.signals()) == (QuoteStatus.QUOTE, 1)


def test_spread_of_a_jump_is_none_until_it_is_borne_out(pair):
    jump = pair.stream.send(mid=112.0, A="50", B="50")
    of_jump = pair.signals()

    assert (jump, of_jump) == (QuoteStatus.JUMP, 0)
    assert pair.stream.sink.confirm(BTC, 112.0)
    assert pair.signals() == 1


@pytest.mark.parametrize("flag", list(SlotFlag))
def test_slot_with_any_flag_raises_nothing(pair, flag):
    pair.stream.send(mid=105.0, A="50", B="50")
    pair.stream.sink.mark(BTC, flag)

    assert pair.signals() == 0
    # The leg is where a spread would be, and is held back for its flag.
    assert pair.suppressed() == {GATES.get(flag, Gate.UNUSABLE): 1}


def test_snapshot_of_a_book_that_is_too_old_raises_nothing_until_it_is_repeated(pair):
    pair.stream.sink.mark(BTC, SlotFlag.DISCONNECTED)
    pair.stream.send(lag_ms=60_000, mid=105.0, update_id=900, A="50", B="50")
    of_snapshot = pair.signals()
    pair.stream.send(after_ms=10 * S // MS, lag_ms=70_000, mid=105.0, update_id=900, A="50", B="50")

    assert (of_snapshot, pair.signals()) == (0, 1)
