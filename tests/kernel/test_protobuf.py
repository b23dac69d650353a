"""What the extractor says to protobuf frames; the protobuf package is the reference."""

import json
import math
from pathlib import Path

import pytest
from frame_cases import LEGS, TICKER, protobuf_plan
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from protobuf_reference import CHANNEL, RawWrapper, Wrapper, ticker_frame

from spreadscan.kernel.extract import Extractor
from spreadscan.model import QuoteStatus

RECORDED = Path(__file__).parents[2] / "../shared/data/frames/mexc_spot.protobuf.2026-09.json"


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))


def field(number, wire_type, payload=b""):
    return varint(number << 3 | wire_type) + payload


def chunk(number, value):
    return field(number, 2, varint(len(value)) + value)


def ticker(symbol="BTCUSDT", bid="100.5", bid_qty="2", ask="100.6", ask_qty="3", **more):
    more = {"version": "100", "sent_ms": 1_700_000, "created_ms": 1_699_990} | more
    return ticker_frame(symbol, bid, bid_qty, ask, ask_qty, **more)


@pytest.fixture
def decode():
    return Extractor(TICKER, LEGS).decode


def status_of(found):
    return QuoteStatus(found.status).name


def test_whole_frame_is_a_quote(decode):
    assert decode(ticker()) == (
        0, 7, 100.5, 2.0, 100.6, 3.0, 1_700_000_000_000, 100, "BTCUSDT"
    )  # fmt: skip


def test_scaled_instrument_is_taken_back_to_one_coin(decode):
    found = decode(ticker("1000PEPEUSDT", "0.01", "5", "0.0125", "6"))

    assert found[1:6] == (8, 0.01 / 1000, 5_000.0, 0.0125 / 1000, 6_000.0)


def test_symbol_of_any_alphabet_is_found(decode):
    assert decode(ticker("币安人生USDT")).symbol_id == 10


@pytest.mark.parametrize("symbol", ["NOPE", 'B"T\\C', "BTCUSD", "BTCUSDTT"])
def test_symbol_that_is_not_listed_is_refused_by_name(decode, symbol):
    found = decode(ticker(symbol))

    assert (status_of(found), found.symbol) == ("UNKNOWN_SYMBOL", symbol)


def test_quiet_symbol_is_pushed_without_a_body_and_is_no_quote(decode):
    quiet = Wrapper(channel=CHANNEL + "BTCUSDT", symbol="BTCUSDT", sendTime=1_700_000)

    assert status_of(decode(quiet.SerializeToString())) == "NOT_A_QUOTE"


@pytest.mark.parametrize(
    "changes",
    [
        {"bid": ""},
        {"bid_qty": ""},
        {"ask": "", "ask_qty": ""},
        {"bid": "", "bid_qty": "", "ask": "", "ask_qty": "", "version": "", "created_ms": 0},
        {"bid": "0"},
        {"ask_qty": "0.000"},
    ],
)
def test_body_that_lacks_a_side_is_one_sided_and_names_its_symbol(decode, changes):
    found = decode(ticker(**changes))

    assert (status_of(found), found.symbol_id) == ("ONE_SIDED", 7)


@pytest.mark.parametrize("side", [1, 2, 3, 4])
def test_side_that_is_sent_empty_is_one_sided(decode, side):
    assert status_of(decode(ticker() + chunk(315, chunk(side, b"")))) == "ONE_SIDED"


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("1e2", "QUOTE"),
        ("100.12345678901234567890123456", "QUOTE"),
        ("1E-7", "QUOTE"),
        ("1e400", "BAD_NUMBER"),
        ("nan", "BAD_NUMBER"),
        ("inf", "BAD_NUMBER"),
        (" 1", "BAD_NUMBER"),
        ("1 ", "BAD_NUMBER"),
        ("1.", "BAD_NUMBER"),
        (".1", "BAD_NUMBER"),
        ("1.2.3", "BAD_NUMBER"),
        ("1\0", "BAD_NUMBER"),
        ('1"', "BAD_NUMBER"),
        ("-1", "NOT_POSITIVE"),
        ("1000000001", "IMPLAUSIBLE"),
        ("100.6", "CROSSED"),
    ],
)
def test_bid_text_is_read_like_float_or_refused_by_reason(decode, text, status):
    found = decode(ticker(bid=text))

    assert status_of(found) == status
    if status == "QUOTE":
        assert found.bid == float(text)


