"""Nothing that comes over the wire makes the extractor believe a price that is not there."""

import json
import math
import random

import pytest
from frame_cases import FLAT, LEGS, NESTED, flat, nested
from hypothesis import given, settings
from hypothesis import strategies as st

from spreadscan.kernel.extract import Extractor
from spreadscan.model import QuoteStatus

DECODERS = [Extractor(FLAT, LEGS).decode, Extractor(NESTED, LEGS).decode]
FRAMES = [
    (DECODERS[0], flat()),
    (DECODERS[0], b'{"stream":"x@bookTicker","data":' + flat(s="1000PEPEUSDT") + b"}"),
    (DECODERS[0], json.dumps(json.loads(flat(s="币安人生USDT")), indent=1).encode()),
    (DECODERS[1], nested()),
]


def assert_sane(found):
    """A quote is finite, positive and not crossed; anything else is a known refusal."""
    assert found.status in set(QuoteStatus)
    if found.status == QuoteStatus.QUOTE:
        values = (found.bid, found.bid_qty, found.ask, found.ask_qty)
        assert all(math.isfinite(value) and value > 0 for value in values)
        assert found.bid < found.ask
        assert found.symbol_id in {leg[1] for leg in LEGS}


@pytest.mark.parametrize(("decode", "frame"), FRAMES)
def test_every_prefix_of_a_frame_is_refused(decode, frame):
    assert decode(frame).status == QuoteStatus.QUOTE

    for size in range(len(frame)):
        found = decode(frame[:size])
        assert found.status in {QuoteStatus.MALFORMED, QuoteStatus.NOT_A_QUOTE}, frame[:size]


@pytest.mark.parametrize(("decode", "frame"), FRAMES)
def test_flipping_any_single_bit_never_yields_an_insane_quote(decode, frame):
    for place in range(len(frame)):
        for bit in range(8):
            changed = bytearray(frame)
            changed[place] ^= 1 << bit
            assert_sane(decode(bytes(changed)))


def test_twenty_thousand_mutated_frames_yield_no_insane_quote():
    draw = random.Random(2026)
    pieces = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"-", b"e", b".", b"\0", b"NaN",
              b"1e309", b"Infinity", b'""', b"null", b"\xff", b"0" * 30, b" "]  # fmt: skip
    outcomes = set()
    for _ in range(20_000):
        decode, frame = draw.choice(FRAMES)
        changed = bytearray(frame)
        for _ in range(draw.randint(1, 4)):
            begin = draw.randrange(len(changed) + 1)
            changed[begin : begin + draw.randint(0, 6)] = draw.choice(pieces)
        found = decode(bytes(changed))
        assert_sane(found)
        outcomes.add(QuoteStatus(found.status))

    assert {QuoteStatus.QUOTE, QuoteStatus.MALFORMED, QuoteStatus.BAD_NUMBER} <= outcomes


def test_what_a_json_parser_refuses_is_mostly_refused_here_and_never_changes_a_price():
    draw = random.Random(7)
    frame = flat()
    plain = DECODERS[0](frame)
    for _ in range(5_000):
        changed = bytearray(frame)
        changed[draw.randrange(len(changed))] = draw.randrange(256)
        try:
            tree = json.loads(bytes(changed))
        except ValueError:
            continue
        found = DECODERS[0](bytes(changed))
        if found.status == QuoteStatus.QUOTE:
            assert found.bid == float(tree["b"])
            assert found.ask == float(tree["a"])
            assert plain.symbol_id == found.symbol_id


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_random_bytes_are_never_a_quote(data):
    for decode in DECODERS:
        assert decode(data).status != QuoteStatus.QUOTE


DECIMALS = st.from_regex(r"\A[0-9]{1,12}(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,3})?\Z")


@given(DECIMALS, DECIMALS)
@settings(max_examples=400)
def test_prices_equal_float_of_their_text_or_are_refused_for_what_float_says(bid_text, ask_text):
    bid, ask = float(bid_text), float(ask_text)
    found = DECODERS[0](flat(b=bid_text, a=ask_text))

    if math.isinf(bid) or math.isinf(ask):
        expected = QuoteStatus.BAD_NUMBER
    elif bid == 0 or ask == 0:
        expected = QuoteStatus.ONE_SIDED
    elif not (1e-15 <= bid <= 1e9 and 1e-15 <= ask <= 1e9):
        expected = QuoteStatus.IMPLAUSIBLE
    elif bid >= ask:
        expected = QuoteStatus.CROSSED
    else:
        expected = QuoteStatus.QUOTE
        assert (found.bid, found.ask) == (bid, ask)
    assert found.status == expected


@given(st.floats(min_value=1e-14, max_value=9e8), st.floats(min_value=1e-14, max_value=9e8))
@settings(max_examples=400)
def test_every_double_survives_the_way_through_its_shortest_text(first, second):
    bid, ask = sorted((first, second))
    found = DECODERS[0](flat(b=repr(bid), a=repr(ask)))

    if bid < ask:
        assert (found.status, found.bid, found.ask) == (QuoteStatus.QUOTE, bid, ask)
    else:
        assert found.status == QuoteStatus.CROSSED


@given(st.text(max_size=40))
@settings(max_examples=200)
def test_any_text_as_a_symbol_is_unknown_and_spelled_back(symbol):
    for ascii_only in (True, False):
        try:
            frame = json.dumps(json.loads(flat()) | {"s": symbol}, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue
        found = DECODERS[0](frame)
        listed = {leg[0] for leg in LEGS}

        assert found.status == (
            QuoteStatus.QUOTE if symbol in listed else QuoteStatus.UNKNOWN_SYMBOL
        )
        assert found.symbol == symbol


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
@settings(max_examples=200)
def test_any_json_beside_the_quote_is_stepped_over(tree):
    frame = flat()[:-1] + b',"zz":' + json.dumps(tree).encode() + b"}"

    assert DECODERS[0](frame)[:8] == DECODERS[0](flat())[:8]
