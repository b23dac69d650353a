"""The real tracker process told to read another universe."""

import random
import signal

import pytest
from tracker_host import SYMBOLS, Engine, Host, until

from spreadscan.ops.ledger import LedgerReader
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.counters import TrackerCounter


@pytest.fixture
def host(make_config):
    overrides = {"tracker.snapshot_interval_ms": 5, "engine.max_leg_age_ms": 3_600_000}
    subject = Host(make_config(overrides))

    def configure(more):
        sim = subject.config.sim
        same = {"sim.rest_base": sim.rest_base, "sim.ws_base": sim.ws_base}
        assert make_config(overrides | same | more) == subject.config_file

    subject.configure = configure
    yield subject
    subject.close()


def endings(host):
    with LedgerReader(host.data_dir) as reader:
        return [(row.symbol, row.ending) for row in reversed(reader.recent_episodes(50))]


def test_symbol_that_leaves_is_delisted_and_opens_anew_when_it_is_back(host):
    engine = Engine(host.regions, host.direction, random.Random(3))
    child = host.start()
    for symbol_id in (0, 1):
        engine.open_route(symbol_id)
    until(lambda: host.counter(TrackerCounter.EPISODES_OPEN) == 2, "two open episodes")

    host.list_coins(range(1, SYMBOLS), generation=2)
    child.send_signal(signal.SIGHUP)
    until(lambda: host.health().universe_generation == 2, "the second universe")
    until(lambda: endings(host)[0][1] is not None, "the ending is stored")
    without = endings(host)
    host.list_coins(range(SYMBOLS), generation=3)
    generation = ControlWriter(host.regions.control).ask_for_reload()
    until(lambda: host.health().obeyed_generation == generation, "obedience")
    engine.open_route(0)
    until(lambda: host.counter(TrackerCounter.EPISODES_OPENED) == 3, "the third opening")
    child.terminate()

    assert child.wait(timeout=10) == 0
    assert without == [("COIN0-USDT", "delisted"), ("COIN1-USDT", None)]
    assert endings(host) == [*without, ("COIN0-USDT", None)]
    assert host.health().universe_generation == 3


def test_tracker_killed_and_started_on_another_universe_ends_what_left(host):
    engine = Engine(host.regions, host.direction, random.Random(4))
    first = host.start()
    for symbol_id in (0, 1):
        engine.open_route(symbol_id)
    until(lambda: len(host.episodes()) == 2, "two stored episodes")
    first.kill()
    first.wait()

    host.list_coins(range(1, SYMBOLS), generation=2)
    host.start()
    expected = [("COIN0-USDT", "delisted"), ("COIN1-USDT", None)]
    until(lambda: endings(host) == expected, "the ending is stored")

    assert host.counter(TrackerCounter.EPISODES_DELISTED) == 1


def test_opening_of_a_symbol_that_left_before_it_was_taken_keeps_its_name(host):
    first = host.start()
    first.kill()
    first.wait()
    Engine(host.regions, host.direction, random.Random(5)).open_route(0)
    host.list_coins(range(1, SYMBOLS), generation=2)

    host.start()
    until(host.episodes, "the opening is taken")

    until(lambda: endings(host) == [("COIN0-USDT", "delisted")], "it is ended")


def test_shorter_life_that_is_taken_over_ends_what_is_open_and_too_old(host):
    engine = Engine(host.regions, host.direction, random.Random(5))
    child = host.start()
    engine.open_route(0)
    until(lambda: endings(host) == [("COIN0-USDT", None)], "an open episode is stored")

    host.configure({"tracker.max_life_s": 0.05})
    generation = ControlWriter(host.regions.control).ask_for_reload()
    until(lambda: host.health().obeyed_generation == generation, "obedience")
    until(lambda: host.counter(TrackerCounter.EPISODES_OPEN) == 0, "its end")
    until(lambda: endings(host)[0][1] is not None, "the ending is stored")
    child.terminate()

    assert child.wait(timeout=10) == 0
    assert endings(host) == [("COIN0-USDT", "expired")]
    assert host.counter(TrackerCounter.EPISODES_EXPIRED) == 1
