"""What explain says of a route, held against the engine's kernel over the same memory."""

import contextlib
import math
import random
import time

import msgspec
import numpy as np
import orjson
import pytest
from typer.testing import CliRunner

from spreadscan.cli.ctl import app
from spreadscan.config import load_config
from spreadscan.directions import DirectionRecord
from spreadscan.engine import spread
from spreadscan.engine.channels import channels_of
from spreadscan.engine.routes import routes_of
from spreadscan.errors import RegionMissing, RouteUnknown
from spreadscan.kernel.scan import Scanner
from spreadscan.model import Instrument, SignalType, SlotFlag
from spreadscan.ops.explain import explain_route
from spreadscan.runtime.clock import SystemClock
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.counters import Gate
from spreadscan.shm.health import HealthWriter
from spreadscan.shm.layout import PRICE_DTYPE, SIGNAL_DTYPE, Control, Prices, ProcessState
from spreadscan.shm.layout import RegionKind as Kind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.record_table import route_index
from spreadscan.shm.regions import attach_regions, create_regions
from spreadscan.shm.ring import RingReader, RingWriter
from spreadscan.symbols import SymbolRecord
from spreadscan.topology import ENGINE_SLOT
from spreadscan.universe import Universe, write_universe

SPOT, FUTURES = 4, 7
DIRECTION = "okx_spot_mexc_futures"
SYMBOL, SYMBOL_ID = "BTC-USDT", 3
EPOCH = 5
ENGINE = "spread-engine"


class Site:
    """Regions, a universe of one route, and a living engine that is driven by hand."""

    def __init__(self, file):
        self.config = load_config(file)
        self.clock = SystemClock()
        config = self.config
        create_regions(config.shm)
        self.regions = attach_regions(config.shm, reads=(), writes=Kind, timeout_s=0)
        direction = next(row for row in config.directions if row.name == DIRECTION)
        self.direction_id = direction.direction_id
        leg = Instrument(
            exchange_symbol="X", price_multiplier=1.0, contract_size=1.0, tick_size=0.0,
            qty_step=0.0, min_qty=0.0, min_notional=0.0, tradable_via_api=True,
        )  # fmt: skip
        legs = tuple(leg if source in {SPOT, FUTURES} else None for source in range(8))
        names = {SYMBOL_ID: SYMBOL, 8: "ETH-USDT"}
        self.universe = Universe(
            generation=1,
            timestamp="2026-01-01T00:00:00Z",
            symbols=tuple(
                SymbolRecord(symbol_id=number, name=name, instruments=legs)
                for number, name in names.items()
            ),
            directions=(
                DirectionRecord(
                    direction_id=self.direction_id, spot_source=SPOT, futures_source=FUTURES,
                    symbols=(SYMBOL_ID,),
                ),
            ),
        )  # fmt: skip
        write_universe(config.path(config.runtime.generated_dir), self.universe)
        self.lock = RoleLock(config.path(config.runtime.run_dir), ENGINE)
        self.reader = RingReader(self.regions.ring)
        self.control = ControlWriter(self.regions.control)
        self.start_engine()
        for source in (SPOT, FUTURES):
            self.own(source, EPOCH)

    def start_engine(self):
        """Let an engine begin that knows what the one before left behind, and nothing else."""
        self.health = HealthWriter(self.regions.health, ENGINE_SLOT, ENGINE)
        self.health.set_state(ProcessState.RUNNING)
        self.health.set_generations(0, 1)
        self.health.beat(time.monotonic_ns() + 600_000_000_000)
        self.ring = RingWriter(self.regions.ring)
        self.scanner = Scanner(channels_of(self.regions, self.ring.ring, self.health.slot))
        self.scanner.configure(self.config.engine)
        self.scanner.set_routes(routes_of(self.universe, self.config))

    def own(self, source, epoch):
        offset = Prices.SOURCE_STATES + source * Prices.SOURCE_STATE_BYTES
        self.regions.prices.slots.mapping.store_word(offset, epoch)

    def quote(self, source, bid, ask, *, age_ms=0, flags=0, epoch=EPOCH, qty=10.0):
        row = np.zeros((), PRICE_DTYPE)
        row["bid"], row["ask"], row["bid_qty"], row["ask_qty"] = bid, ask, qty, qty
        row["received_ns"] = time.monotonic_ns() - age_ms * 1_000_000
        row["epoch"], row["flags"], row["publish_delay_ns"] = epoch, flags, 2_000_000
        self.regions.prices.write(slot_of(source, SYMBOL_ID), row)
        self.regions.dirty.mark(source, SYMBOL_ID)

    def spread(self, net_bps, **futures):
        config = self.config
        fees = next(row for row in config.directions if row.name == DIRECTION)
        bid = 100.0 * (1 + (net_bps + config.round_trip_fees(fees).of(SYMBOL)) / 10_000)
        self.quote(SPOT, 99.99, 100.0)
        self.quote(FUTURES, bid, bid + 0.01, **futures)

    def scan(self):
        self.scanner.scan()
        found = self.reader.peek(4_096)
        self.reader.advance(len(found))
        return found

    def explain(self, symbol=SYMBOL, direction=DIRECTION):
        return explain_route(self.config, self.clock, symbol, direction)


