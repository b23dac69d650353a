"""The engine's process under load while its universe changes: nothing doubled, nothing missed."""

import random
import signal
from itertools import pairwise

import pytest
from engine_feed_cases import Market
from program_cases import Programs, until, write_small_universe

from spreadscan.model import SignalType

ENGINE = "spread-engine"
COINS = [f"COIN{number}" for number in range(30)]
OPEN, UPDATE, CLOSE = SignalType.OPEN, SignalType.UPDATE, SignalType.CLOSE


@pytest.fixture
def programs(make_config):
    programs = Programs(make_config({"engine.wait_bound_ms": 2}))
    yield programs
    programs.close()


@pytest.fixture
def market(programs):
    market = Market(programs, len(COINS))
    yield market
    market.close()


@pytest.mark.parametrize("seed", [11, 12])
def test_engine_keeps_what_is_open_over_reloads_under_load(programs, market, seed):
    draw = random.Random(seed)
    write_small_universe(programs.config, COINS, generation=1)
    process = programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).universe_generation == 1, "the first universe")
    gross_bps = dict.fromkeys(range(len(COINS)), 0.0)

    for generation in range(2, 10):
        # Numbers below `kept` stay; those above go and come back.
        kept = draw.randint(10, len(COINS))
        write_small_universe(programs.config, COINS[:kept], generation=generation)
        process.send_signal(signal.SIGHUP)
        quotes, heard = 0, market.signals_of_the_first(10)
        # However seldom a busy machine lets the engine look.
        while (
            quotes < 200
            or programs.slot(ENGINE).universe_generation != generation
            or market.signals_of_the_first(10) < heard + 7
        ):
            quotes += 1
            symbol = draw.randrange(len(COINS))
            gross_bps[symbol] = draw.choice((0.0, 80.0, 90.0))
            market.spread(symbol, gross_bps[symbol])
            market.listen()
        for symbol in range(kept, len(COINS)):
            market.told[symbol].append(None)
    write_small_universe(programs.config, COINS, generation=10)
    process.send_signal(signal.SIGHUP)
    until(lambda: programs.slot(ENGINE).universe_generation == 10, "the last universe")

    def is_settled():
        market.listen()
        return all(is_open(market.told[n]) == (gross > 0) for n, gross in gross_bps.items())

    until(is_settled, "the state that the prices ask for")
    status, errors, _ = programs.finish(process)
    market.listen()

    assert status == 0, errors
    assert is_settled()
    always = [market.told[number] for number in range(10)]
    assert all(None not in history for history in always)
    for history in always:
        assert_alternates(history)
    assert sum(map(len, always)) > 25


def is_open(history):
    return bool(history) and history[-1] is not None and history[-1][0] != CLOSE


def assert_alternates(history):
    """OPEN, then updates, then CLOSE, under one number, and so on."""
    for before, (kind, opening) in pairwise([(CLOSE, 0), *history]):
        if before[0] == CLOSE:
            assert (kind, opening) == (OPEN, before[1] + 1)
        else:
            assert kind in {UPDATE, CLOSE}
            assert opening == before[1]
