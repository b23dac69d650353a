"""Frames held against the one before mean what they would have meant alone."""

import itertools
import json

import pytest
from frame_cases import FLAT, LEGS, NESTED, flat, nested
from hypothesis import given, settings
from hypothesis import strategies as st

from spreadscan.kernel.extract import Extractor
from spreadscan.model import QuoteStatus

FLAT_FRAMES = [
    flat(),
    flat(s="1000PEPEUSDT", b="0.5", a="1"),
    flat(b=99.5, B=1, a=100, A=7),
    flat(b="", a="100"),
    flat(b="nan"),
    flat(b="-5"),
    flat(s="NOPE"),
    flat(s=5),
    flat(s="币安人生USDT"),
    json.dumps(json.loads(flat(s="币安人生USDT"))).encode(),
    flat(T=None, u=None),
    flat(a=None),
    flat()[:-1] + b',"x":[1,[2,{"y":"]"}]]}',
    flat()[:-1] + b',"x":"\\"]}"}',
    flat()[:-1] + b',"x":1}',
    flat()[:-1] + b',"data":5}',
    b'{"data":' + flat() + b"}",
    b'{"data":5,' + flat()[1:],
    b'{"data":' + flat(s="A") + b"," + flat()[1:],
    json.dumps(json.loads(flat()), indent=2).encode(),
    b"  " + flat() + b"\n",
    b"pong",
    flat()[:-1],
    flat() + b"}",
    flat().replace(b'"b":', b'"b" '),
]
LEVELS = [("100.5", "2", "0", "1"), ("100.4", "3", "0", "1"), ("100.3", "4", "[", "]")]
NESTED_FRAMES = [
    nested(),
    nested(bids=LEVELS),
    nested(bids=LEVELS[:2], asks=[("100.6", "3")]),
    nested(bids=[LEVELS[0][:2]]),
    nested(bids=[]),
    nested(asks=[[]]),
    nested(asks=[["100.6"]]),
    nested(asks=5),
    nested(channel="books50"),
    nested(channel="books-l2"),
    nested(channel="trades"),
    nested(symbol="NOPE"),
    nested(extra=None),
    nested().replace(b'"4"]]', b'"4"]x]'),
    nested().replace(b'"4"]]', b'"4"]'),
    nested().replace(b'"4"]]', b'"4"}]'),
]


@pytest.mark.parametrize(("plan", "frames"), [(FLAT, FLAT_FRAMES), (NESTED, NESTED_FRAMES)])
def test_every_frame_means_the_same_after_every_other(plan, frames):
    alone = {frame: Extractor(plan, LEGS).decode(frame) for frame in frames}
    seasoned = Extractor(plan, LEGS).decode

    for before, frame in itertools.product(frames, repeat=2):
        seasoned(before)
        assert seasoned(frame) == alone[frame], (before, frame)
        assert seasoned(frame) == alone[frame], frame


@pytest.mark.parametrize("count", [10, 24, 25, 26, 31, 32, 33, 200])
def test_frame_of_many_values_is_read_whether_or_not_its_shape_is_kept(count):
    more = "".join(f',"more{number}":{number}' for number in range(count))
    frame = flat()[:-1] + more.encode() + b"}"
    decode = Extractor(FLAT, LEGS).decode

    assert decode(frame) == decode(frame) == decode(flat())
    assert decode(frame[:-1]).status == QuoteStatus.MALFORMED


@pytest.mark.parametrize("length", [*range(420, 440), 600, 5_000])
def test_frame_of_much_text_between_its_values_is_read_too(length):
    frame = flat()[:-1] + b"," + b" " * length + b'"more":1}'
    decode = Extractor(FLAT, LEGS).decode

    assert decode(frame) == decode(frame) == decode(flat())
    assert decode(frame.replace(b" " * length, b" " * (length - 1))) == decode(flat())


NUMBERS = st.from_regex(r"\A[0-9]{1,9}(\.[0-9]{1,10})?(e[0-9])?\Z") | st.sampled_from(["", "x"])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, st.booleans()), max_size=6))
@settings(max_examples=200)
def test_any_series_of_frames_has_the_values_of_each_alone(rows):
    seasoned = Extractor(FLAT, LEGS).decode
    for bid, bid_qty, ask, ask_qty, is_enveloped in rows:
        frame = flat(b=bid, B=bid_qty, a=ask, A=ask_qty)
        if is_enveloped:
            frame = b'{"stream":"x","data":' + frame + b"}"
        assert seasoned(frame) == Extractor(FLAT, LEGS).decode(frame)