@pytest.fixture
def make_site(make_config):
    sites = []

    def make(**engine):
        # Funding that is too old must fit into the uptime of any host.
        settings = {"feed.funding_interval_s": 10.0, "engine.max_funding_age_s": 20.0}
        settings |= {f"engine.{key}": value for key, value in engine.items()}
        site = Site(make_config(settings))
        sites.append(site)
        return site

    yield make
    for site in sites:
        # Some tests end it themselves.
        with contextlib.suppress(OSError):
            site.lock.release()


@pytest.fixture
def site(make_site):
    return make_site()


def gates(found):
    return {row.name: row for row in found.gates}


def held(found):
    return {row.name for row in found.gates if row.passes is False}


def test_waterfall_runs_from_the_quotes_to_the_net_spread(site):
    site.spread(12.0)
    site.regions.funding.write(
        slot_of(FUTURES, SYMBOL_ID), rate=0.0002, interval_s=3_600.0,
        next_settlement_ms=site.clock.wall_ns() // 1_000_000 + 60_000,
        received_ns=time.monotonic_ns(),
    )  # fmt: skip
    site.regions.baseline.write(
        route_index(site.direction_id, SYMBOL_ID), median_bps=20.0, mad_bps=2.0, samples=99,
        updated_ns=time.monotonic_ns(),
    )  # fmt: skip
    (signal,) = site.scan()

    found = site.explain()

    money = found.money
    assert (found.spot.ask, found.spot.bid_qty, found.spot.waited_ms) == (100.0, 10.0, 2.0)
    assert money.gross_bps == signal["gross_bps"]
    assert money.net_bps == signal["net_bps"]
    assert money.net_bps == pytest.approx(12.0)
    assert money.fees_bps == 2 * (found.spot.taker_bps + found.futures.taker_bps)
    # Eight settlements of one hour within the holding time, two basis points each.
    assert (found.funding.settlements, found.funding.interval_h) == (8, 1.0)
    assert np.float32(money.net_after_funding_bps) == signal["net_after_funding_bps"]
    assert money.net_after_funding_bps == pytest.approx(12.0 + 16.0)
    assert np.float32(money.exit_bps) == signal["exit_bps"]
    assert money.executable_usd == pytest.approx(1_000.0)
    assert found.usual.z_score == pytest.approx(float(signal["z_score"]), rel=1e-6)
    assert found.usual.samples == 99


def test_last_signal_is_told_with_all_that_it_carried(site):
    site.spread(12.0)
    site.scan()
    site.spread(40.0)
    site.scan()

    last = site.explain().last_signal

    assert (last.kind, last.opening, last.net_bps) == ("update", 1, pytest.approx(40.0))
    assert last.age_s < 60
    assert last.details["spot_ask"] == 100.0
    # JSON has no NaN: what was not known is null.
    assert last.details["z_score"] is None


def test_signal_that_the_ring_no_longer_holds_is_told_from_the_route_s_state(site):
    site.spread(12.0)
    site.scan()
    filler = np.zeros((), SIGNAL_DTYPE)
    for _ in range(70_000):
        assert site.ring.push(filler)
        site.reader.advance(1)

    found = site.explain()

    assert found.is_open
    assert (found.last_signal.kind, found.last_signal.details) == ("open", None)


def test_route_that_never_signalled_has_no_last_signal(site):
    site.spread(1.0)
    site.scan()

    found = site.explain()

    assert (found.is_open, found.last_signal, found.would) == (False, None, "nothing")
    assert found.verdict == "nothing to say"


