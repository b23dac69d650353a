"""Frames read in place against the same bytes by way of picows, whatever the cuts between reads."""

import asyncio
import logging
import random

import pytest
from frame_cases import flat
from reads_by_hand import BINARY, CONTINUATION, LIMIT, PING, PONG, TEXT, cuts, frame

SEEDS = range(12)


def stream(randomness):
    """Frames of every kind in a random order."""
    parts = []
    for number in range(1, randomness.randrange(6, 80)):
        price = f"{100 + number / 8}"
        # Without a time none of them is late, however slow this host is.
        quote = flat(u=number, b=price, a=str(200 + number), T=None)
        kind = randomness.randrange(12)
        if kind == 0:
            parts.append(frame(b"ping %d" % number, PING))
        elif kind == 1:
            parts.append(frame(b"", PONG))
        elif kind == 2:
            cut = randomness.randrange(len(quote))
            parts += [
                frame(quote[:cut], fin=False), frame(b"", PING),
                frame(quote[cut:], CONTINUATION),
            ]  # fmt: skip
        elif kind == 3:
            parts.append(frame(randomness.choice((b"pong", b"refuse", b"partial", b""))))
        elif kind == 4:
            parts.append(frame(quote[: randomness.randrange(len(quote))]))
        elif kind == 5:
            parts.append(frame(quote.ljust(randomness.randrange(126, LIMIT))))
        else:
            parts.append(frame(quote, randomness.choice((TEXT, BINARY))))
    return b"".join(parts)


@pytest.mark.parametrize("seed", SEEDS)
def test_any_stream_cut_anywhere_is_seen_as_picows_sees_it(by_hand, seed):
    async def scenario(connected):
        seen = []
        for needs_frames in (True, False):
            randomness = random.Random(seed)
            async with connected(needs_frames=needs_frames) as feed:
                for piece in cuts(stream(randomness), randomness):
                    feed.read(piece)
                seen.append(feed.seen())
        assert seen[0]["quotes"] > 0
        assert seen[1] == seen[0]

    by_hand(scenario)


def test_plain_frames_do_not_come_by_way_of_picows(by_hand):
    async def scenario(connected):
        async with connected() as feed:
            feed.read(frame(flat(u=1)))
            assert feed.listener.by_picows == 1
            for number in range(2, 50):
                feed.read(frame(flat(u=number)))
            assert (feed.listener.by_picows, feed.listener.quotes) == (1, 49)
            feed.read(frame(flat(u=50)) + frame(b"", PING) + frame(flat(u=51)))
            assert (feed.listener.by_picows, feed.listener.quotes) == (3, 51)
            feed.read(frame(flat(u=52)))
            assert (feed.listener.by_picows, feed.listener.quotes) == (3, 52)

    by_hand(scenario)


def test_a_listener_that_needs_frames_has_them_until_it_does_not(by_hand):
    async def scenario(connected):
        async with connected(needs_frames=True) as feed:
            for number in range(10):
                feed.read(frame(flat(u=number)))
            assert feed.listener.by_picows == 10
            feed.listener.needs_frames = False
            for number in range(10, 20):
                feed.read(frame(flat(u=number)))
            assert feed.listener.by_picows == 11
            assert feed.listener.quotes == 20

    by_hand(scenario)


def test_message_cut_off_is_no_quote_though_its_end_stands_behind_it_in_memory(by_hand):
    async def scenario(connected):
        quote = flat(u=5)
        async with connected() as feed:
            feed.read(frame(flat(u=1)))
            feed.read(frame(quote))
            assert feed.listener.quotes == 2
            for size in range(len(quote)):
                # The same place in memory: the rest of the whole message is still there.
                feed.read(frame(quote))
                feed.read(frame(quote[:size]))
            assert feed.listener.quotes == 2 + len(quote)
            assert feed.listener.by_picows == 1

    by_hand(scenario)


def test_read_that_fills_the_buffer_ends_within_a_frame_and_the_next_goes_on(by_hand):
    async def scenario(connected):
        async with connected() as feed:
            feed.read(frame(flat(u=0, T=None)))
            feed.read(b"".join(frame(flat(u=number, T=None)) for number in range(1, 12_000)))
            assert (feed.listener.quotes, feed.listener.by_picows) == (12_000, 1)

    by_hand(scenario)


def test_one_read_has_one_time_also_where_picows_has_a_part_of_it(by_hand):
    async def scenario(connected):
        async with connected() as feed:
            whole = frame(flat(u=1))
            feed.read(whole + frame(flat(u=2))[:-3])
            feed.read(frame(flat(u=2))[-3:] + whole + frame(b"", PING) + whole + whole[:9])
            first = feed.listener.last_frame_ns
            assert feed.listener.last_quote_ns == first
            feed.read(whole[9:])
            assert feed.listener.last_quote_ns > first

    by_hand(scenario)


@pytest.mark.parametrize(
    "mistake",
    [b"\x83\x00", b"\xc1\x02{}", b"\x81\x80....", b"\x81\x7e\x00\x05hello", b"\x89\x7e\x00\x80"],
    ids=["opcode", "extension", "masked", "length", "long ping"],
)
def test_mistake_of_the_server_is_dealt_with_as_picows_does(by_hand, mistake, caplog):
    async def scenario(connected):
        seen = []
        for needs_frames in (True, False):
            caplog.clear()
            async with connected(needs_frames=needs_frames) as feed:
                feed.read(frame(flat(u=1)))
                feed.read(frame(flat(u=2)) + mistake)
                feed.read(frame(flat(u=3)))
                seen.append(
                    (feed.listener.quotes, feed.transport.is_close_frame_sent,
                     [record.getMessage() for record in caplog.records if "picows" in record.name])
                )  # fmt: skip
        assert seen[1] == seen[0]

    caplog.set_level(logging.WARNING)
    by_hand(scenario)


def test_mistake_of_ours_ends_the_connection_and_loses_no_quote_of_the_read(by_hand):
    async def scenario(connected):
        seen = []
        for needs_frames in (True, False):
            async with connected(needs_frames=needs_frames) as feed:
                feed.read(frame(flat(u=1)))
                feed.read(frame(flat(u=2)) + frame(b"break") + frame(flat(u=3, b="99.5")))
                assert feed.transport.is_close_frame_sent
                await asyncio.wait_for(feed.closed.wait(), 20)
                seen.append((feed.listener.quotes, feed.controls, feed.bid()))
        assert seen[1] == seen[0] == (3, [b"break"], 99.5)

    by_hand(scenario)