@pytest.mark.parametrize("version", ["x", "-5", "1.5", "9" * 19, "10 "])
def test_update_id_that_is_no_whole_number_is_refused(decode, version):
    assert status_of(decode(ticker(version=version))) == "BAD_NUMBER"


def test_update_id_and_time_may_be_varints_or_texts(decode):
    frame = ticker(version="", sent_ms=0)

    as_varints = frame + field(6, 0, varint(17)) + chunk(315, field(5, 0, varint(2**63 - 1)))
    as_texts = frame + chunk(6, b"17") + chunk(315, chunk(5, b"18"))

    assert decode(as_varints)[6:8] == (17_000_000, 2**63 - 1)
    assert decode(as_texts)[6:8] == (17_000_000, 18)


def test_negative_varint_is_a_bad_number_and_a_far_time_implausible(decode):
    assert status_of(decode(ticker(sent_ms=-1))) == "BAD_NUMBER"
    assert status_of(decode(ticker(sent_ms=2**62))) == "IMPLAUSIBLE"


def test_frame_without_time_and_id_says_so(decode):
    found = decode(ticker(version="", sent_ms=0))

    assert (found.status, found.exchange_ns, found.update_id) == (0, -1, -1)


@pytest.mark.parametrize(
    "channel",
    ["spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT", "spot@public.aggre.bookTicke", ""],
)
def test_other_channel_is_no_quote(decode, channel):
    wrapper = Wrapper.FromString(ticker())
    wrapper.channel = channel

    assert status_of(decode(wrapper.SerializeToString())) == "NOT_A_QUOTE"


@pytest.mark.parametrize("text", [b"{}", b'{"id":1,"code":0,"msg":"PONG"}', b"{"])
def test_json_where_quotes_are_protobuf_goes_to_the_adapter(decode, text):
    assert status_of(decode(text)) == "NOT_A_QUOTE"


def test_line_feed_and_brace_as_tag_and_length_are_no_json(decode):
    wrapper = Wrapper.FromString(ticker())
    wrapper.channel = CHANNEL + "x" * (ord("{") - len(CHANNEL))
    frame = wrapper.SerializeToString(deterministic=True)

    assert frame.startswith(b"\n{")
    assert status_of(decode(frame)) == "QUOTE"


def test_empty_frame_is_an_empty_message_and_no_quote(decode):
    assert status_of(decode(b"")) == "NOT_A_QUOTE"


@pytest.mark.parametrize(
    "unknown",
    [
        field(12, 0, varint(2**64 - 1)),
        field(12, 0, b"\x80" * 9 + b"\x00"),
        field(7, 1, b"12345678"),
        field(8, 2, b"\x00"),
        chunk(9, ticker("NOPE")),
        field(10, 5, b"1234"),
        field(2**29 - 1, 0, b"\x00"),
        b"\xe2\x80\x80\x00" + b"\x01x",
    ],
)
@pytest.mark.parametrize("is_inside", [False, True])
def test_unknown_field_of_every_wire_type_is_stepped_over(decode, unknown, is_inside):
    frame = ticker() + (chunk(315, unknown) if is_inside else unknown)

    assert decode(frame) == decode(ticker())
    assert decode(unknown + ticker()) == decode(ticker())