@pytest.mark.parametrize(
    ("why", "age_s", "change"),
    [
        ("has not told it", 0, {"received_ns": 0}),
        ("60 s old, at most 20 s", 60, {}),
        ("the interval is not known", 1, {"interval_s": 0.0}),
        ("the next settlement is not known", 1, {"next_settlement_ms": 0}),
        ("the rate is not known", 1, {"rate": math.nan}),
    ],
)
def test_funding_that_is_not_known_says_why(site, why, age_s, change):
    site.spread(12.0)
    values = {
        "rate": 0.0001, "interval_s": 3_600.0, "next_settlement_ms": 1_900_000_000_000,
        "received_ns": time.monotonic_ns() - age_s * 1_000_000_000,
    } | change  # fmt: skip
    site.regions.funding.write(slot_of(FUTURES, SYMBOL_ID), **values)

    found = site.explain()

    assert not found.funding.known
    assert why in found.funding.why_not
    assert found.money.net_after_funding_bps is None


def set_words(site, **words):
    site.control.command(**words)
    site.scanner.look_again()


TROUBLES = {
    "nothing": (None, lambda site: site.spread(12.0)),
    "killed": (Gate.KILLED, lambda site: (set_words(site, KILL=1), site.spread(12.0))),
    "paused": (Gate.PAUSED, lambda site: (set_words(site, PAUSE_ALL=1), site.spread(12.0))),
    "source": (
        Gate.PAUSED,
        lambda site: (set_words(site, PAUSED_SOURCES=1 << SPOT), site.spread(12.0)),
    ),
    "symbol": (
        Gate.PAUSED,
        lambda site: (set_words(site, PAUSED_SYMBOLS=1 << SYMBOL_ID), site.spread(12.0)),
    ),
    "stale": (Gate.STALE, lambda site: site.spread(12.0, age_ms=60_000)),
    "halted": (Gate.HALTED, lambda site: site.spread(12.0, flags=SlotFlag.HALTED)),
    "late": (Gate.QUARANTINED, lambda site: site.spread(12.0, flags=SlotFlag.LATE)),
    "cut off": (Gate.UNUSABLE, lambda site: site.spread(12.0, flags=SlotFlag.DISCONNECTED)),
    "earlier": (Gate.DEAD_EPOCH, lambda site: site.spread(12.0, epoch=EPOCH - 2)),
    "dead": (Gate.DEAD_EPOCH, lambda site: (site.own(FUTURES, EPOCH + 1), site.spread(12.0))),
    "small": (Gate.SIZE, lambda site: site.spread(12.0, qty=0.1)),
    "insane": (Gate.INSANE, lambda site: site.spread(3_000.0)),
    "crossed": (
        Gate.CROSSED,
        lambda site: (site.spread(12.0), site.quote(FUTURES, 101.0, 100.9)),
    ),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_gate_that_holds_the_engine_back_is_the_one_that_is_named(site, name):
    gate, make = TROUBLES[name]
    make(site)
    signals = site.scan()

    found = site.explain()

    counts = site.regions.routes.suppressed()[site.direction_id]
    assert [Gate(int(n)) for n in np.flatnonzero(counts)] == ([] if gate is None else [gate])
    assert len(signals) == (gate is None)
    assert found.would == ("nothing" if gate is None else "open")
    if gate is not None:
        assert held(found) == {gate.name.lower()}
        assert f"open: held back by {gate.name.lower()}" == found.verdict
        assert gates(found)[gate.name.lower()].held_back == counts[gate]


def test_confirmation_is_what_an_opening_waits_for(make_site):
    site = make_site(confirm_ms=60_000)
    site.spread(12.0)

    assert len(site.scan()) == 0
    found = site.explain()

    assert held(found) == {"unconfirmed"}
    assert "60000 ms" in gates(found)["unconfirmed"].detail


def test_suspect_leg_is_named(site):
    site.spread(12.0)
    word, bit = divmod(slot_of(FUTURES, SYMBOL_ID), 64)
    mapping = site.regions.routes.table.mapping
    mapping.store_word(128 + 64 * 128 + 8 * word, 1 << bit)

    found = site.explain()

    assert held(found) == {"frozen"}
    assert "mexc_futures" in gates(found)["frozen"].detail


@pytest.mark.parametrize("seed", range(3))
def test_explanation_before_a_pass_foretells_what_the_pass_does(make_site, seed):
    draw = random.Random(seed)
    site = make_site()
    kinds = {"open": SignalType.OPEN, "close": SignalType.CLOSE, "update": SignalType.UPDATE}
    told = set()
    site.scan()
    resumed = 0
    for _ in range(300):
        if draw.random() < 0.1:
            site.start_engine()
        site.spread(
            draw.choice((-20.0, -3.0, 3.0, 6.0, 12.0, 12.5, 30.0, 2_500.0)),
            age_ms=draw.choice((0, 0, 0, 20_000)),
            flags=draw.choice((0, 0, 0, 0, SlotFlag.HALTED, SlotFlag.LATE, SlotFlag.ONE_SIDED)),
            epoch=draw.choice((EPOCH, EPOCH, EPOCH, EPOCH - 2)),
            qty=draw.choice((10.0, 10.0, 0.5)),
        )
        paused = draw.choice((0, 0, 0, 1))
        site.regions.control.mapping.store_word(Control.PAUSE_ALL, paused)
        found = site.explain()

        signals = site.scan()

        if "may signal" in found.verdict:
            assert [kinds[found.would]] == signals["type"].tolist()
        else:
            assert signals["type"].tolist() == []
        told.add(found.verdict)
        resumed += found.is_resumed and "open: may signal" in found.verdict
    assert len(told) > 10
    assert resumed


def test_opening_that_finds_the_ring_full_waits_in_the_engine(site):
    filler = np.zeros(1, SIGNAL_DTYPE)
    while site.ring.push(filler):
        pass
    site.spread(12.0)
    found = site.explain()

    site.scanner.scan()
    site.reader.advance(4_096)

    assert found.verdict.startswith("open: waits in the engine, for the ring is full")
    assert site.explain().verdict == "open: may signal"


@pytest.mark.parametrize(
    ("symbol", "direction", "message"),
    [
        ("BTX-USDT", DIRECTION, "symbol: found 'BTX-USDT', expected one of BTC-USDT"),
        (SYMBOL, "okx_spot_moon_futures", "direction: found 'okx_spot_moon_futures', expected"),
        ("ETH-USDT", DIRECTION, f"symbol of {DIRECTION}: found 'ETH-USDT', expected"),
    ],
)
def test_route_that_does_not_exist_is_refused_by_name(site, symbol, direction, message):
    with pytest.raises(RouteUnknown, match=message):
        site.explain(symbol, direction)


def test_without_shared_memory_there_is_nothing_to_explain(make_config):
    with pytest.raises(RegionMissing):
        explain_route(load_config(make_config({})), SystemClock(), SYMBOL, DIRECTION)


def run(site, *words):
    command = ["explain", SYMBOL, DIRECTION, "--config", site.config.file]
    return CliRunner().invoke(app, [*command, *words])


def test_command_prints_the_same_as_json_and_as_a_screen(site):
    site.spread(12.0)
    site.scan()
    as_json, screen = run(site, "--json"), run(site)

    told = orjson.loads(as_json.stdout)
    assert (as_json.exit_code, screen.exit_code) == (0, 0)
    expected = msgspec.to_builtins(site.explain())
    assert told.keys() == expected.keys()
    assert told["money"] == expected["money"]
    for word in ("nothing to say", "okx_spot", "mexc_futures", "+12.000", "pass", "not known"):
        assert word in screen.stdout


def test_engine_that_does_not_run_is_said_and_is_the_exit_status(site):
    site.spread(12.0)
    site.lock.release()

    found = run(site)

    assert found.exit_code == 3
    assert "nothing is signalled" in found.stdout


def test_help_states_every_formula_as_it_is_defined(site):
    shown = CliRunner().invoke(app, ["explain", "--help"]).stdout

    for line in spread.FORMULAS.splitlines():
        assert " ".join(line.split()) in " ".join(shown.split())
    assert " ".join(spread.CONVENTIONS.split()) in " ".join(shown.split())


def test_what_was_usual_too_long_ago_has_no_score_as_in_the_signal(site):
    site.spread(12.0)
    long_ago_ns = round((site.config.engine.max_baseline_age_s + 60) * 1e9)
    site.regions.baseline.write(
        route_index(site.direction_id, SYMBOL_ID), median_bps=20.0, mad_bps=2.0, samples=99,
        updated_ns=time.monotonic_ns() - long_ago_ns,
    )  # fmt: skip
    (signal,) = site.scan()

    assert np.isnan(signal["z_score"])
    assert site.explain().usual.z_score is None
