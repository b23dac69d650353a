"""Nothing that comes over the wire of any source crashes the kernel or becomes a false price."""

import subprocess
import sys
from pathlib import Path

import pytest
from fuzz_cases import (
    SOURCES,
    assert_as_python_reads,
    assert_sane,
    extractor,
    fuzz,
    is_protobuf,
    spoiled,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from quote_frames import frames

from spreadscan.model import QuoteStatus

MEBIBYTE = 1 << 20
HUGE = 50 * MEBIBYTE

every_source = pytest.mark.parametrize("source", SOURCES)


@every_source
def test_every_whole_frame_is_a_quote_with_pythons_values(source):
    decode = extractor(source).decode
    for frame in frames(source, 2_000):
        found = decode(frame)
        assert found.status == QuoteStatus.QUOTE
        assert_sane(found)
        assert_as_python_reads(source, frame, found)


@every_source
def test_no_prefix_of_a_frame_is_a_quote_with_other_values(source):
    decode = extractor(source).decode
    for frame in frames(source, 20):
        whole = decode(frame)
        for size in range(len(frame)):
            found = decode(frame[:size])
            # Protobuf has no closing bracket: a frame may lack its last field and be whole. The
            # fields of this one that may be missing are of no concern to a price.
            if found.status == QuoteStatus.QUOTE:
                assert is_protobuf(source)
                assert found[:6] == whole[:6]


@every_source
def test_no_change_of_a_single_byte_makes_an_insane_quote(source):
    decode = extractor(source).decode
    for frame in frames(source, 2):
        for place in range(len(frame)):
            changed = bytearray(frame)
            for value in range(256):
                changed[place] = value
                found = decode(bytes(changed))
                assert_sane(found)
                if found.status == QuoteStatus.QUOTE:
                    assert_as_python_reads(source, bytes(changed), found)


@every_source
def test_twenty_thousand_spoiled_frames_make_no_insane_quote(source):
    outcomes = fuzz(source, 20_000, seed=2026)

    for status in (QuoteStatus.QUOTE, QuoteStatus.MALFORMED, QuoteStatus.BAD_NUMBER):
        assert outcomes[status] > 0


@pytest.mark.nightly
@every_source
def test_a_million_spoiled_frames_make_no_insane_quote(source):
    outcomes = fuzz(source, 1_000_000, seed=2027)

    assert sum(outcomes.values()) == 1_000_000


@every_source
def test_what_was_seen_before_never_changes_what_a_frame_means(source):
    everything = extractor(source).decode
    symbols = {everything(frame).symbol for frame in frames(source, 40)}
    seasoned = extractor(source, symbols).decode
    whole = list(frames(source, 40))
    for number, frame in enumerate(spoiled(source, 1_500, seed=11)):
        seasoned(whole[number % len(whole)])
        # Twice: the second time it may be held against what itself has left.
        found = seasoned(frame)
        assert found == seasoned(frame) == extractor(source, symbols).decode(frame), frame


@every_source
@given(data=st.binary(max_size=400))
@settings(max_examples=150)
def test_random_bytes_are_never_a_quote(source, data):
    assert extractor(source).decode(data).status != QuoteStatus.QUOTE


def huge_frames(source):
    frame = next(frames(source, 1))
    if is_protobuf(source):
        size = bytes((HUGE & 0x7F | 0x80, HUGE >> 7 & 0x7F | 0x80, HUGE >> 14 & 0x7F | 0x80,
                      HUGE >> 21))  # fmt: skip
        yield QuoteStatus.QUOTE, frame + b"\x12" + size + bytes(HUGE)
        yield QuoteStatus.MALFORMED, frame + b"\x12" + size + bytes(HUGE - 1)
        yield QuoteStatus.MALFORMED, frame + b"\x80" * HUGE
        yield QuoteStatus.MALFORMED, b"\x0b" * HUGE
        yield QuoteStatus.NOT_A_QUOTE, b"\x10\x00" * (HUGE // 2)
        yield QuoteStatus.UNKNOWN_SYMBOL, frame + b"\x1a" + size + bytes(HUGE)
        return
    body = frame[:-1] + b',"more":'
    yield QuoteStatus.QUOTE, body + b'"' + b"x" * HUGE + b'"}'
    yield QuoteStatus.QUOTE, body + b"9" * HUGE + b"}"
    yield QuoteStatus.QUOTE, frame + b" " * HUGE
    yield QuoteStatus.QUOTE, body + b"[" + b"[]," * (HUGE // 3) + b"0]}"
    yield QuoteStatus.MALFORMED, body + b'"' + b"x" * HUGE
    yield QuoteStatus.MALFORMED, body + b'"' + b"\\" * HUGE
    yield QuoteStatus.MALFORMED, body + b"[" * HUGE
    yield QuoteStatus.MALFORMED, b'{"a":' * (HUGE // 5)
    yield QuoteStatus.NOT_A_QUOTE, b"[" * HUGE


@every_source
def test_frames_of_fifty_megabytes_are_read_or_refused_like_small_ones(source):
    decode = extractor(source).decode
    for status, frame in huge_frames(source):
        assert QuoteStatus(decode(frame).status) == status, frame[:40]


@every_source
def test_price_of_fifty_megabytes_is_no_price(source):
    text = b"9" * HUGE
    frame = next(frames(source, 1))
    if is_protobuf(source):
        # 315.1 once more, of HUGE digits.
        sizes = [HUGE + 5, HUGE]
        encoded = [
            bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14 & 0x7F | 0x80,
                   size >> 21))
            for size in sizes
        ]  # fmt: skip
        frame += b"\xda\x13" + encoded[0] + b"\x0a" + encoded[1] + text
    else:
        quoted = max(frame.split(b'"'), key=lambda part: part.replace(b".", b"").isdigit())
        bare = quoted if quoted.replace(b".", b"").isdigit() else b"[["
        frame = frame.replace(bare, text if bare is quoted else b"[[" + text, 1)
    assert extractor(source).decode(frame).status in {
        QuoteStatus.BAD_NUMBER,
        QuoteStatus.MALFORMED,
    }


@every_source
@pytest.mark.parametrize("depth", [10, 100, 10_000, MEBIBYTE])
def test_nesting_of_any_depth_is_stepped_over_or_refused(source, depth):
    frame = next(frames(source, 1))
    decode = extractor(source).decode
    if is_protobuf(source):
        # Of field 315 within itself; lengths are those of the outermost levels only.
        nested = b""
        for _ in range(min(depth, 60)):
            nested = b"\xda\x13" + bytes((len(nested),)) + nested if len(nested) < 120 else nested
        assert decode(frame + nested).status == QuoteStatus.QUOTE
        assert decode(frame + b"\xda\x13\x7f" * depth).status == QuoteStatus.MALFORMED
        assert decode(frame + b"\x0b" * depth + b"\x0c" * depth).status == QuoteStatus.MALFORMED
        return
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
        value = opening * depth + b"1" + closing * depth
        found = decode(frame[:-1] + b',"more":' + value + b"}")
        is_shallow = depth * (opening.count(b"[") + opening.count(b"{")) <= 64
        expected = QuoteStatus.QUOTE if is_shallow else QuoteStatus.MALFORMED
        assert found.status == expected


def test_no_byte_behind_a_frame_is_ever_touched():
    # Each frame ends at a page that may not be read: to touch the next byte ends the process.
    script = Path(__file__).with_name("guarded_frames.py")

    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=100, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > 10_000