@pytest.mark.parametrize(
    "broken",
    [
        field(2, 3),
        field(2, 4),
        field(2, 6),
        field(2, 7),
        field(0, 0, b"\x00"),
        field(2**29, 0, b"\x00"),
        field(2, 0, b"\xff" * 9 + b"\x02"),
        field(2, 0, b"\xff" * 11),
        field(2, 0, b"\x80"),
        field(2, 1, b"1234567"),
        field(2, 5, b"123"),
        field(2, 2, b"\x05abcd"),
        field(2, 2, b"\xff" * 9 + b"\x01"),
        field(2, 2),
        b"\x80",
        field(315, 0, b"\x01"),
        field(315, 2, b"\x01"),
        chunk(315, field(1, 0, b"\x01")),
        chunk(315, field(1, 1, b"12345678")),
        chunk(315, field(1, 2, b"\x02x")),
        chunk(315, field(5, 5, b"1234")),
        field(1, 0, b"\x01"),
        field(3, 0, b"\x01"),
        field(6, 5, b"1234"),
    ],
)
def test_bytes_that_are_no_protobuf_or_another_wire_type_are_malformed(decode, broken):
    assert status_of(decode(ticker() + broken)) == "MALFORMED"
    assert status_of(decode(broken + ticker())) in {"MALFORMED", "NOT_A_QUOTE", "ONE_SIDED"}


def test_length_may_not_lead_out_of_its_own_message(decode):
    # The inner text would fit the frame, but not the message it stands in.
    frame = ticker() + field(315, 2, b"\x03" + field(1, 2, b"\x05")) + b"12345"

    assert status_of(decode(frame)) == "MALFORMED"


def test_of_a_field_that_comes_twice_the_last_counts(decode):
    frame = ticker(bid="99", version="nonsense") + chunk(3, b"A") + chunk(6, b"5")
    frame += chunk(315, chunk(1, b"100.25") + chunk(5, b"7"))

    found = decode(frame)

    assert (found.status, found.symbol_id, found.bid, found.update_id) == (0, 11, 100.25, 7)
    assert found.exchange_ns == 5_000_000


def test_message_in_pieces_is_the_sum_of_them(decode):
    wrapper = Wrapper(channel=CHANNEL + "A", symbol="A")
    pieces = [chunk(315, chunk(number, b"%d" % (number + 4))) for number in (1, 2, 3, 4)]

    found = decode(wrapper.SerializeToString() + b"".join(pieces))

    assert found[:6] == (0, 11, 5.0, 6.0, 7.0, 8.0)


def test_condition_is_about_the_last_of_its_field(decode):
    other = chunk(1, b"spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT")
    own = chunk(1, CHANNEL.encode())

    assert status_of(decode(ticker() + other)) == "NOT_A_QUOTE"
    assert status_of(decode(ticker() + other + own)) == "QUOTE"


def test_fields_in_any_order_mean_the_same(decode):
    body = Wrapper.FromString(ticker()).publicAggreBookTicker
    sides = (body.bidPrice, body.bidQuantity, body.askPrice, body.askQuantity, body.version)
    backwards = b"".join(
        chunk(number, text.encode()) for number, text in reversed(list(enumerate(sides, 1)))
    )
    frame = chunk(315, backwards) + field(6, 0, varint(1_700_000)) + chunk(3, b"BTCUSDT")

    assert decode(frame + chunk(1, CHANNEL.encode())) == decode(ticker())


def test_flat_plan_needs_no_body():
    decode = Extractor(protobuf_plan(), LEGS).decode
    sides = chunk(5, b"1.5") + chunk(6, b"2") + chunk(7, b"1.75") + chunk(8, b"4")

    assert decode(chunk(3, b"A") + sides)[:6] == (0, 11, 1.5, 2.0, 1.75, 4.0)
    assert status_of(decode(chunk(3, b"A"))) == "NOT_A_QUOTE"
    assert status_of(decode(chunk(3, b"A") + sides[:8])) == "ONE_SIDED"


PRICES = st.floats(min_value=1e-14, max_value=9e8)
TEXTS = st.builds(repr, PRICES) | st.from_regex(r"\A[0-9]{1,12}(\.[0-9]{1,12})?\Z")


