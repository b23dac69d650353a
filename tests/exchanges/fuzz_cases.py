"""Frames of every source, ways to spoil them, and what must hold of whatever comes out."""

import math
import random

from bench_decode import BASELINES
from protobuf_reference import RawWrapper
from quote_frames import SHAPES, frames, legs

from spreadscan.exchanges import sources
from spreadscan.exchanges._adapter import ProtobufPlan
from spreadscan.kernel.extract import Extractor
from spreadscan.model import QuoteStatus

SOURCES = list(SHAPES)
STATUSES = set(QuoteStatus)

JSON_PIECES = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"-", b"e", b".", b"\0", b"NaN", b"1e309",
    b"Infinity", b'""', b"null", b"\xff", b"0" * 30, b" ", b"[]", b"{}", b"9" * 18, b"]]", b"[[",
)  # fmt: skip
PROTOBUF_PIECES = (
    b"\x00", b"\x08", b"\x0a", b"\x12", b"\x1a", b"\x22", b"\x2a", b"\x30", b"\xda\x13", b"\xff",
    b"\x80" * 10, b"\x7f", b"\x0b\x0c", b"\x0d\0\0\0\0", b"\x09\0\0\0\0\0\0\0\0", b"nan", b"1e309",
    b"-", b".", b"\xff" * 9 + b"\x01", b"0" * 30, b"\x12\x00", b"{", b"e5", b"9",
)  # fmt: skip


def is_protobuf(source):
    return isinstance(sources()[source].spec.plan, ProtobufPlan)


def extractor(source, symbols=None):
    """A fresh one, of all instruments or of those that are named."""
    wanted = [leg for leg in legs(source) if symbols is None or leg[0] in symbols]
    return Extractor(sources()[source].spec.plan, wanted)


def assert_sane(found):
    """A quote is finite, positive, not crossed and of a listed symbol; else a known refusal."""
    assert found.status in STATUSES
    if found.status == QuoteStatus.QUOTE:
        for value in (found.bid, found.bid_qty, found.ask, found.ask_qty):
            assert math.isfinite(value)
            assert value > 0
        assert found.bid < found.ask
        assert 0 <= found.symbol_id < 600
        assert found.exchange_ns >= -1
        assert found.update_id >= -1


def assert_as_python_reads(source, frame, found):
    """A quote of a frame that Python's parsers take as well has the values that they find."""
    if is_protobuf(source):
        wrapper = RawWrapper.FromString(frame)  # raises where protobuf itself would refuse
        body = wrapper.publicAggreBookTicker
        sides = (body.bidPrice, body.bidQuantity, body.askPrice, body.askQuantity)
        expected = (wrapper.symbol.decode(errors="replace"), *map(float, sides))
    else:
        try:
            expected = BASELINES[source](frame)
        except (ValueError, LookupError, TypeError, AttributeError):
            return  # laxer than a parser of the whole frame: about what nobody reads
    assert (found.symbol, found.bid, found.bid_qty, found.ask, found.ask_qty) == expected, frame


def spoiled(source, count, seed):
    """Yield *count* frames, each changed in one to four places."""
    draw = random.Random(seed)
    pieces = PROTOBUF_PIECES if is_protobuf(source) else JSON_PIECES
    whole = list(frames(source, 200))
    for _ in range(count):
        changed = bytearray(draw.choice(whole))
        for _ in range(draw.randint(1, 4)):
            begin = draw.randrange(len(changed) + 1)
            kind = draw.random()
            if kind < 0.4:
                changed[begin : begin + draw.randint(0, 6)] = draw.choice(pieces)
            elif kind < 0.7:
                changed[begin : begin + 1] = draw.randbytes(1)
            elif kind < 0.85:
                other = draw.choice(whole)
                at = draw.randrange(len(other))
                changed[begin:begin] = other[at : at + draw.randint(1, 40)]
            else:
                del changed[begin : begin + draw.randint(1, 30)]
        yield bytes(changed)


def fuzz(source, count, seed):
    """Decode *count* spoiled frames and check each; return how often each status came out."""
    decode = extractor(source).decode
    outcomes = dict.fromkeys(QuoteStatus, 0)
    for frame in spoiled(source, count, seed):
        found = decode(frame)
        assert_sane(found)
        if found.status == QuoteStatus.QUOTE:
            assert_as_python_reads(source, frame, found)
        outcomes[QuoteStatus(found.status)] += 1
    return outcomes
