"""Messages of a connection go evenly; heartbeats do not wait behind the hour."""

import asyncio

import msgspec
import pytest

from spreadscan.config import load_config
from spreadscan.exchanges import source_named
from spreadscan.exchanges._adapter import Limits
from spreadscan.manners.messages import MessagePace
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.governor import Allowance, Budget, private_words

CLOCK = SystemClock()


@pytest.fixture
def make_pace(make_config):
    config = load_config(make_config({}))
    market = config.market(source_named("okx_spot"))

    def make(per_s, address, requests_per_hour=None):
        changed = msgspec.structs.replace(market, messages_per_s=per_s)
        return MessagePace(changed, Limits(requests_per_hour=requests_per_hour), address, CLOCK)

    return make


def address(count):
    return Allowance(private_words(), 1, Budget(count=count, window_s=1.0))


async def turns_of(paces, count):
    """Let each connection send so many messages as fast as it may; return the times."""

    async def send(pace):
        times = []
        for _ in range(count):
            await pace.turn()
            times.append(CLOCK.monotonic_ns() / 1e9)
        return times

    return await asyncio.gather(*map(send, paces))


def test_messages_go_evenly_and_not_in_bursts(make_pace):
    (times,) = asyncio.run(turns_of([make_pace(20.0, address(1000))], 5))

    assert times[4] - times[0] >= 4 * 0.05 - 0.001
    assert times[1] - times[0] >= 0.05 - 0.001


def test_connections_to_one_address_share_its_budget(make_pace):
    shared = address(10)
    rows = asyncio.run(turns_of([make_pace(1000.0, shared) for _ in range(4)], 3))

    # Five at once, then one in a sixth of a second: the twelfth is the seventh that waits.
    times = sorted(time for row in rows for time in row)
    assert times[-1] - times[0] >= 7 / 6 - 0.01
    assert shared.taken == 12


def test_heartbeat_goes_while_requests_wait_for_the_hour(make_pace):
    async def run():
        pace = make_pace(1000.0, address(1000), requests_per_hour=2)
        await pace.request_turn()
        waiting = asyncio.create_task(pace.request_turn())
        await asyncio.sleep(0)
        await pace.turn()
        was_waiting = not waiting.done()
        waiting.cancel()
        return was_waiting

    assert asyncio.run(run())


def test_duration_counts_seconds_and_hours(make_pace):
    assert make_pace(2.0, address(9)).duration_s(10) == 5.0
    assert make_pace(2.0, address(9), requests_per_hour=10).duration_s(20) == 10.0 + 2 * 3600
