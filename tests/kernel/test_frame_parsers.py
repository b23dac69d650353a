"""Frames read in place against another parser of the protocol, the websockets library's."""

import random

import pytest
from reads_by_hand import BINARY, CONTINUATION, PING, PONG, TEXT, cuts, frame
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

LARGE = 200_000
SIZES = (0, 1, 7, 125, 126, 127, 1_000)
LONG_SIZES = (65_534, 65_535, 65_536, 70_000)
# Those of both parsers; picows reads on over reserved bits and opcodes.
MISTAKES = (
    b"\x81\x85\1\2\3\4hello", b"\x82\xfe\0\x80\0\0\0\0" + b"x" * 128,
    b"\x81\x7f\x7f" + b"\xff" * 7, b"\x81\x7f" + b"\0" * 4 + b"\xff" * 4,
)  # fmt: skip


def understood(data):
    """Messages and number of pongs in *data*, as far as it is whole and no mistake."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    messages, pongs, parts = [], 0, b""
    while True:
        parser = Frame.parse(reader.read_exact, mask=False, max_size=LARGE)
        try:
            next(parser)
        except StopIteration as done:
            found = done.value
        except (EOFError, PayloadTooBig, ProtocolError):
            return messages, pongs
        if found.opcode is Opcode.PONG:
            pongs += 1
        elif found.opcode is not Opcode.PING:
            parts += found.data
            if found.fin:
                messages.append(parts)
                parts = b""


def words(randomness):
    """Frames whose messages are no quotes, so that each is told."""
    parts = []
    count = randomness.randrange(2, 40)
    # One at most: a read of a byte at a time takes microseconds.
    is_long = randomness.randrange(2 * count)
    for number in range(count):
        size = randomness.choice((*SIZES, randomness.randrange(300), randomness.randrange(300)))
        if number == is_long:
            size = randomness.choice(LONG_SIZES)
        text = (b"%d " % number).ljust(size, b"x")[:size]
        kind, opcode = randomness.randrange(8), randomness.choice((TEXT, BINARY))
        if kind == 0:
            parts.append(frame(text[:125], randomness.choice((PING, PONG))))
        elif kind == 1:
            places = sorted(randomness.choices(range(size + 1), k=randomness.randrange(1, 4)))
            for begin, end in zip((0, *places), (*places, size), strict=True):
                parts.append(frame(text[begin:end], opcode, fin=False))
                opcode = CONTINUATION
                if randomness.randrange(2):
                    parts.append(frame(b"", randomness.choice((PING, PONG))))
            parts.append(frame(b"", CONTINUATION))
        else:
            parts.append(frame(text, opcode))
    return b"".join(parts)


@pytest.mark.parametrize("seed", range(40))
def test_any_stream_cut_anywhere_has_the_messages_of_another_parser(by_hand, seed):
    async def scenario(connected):
        randomness = random.Random(seed)
        data = words(randomness)
        if seed % 2:
            # What comes behind a mistake is nobody's.
            data += randomness.choice(MISTAKES) + frame(b"behind")
        async with connected(limit=LARGE) as feed:
            for piece in cuts(data, randomness):
                feed.read(piece)
            told, pongs = understood(data)
            assert [message[:20] for message in feed.controls] == [m[:20] for m in told]
            assert [len(m) for m in feed.controls] == [len(m) for m in told]
            assert feed.listener.pongs == pongs

    by_hand(scenario)


def test_stream_cut_in_two_at_every_byte_has_the_messages_of_another_parser(by_hand):
    data = b"".join(
        (frame(b"plain"), frame(b"y" * 126), frame(b"be", fin=False), frame(b"", PING),
         frame(b"gin", CONTINUATION), frame(b"", PONG), frame(b""), frame(b"z" * 130, BINARY),
         frame(b"end"))
    )  # fmt: skip

    async def scenario(connected):
        async with connected() as feed:
            for place in range(len(data) + 1):
                feed.controls.clear()
                feed.read(data[:place])
                feed.read(data[place:])
                assert feed.controls == understood(data)[0]
            assert feed.listener.pongs == place + 1

    by_hand(scenario)