@given(
    symbol=st.sampled_from([leg[0] for leg in LEGS]), bid=TEXTS, bid_qty=TEXTS, ask=TEXTS,
    ask_qty=TEXTS, version=st.integers(0, 10**18 - 1), sent_ms=st.integers(1, 2**42),
    created_ms=st.integers(0, 2**63 - 1),
)  # fmt: skip
@settings(max_examples=500)
def test_generated_frames_have_the_values_of_the_reference(
    symbol, bid, bid_qty, ask, ask_qty, version, sent_ms, created_ms
):
    frame = ticker_frame(
        symbol, bid, bid_qty, ask, ask_qty, version=str(version), sent_ms=sent_ms,
        created_ms=created_ms,
    )  # fmt: skip
    found = Extractor(TICKER, [(leg[0], leg[1], 1.0, 1.0) for leg in LEGS]).decode(frame)

    assert found.symbol == symbol
    bid, bid_qty, ask, ask_qty = map(float, (bid, bid_qty, ask, ask_qty))
    if found.status == QuoteStatus.QUOTE:
        assert found[2:6] == (bid, bid_qty, ask, ask_qty)
        assert found[6:8] == (sent_ms * 1_000_000, version)
    else:
        expected = (
            "ONE_SIDED" if 0 in {bid, bid_qty, ask, ask_qty}
            else "IMPLAUSIBLE" if not all(1e-15 <= price <= 1e9 for price in (bid, ask))
            else "CROSSED"
        )  # fmt: skip
        assert status_of(found) == expected
        assert expected != "CROSSED" or bid >= ask


FIELDS = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 3, 5, 6, 7, 315]),
        st.sampled_from([0, 1, 2, 5]),
        st.binary(max_size=12) | st.sampled_from([b"BTCUSDT", CHANNEL.encode(), b"1.5", b"2"]),
    ),
    max_size=8,
)


@given(outer=FIELDS, inner=FIELDS)
@settings(max_examples=500)
def test_no_message_of_random_fields_is_understood_otherwise_than_by_the_reference(outer, inner):
    def encoded(fields):
        sizes = {1: 8, 5: 4}
        parts = []
        for number, wire_type, value in fields:
            if wire_type == 2:
                parts.append(chunk(number, value))
            elif wire_type == 0:
                parts.append(field(number, 0, varint(int.from_bytes(value[:8], "big"))))
            else:
                parts.append(field(number, wire_type, value.ljust(12)[: sizes[wire_type]]))
        return b"".join(parts)

    frame = encoded(outer) + chunk(315, encoded(inner)) + ticker()
    found = Extractor(TICKER, LEGS).decode(frame)
    try:
        wrapper = RawWrapper.FromString(frame)
    except DecodeError:
        assert status_of(found) == "MALFORMED"
        return
    assert status_of(found) in {"QUOTE", "MALFORMED"}
    if status_of(found) == "QUOTE":
        body = wrapper.publicAggreBookTicker
        assert found.symbol == wrapper.symbol.decode() == "BTCUSDT"
        assert found.bid == float(body.bidPrice)
        assert found.ask == float(body.askPrice)
        assert found.update_id == int(body.version)


@pytest.mark.skipif(not RECORDED.is_file(), reason=f"no recorded data: {RECORDED} is absent")
def test_recorded_frames_are_quotes_with_the_recorded_values_or_none(decode):
    quotes = 0
    for record in json.loads(RECORDED.read_bytes())["frames"]:
        frame = bytes.fromhex(record["hex"])
        found = decode(frame)
        fields = dict(record["decoded_fields"])
        wrapper = Wrapper.FromString(frame)
        assert (wrapper.channel, wrapper.symbol) == (fields[1], fields[3])
        if 315 not in fields:
            assert status_of(found) == "NOT_A_QUOTE"
            continue
        body = dict(fields[315])
        assert found[2:6] == tuple(float(body[number]) for number in (1, 2, 3, 4))
        assert found[6:8] == (fields[6] * 1_000_000, int(body[5]))
        assert all(math.isfinite(value) for value in found[2:6])
        quotes += 1
    assert quotes == 1
