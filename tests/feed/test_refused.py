"""Told to stay away, everybody stays away; cut again and again, nobody comes too often."""

import multiprocessing

import pytest
from simulated_cases import Simulated

from spreadscan.config import load_config
from spreadscan.exchanges import source_named
from spreadscan.manners.allowances import allowances_of
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions

SPAWN = multiprocessing.get_context("spawn")
S = 1_000_000_000


def all_live(feed, exchange):
    heard = {symbol for symbol in exchange.listings() if exchange.is_heard(symbol)}
    return heard >= feed.live() == {leg[0] for leg in feed.legs} != set()


@pytest.mark.parametrize("status", [429, 418])
def test_refused_handshakes_are_not_repeated_before_the_time(make_feed, status):
    feed = make_feed("bybit_spot", [], keeps_the_pace=True, topics_per_connection=2)
    faults = [
        {"at_s": 0.7, "kind": str(status), "for_s": 2.0},
        {"at_s": 0.8, "kind": "drop"},
    ]
    exchange = Simulated(feed.source, 9, *faults)
    refused = []

    def is_over():
        events = exchange.simulation.report()["overrun_events"]
        refused[:] = [event for event in events if event["limit"] == "websocket_while_banned_s"]
        return feed.counter(FeedCounter.CONNECTS) == 8 and all_live(feed, exchange)

    feed.run(
        exchange,
        lambda: feed.adopt(exchange.legs(0, 8)),
        lambda: feed.counter(FeedCounter.CONNECTS) == 4,
        lambda: feed.counter(FeedCounter.CONNECT_FAILURES) >= 1,
        is_over,
    )

    # The other three may have been on their way when the first one heard of it; nobody after.
    assert refused == []
    assert 1 <= feed.counter(FeedCounter.CONNECT_FAILURES) <= 4


def test_maintenance_is_waited_for_as_long_as_the_exchange_says(make_feed):
    feed = make_feed("okx_spot", [], keeps_the_pace=True)
    exchange = Simulated(feed.source, 9, {"at_s": 1.0, "kind": "maintenance", "for_s": 2.0})

    feed.run(
        exchange,
        lambda: feed.adopt(exchange.legs(0, 8)),
        lambda: feed.counter(FeedCounter.CONNECT_FAILURES) >= 1,
        lambda: all_live(feed, exchange),
    )

    # The end is told in whole seconds, and may be a moment later.
    assert exchange.simulation.report()["overruns"] == 0
    assert feed.counter(FeedCounter.CONNECT_FAILURES) <= 2


@pytest.mark.parametrize("name", ["okx_spot", "binance_spot"])
def test_all_connections_cut_several_times_in_a_row_overrun_nothing(make_feed, name):
    feed = make_feed(name, [], keeps_the_pace=True, topics_per_connection=2)
    cuts = [{"at_s": at_s, "kind": "drop"} for at_s in (0.6, 0.8, 1.1, 1.5)]
    exchange = Simulated(feed.source, 9, *cuts)

    feed.run(
        exchange,
        lambda: feed.adopt(exchange.legs(0, 8)),
        lambda: exchange.simulation.director.begun == len(cuts),
        lambda: all_live(feed, exchange),
    )

    report = exchange.simulation.report()
    assert report["overruns"] == 0, report["overrun_events"]
    assert report["sources"][name]["connections"] > 4


def connect_often(main, name, count, answers):
    """Take turns of a source as its own process does; each connect takes a while."""
    config = load_config(main, is_sim=True)
    regions = attach_regions(config.shm, reads=(), writes=[RegionKind.GOVERNOR], timeout_s=0)
    turns = allowances_of(config, source_named(name), regions.governor.mapping).connects
    now_ns, spans = 5 * S, []
    while len(spans) < count:
        if turn := turns.take(now_ns):
            spans.append((now_ns, now_ns + S // 10))
            turns.give_back(turn, now_ns + S // 10)
        now_ns += S // 50
    answers.put(spans)


def test_two_processes_at_one_host_share_its_connects(make_feed, tmp_path):
    make_feed("okx_spot", [])  # makes the regions
    main = tmp_path / "config" / "config.toml"
    answers = SPAWN.Queue()
    workers = [
        SPAWN.Process(target=connect_often, args=(main, name, 6, answers))
        for name in ("okx_spot", "okx_futures")
    ]
    for worker in workers:
        worker.start()
    spans = [span for _ in workers for span in answers.get(timeout=60)]
    for worker in workers:
        worker.join()

    # Wherever in each of them the exchange counts: no second touches more than the two allowed.
    for _, from_ns in spans:
        assert sum(begin < from_ns + S and end >= from_ns for begin, end in spans) <= 2
    assert len(spans) == 12


def test_hosts_are_told_apart_also_when_all_are_simulated(make_config):
    config = load_config(make_config({}), is_sim=True)
    own = {
        source.name: (config.market(source).ws_host, config.market(source).rest_host)
        for source in config.active_sources()
    }

    assert own["okx_spot"] == own["okx_futures"]
    assert own["binance_spot"][0] != own["binance_futures"][0]
    assert own["mexc_spot"][0] != own["mexc_futures"][0]
    assert own["mexc_spot"][1] == own["mexc_futures"][1]
