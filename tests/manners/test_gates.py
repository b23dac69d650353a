"""Gates over shared words: who waits hears of a ban, and nobody goes before its end."""

import asyncio

import pytest

from spreadscan.manners.gates import ConnectGate, RestGate
from spreadscan.runtime.clock import SystemClock
from spreadscan.shm.governor import Allowance, Budget, Turns, private_words

CLOCK = SystemClock()


def connect_gate(words, count=1, window_s=0.05):
    return ConnectGate(Turns(words, 0, Budget(count=count, window_s=window_s), 5.0), CLOCK)


def rest_gate(words):
    return RestGate(Allowance(words, 2, Budget(count=1, window_s=0.3)), CLOCK)


def test_connects_that_wait_for_a_turn_wait_for_the_ban_as_well():
    async def run():
        words = private_words()
        mine, theirs = connect_gate(words), connect_gate(words)
        turn = await mine.turn()
        waiting = [asyncio.create_task(gate.turn()) for gate in (mine, mine, theirs)]
        await asyncio.sleep(0)
        # Another process is told to stay away while they wait, and mine ends its attempt.
        told_ns = CLOCK.monotonic_ns()
        theirs.refused(429, "1")
        mine.give_back(turn)
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        waited_s = (CLOCK.monotonic_ns() - told_ns) / 1e9
        for task in waiting:
            task.cancel()
        return waited_s, len(done)

    waited_s, first = asyncio.run(run())

    assert waited_s >= 1.0
    assert first == 1


def test_ban_that_is_too_long_to_wait_for_is_told_at_once():
    async def run():
        words = private_words()
        gate, rest = connect_gate(words), rest_gate(words)
        gate.refused(403, "")
        rest.refused(418, "90")
        return await gate.turn(patience_s=30.0), await rest.turn(patience_s=30.0)

    assert asyncio.run(run()) == (None, False)


def test_request_that_waits_for_its_turn_does_not_go_into_a_ban():
    async def run():
        gate = rest_gate(private_words())
        assert await gate.turn()
        waiting = asyncio.create_task(gate.turn(patience_s=0.5))
        await asyncio.sleep(0)
        gate.refused(429, "60")
        return await waiting

    assert asyncio.run(run()) is False


@pytest.mark.parametrize("status", [404, 503])
def test_answer_that_forbids_nothing_keeps_nobody_away(status):
    gate = rest_gate(private_words())

    assert gate.refused(status, "") is None
    assert gate.banned_s == 0


def test_bans_without_a_success_in_between_grow_whoever_is_told(manual_clock):
    words = private_words()
    mine, theirs = (
        RestGate(Allowance(words, 2, Budget(count=1, window_s=0.3)), manual_clock) for _ in range(2)
    )
    told = [mine.refused(418, "")]
    manual_clock.advance(121)
    told.append(theirs.refused(418, ""))
    # On the way when the ban came: neither a further ban nor a pardon.
    told.append(mine.refused(418, ""))
    mine.admitted()
    manual_clock.advance(241)
    told.append(mine.refused(418, ""))
    manual_clock.advance(481)
    theirs.admitted()
    told.append(mine.refused(418, ""))

    assert told == [120.0, 240.0, 240.0, 480.0, 120.0]
