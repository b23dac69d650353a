"""What the extractor says to frames of every kind; values equal float() of their text."""

import json
import random

import pytest
from frame_cases import FLAT, LEGS, NESTED, flat, json_plan, nested

from spreadscan.kernel.extract import Extractor
from spreadscan.model import QuoteStatus


@pytest.fixture
def of_flat():
    return Extractor(FLAT, LEGS).decode


@pytest.fixture
def of_nested():
    return Extractor(NESTED, LEGS).decode


def test_whole_flat_frame_is_a_quote(of_flat):
    found = of_flat(flat())

    assert found == (0, 7, 100.5, 2.0, 100.6, 3.0, 1_700_000_000_000, 100, "BTCUSDT")


def test_envelope_and_bare_object_mean_the_same(of_flat):
    bare = flat()
    wrapped = b'{"stream":"btcusdt@bookTicker","data":' + bare + b"}"

    assert of_flat(wrapped) == of_flat(bare)


def test_whole_nested_frame_is_a_quote_in_base_coins(of_nested):
    found = of_nested(nested())

    assert found == (
        0,
        9,
        100.5,
        2 * 0.01,
        100.6,
        3 * 0.01,
        1_700_000_000_000,
        100,
        "BTC-USDT-SWAP",
    )


def test_scaled_contract_is_taken_back_to_one_coin(of_flat):
    found = of_flat(flat(s="1000PEPEUSDT", b="0.01", a="0.0125", B="5", A="6"))

    assert (found.symbol_id, found.bid, found.ask) == (8, 0.01 / 1000, 0.0125 / 1000)
    assert (found.bid_qty, found.ask_qty) == (5_000.0, 6_000.0)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("1", "QUOTE"),
        ("1.0", "QUOTE"),
        ("0.00000012345678", "QUOTE"),
        ("100.12345678901234567890123456", "QUOTE"),
        ("12345678901234567.5", "IMPLAUSIBLE"),
        ("9007199254740993", "IMPLAUSIBLE"),
        ("1e2", "QUOTE"),
        ("1.0005E+2", "QUOTE"),
        ("1E-7", "QUOTE"),
        ("00.5", "QUOTE"),
        ("1e400", "BAD_NUMBER"),
        ("1e-400", "ONE_SIDED"),
        ("0", "ONE_SIDED"),
        ("0.000", "ONE_SIDED"),
        ("-0", "ONE_SIDED"),
        ("-1", "NOT_POSITIVE"),
        ("-1e5", "NOT_POSITIVE"),
        ("NaN", "BAD_NUMBER"),
        ("nan", "BAD_NUMBER"),
        ("Infinity", "BAD_NUMBER"),
        ("-inf", "BAD_NUMBER"),
        ("1.2.3", "BAD_NUMBER"),
        ("1,5", "BAD_NUMBER"),
        ("0x10", "BAD_NUMBER"),
        ("1_000", "BAD_NUMBER"),
        (" 1", "BAD_NUMBER"),
        ("1 ", "BAD_NUMBER"),
        ("+1", "BAD_NUMBER"),
        (".5", "BAD_NUMBER"),
        ("5.", "BAD_NUMBER"),
        ("-", "BAD_NUMBER"),
        ("1e", "BAD_NUMBER"),
        ("9" * 400, "BAD_NUMBER"),
        ("0." + "0" * 20 + "1", "IMPLAUSIBLE"),
        ("", "MISSING_FIELD"),
        ("1000000001", "IMPLAUSIBLE"),
        ("100.6", "CROSSED"),
        ("100.7", "CROSSED"),
    ],
)
def test_bid_text_is_read_like_float_or_refused_by_reason(of_flat, text, status):
    found = of_flat(flat(b=text))

    assert QuoteStatus(found.status).name == status
    if status == "QUOTE":
        assert found.bid == float(text)


@pytest.mark.parametrize("key", ["b", "B", "a", "A"])
def test_every_missing_side_is_refused(of_flat, key):
    assert of_flat(flat(**{key: None})).status == QuoteStatus.MISSING_FIELD


@pytest.mark.parametrize("key", ["b", "B", "a", "A"])
@pytest.mark.parametrize("value", [True, [], {}, ["1"], {"x": "1"}])
def test_value_that_is_no_number_is_refused(of_flat, key, value):
    assert of_flat(flat(**{key: value})).status == QuoteStatus.BAD_NUMBER


@pytest.mark.parametrize("value", ["1e19", "2000000000000000000"])
def test_quantity_beyond_every_book_is_refused(of_flat, value):
    assert of_flat(flat(B=value)).status == QuoteStatus.IMPLAUSIBLE


@pytest.mark.parametrize("value", ["x", "-5", "1.5", True, "9" * 19])
@pytest.mark.parametrize("key", ["u", "T"])
def test_update_id_or_time_that_is_no_whole_number_is_refused(of_flat, key, value):
    assert of_flat(flat(**{key: value})).status == QuoteStatus.BAD_NUMBER


@pytest.mark.parametrize("value", [1.5, -1.5e3])
def test_fraction_where_a_whole_number_belongs_is_refused(of_flat, value):
    refusals = {QuoteStatus.MALFORMED, QuoteStatus.BAD_NUMBER}

    assert of_flat(flat(u=value)).status in refusals
    assert of_flat(flat(T=value)).status in refusals


def test_time_beyond_nanoseconds_is_refused(of_flat):
    assert of_flat(flat(T=9_223_372_036_854)).status == QuoteStatus.QUOTE
    assert of_flat(flat(T=9_223_372_036_855)).status == QuoteStatus.IMPLAUSIBLE


def test_frame_without_time_and_id_says_so(of_flat):
    found = of_flat(flat(T=None, u=None))

    assert (found.status, found.exchange_ns, found.update_id) == (0, -1, -1)


@pytest.mark.parametrize("side", ["bids", "asks"])
@pytest.mark.parametrize("levels", [[], [[]]])
def test_book_with_an_empty_side_is_one_sided(of_nested, side, levels):
    found = of_nested(nested(**{side: levels}))

    assert (found.status, found.symbol_id) == (QuoteStatus.ONE_SIDED, 9)


@pytest.mark.parametrize(
    ("channel", "status"),
    [
        ("bbo-tbt", QuoteStatus.QUOTE),
        ("books5", QuoteStatus.QUOTE),
        ("books", QuoteStatus.QUOTE),
        ("book", QuoteStatus.NOT_A_QUOTE),
        ("bbo-tbt2", QuoteStatus.NOT_A_QUOTE),
        ("trades", QuoteStatus.NOT_A_QUOTE),
    ],
)
def test_only_accepted_channels_make_a_quote(of_nested, channel, status):
    assert of_nested(nested(channel=channel)).status == status


def test_symbol_that_is_not_listed_is_refused_by_name(of_flat):
    found = of_flat(flat(s="BTCUSDX"))

    assert (found.status, found.symbol_id, found.symbol) == (4, -1, "BTCUSDX")


@pytest.mark.parametrize("symbol", ["BTCUSD", "BTCUSDTT", "", "btcusdt", "BTCUSDT "])
def test_symbol_that_merely_resembles_a_listed_one_is_unknown(of_flat, symbol):
    assert of_flat(flat(s=symbol)).status == QuoteStatus.UNKNOWN_SYMBOL


def test_symbol_spelled_with_escapes_is_found(of_flat):
    escaped = json.dumps(json.loads(flat(s="币安人生USDT"))).encode()

    found = of_flat(escaped)

    assert b"\\u" in escaped
    assert (found.status, found.symbol_id, found.symbol) == (0, 10, "币安人生USDT")


def test_symbol_with_a_broken_escape_is_malformed(of_flat):
    frame = flat().replace(b"BTCUSDT", rb"BTC\uZZZZ")

    assert of_flat(frame).status == QuoteStatus.MALFORMED


def test_white_space_anywhere_between_tokens_changes_nothing(of_flat, of_nested):
    for decode, frame in ((of_flat, flat()), (of_nested, nested())):
        spaced = json.dumps(json.loads(frame), indent=3).replace("\n", "\r\n\t").encode()

        assert decode(b" \n" + spaced + b"\t ") == decode(frame)


def test_numbers_may_stand_bare_or_quoted(of_flat):
    assert of_flat(flat(b=100.5, B=2, a=100.6, A=3, u="100", T="1700000")) == of_flat(flat())


def test_order_of_keys_does_not_matter(of_flat):
    fields = json.loads(flat())
    backwards = json.dumps(dict(reversed(fields.items()))).encode()

    assert of_flat(backwards) == of_flat(flat())


@pytest.mark.parametrize("depth", [10, 60])
def test_unwanted_nesting_is_stepped_over(of_flat, depth):
    value = b'{"x":[' * (depth // 2) + b"1" + b"]}" * (depth // 2)
    frame = flat()[:-1] + b',"x":' + value + b"}"

    assert of_flat(frame) == of_flat(flat())


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
def test_nesting_without_end_is_malformed_and_costs_no_stack(of_flat, opening):
    frame = b'{"x":' + opening * 100_000

    assert of_flat(frame).status == QuoteStatus.MALFORMED


@pytest.mark.parametrize(
    "frame",
    [b"", b"pong", b"ping", b" ", b"[1,2]", b'"text"', b"12", b"\xff\xfe", b"null"],
)
def test_what_is_no_object_goes_to_the_adapter(of_flat, frame):
    assert of_flat(frame).status == QuoteStatus.NOT_A_QUOTE


@pytest.mark.parametrize("tail", [b"x", b"{}", b",", b"}", b"\0"])
def test_text_behind_the_frame_makes_it_malformed(of_flat, tail):
    assert of_flat(flat() + tail).status == QuoteStatus.MALFORMED


@pytest.mark.parametrize(
    "frame",
    [
        b'{"s":"BTCUSDT" "b":"1"}',
        b'{"s" "BTCUSDT"}',
        b'{s:"BTCUSDT"}',
        b'{"s":"BTCUSDT",}',
        b'{"s":}',
        b'{"s":"BTCUSDT","x":[1}',
        b'{"s":"BTCUSDT","x":{"y":1]}',
        b'{"s":"BTCUSDT","x":bogus}',
        b'{"s":"BTCUSDT","x":"unterminated}',
    ],
)
def test_object_that_is_no_json_is_malformed(of_flat, frame):
    assert of_flat(frame).status == QuoteStatus.MALFORMED


@pytest.mark.parametrize("key", ["s", "b", "B", "a", "A"])
def test_quote_put_together_from_two_is_malformed(of_flat, key):
    twice = b'"%s":"1",' % key.encode()

    for frame in (
        flat()[:-1] + b"," + twice[:-1] + b"}",
        b"{" + twice + b'"data":' + flat() + b"}",
        b'{"data":' + flat() + b"," + twice[:-1] + b"}",
    ):
        assert of_flat(frame).status == QuoteStatus.MALFORMED


def test_bytes_behind_a_frame_in_memory_are_never_part_of_it():
    decode = Extractor(FLAT, LEGS).decode
    whole = flat(a="100.61234567")

    # The cut leaves a shorter bytes object, yet a careless reader would find digits behind it.
    assert all(decode(whole[:size]).status != QuoteStatus.QUOTE for size in range(len(whole)))


@pytest.mark.parametrize(
    ("leg", "complaint"),
    [
        (("", 1, 1.0, 1.0), "0 bytes"),
        (("X" * 49, 1, 1.0, 1.0), "49 bytes"),
        (("BTCUSDT", 1, 1.0, 1.0), "listed twice"),
        (("NEW", 1, 0.0, 1.0), "must be positive"),
        (("NEW", 1, 1.0, -1.0), "must be positive"),
        (("NEW", 1, float("nan"), 1.0), "must be positive"),
        (("NEW", 1, 1.0, float("inf")), "and finite"),
        (("NEW", -1, 1.0, 1.0), "symbol id -1, expected 0 to 1023"),
        (("NEW", 1024, 1.0, 1.0), "symbol id 1024, expected 0 to 1023"),
        (("NEW", 7, 1.0, 1.0), "symbol id 7 is another's"),
    ],
)
def test_instrument_that_cannot_be_used_is_refused_and_nothing_changes(leg, complaint):
    extractor = Extractor(FLAT, LEGS)

    with pytest.raises(ValueError, match=complaint):
        extractor.add_leg(*leg)
    with pytest.raises(ValueError, match=complaint):
        extractor.set_legs([("BTCUSDT", 5, 1.0, 1.0), ("X", 7, 1.0, 1.0), leg])

    found = [extractor.decode(flat(s=symbol)).symbol_id for symbol, *_ in LEGS]
    assert found == [symbol_id for _, symbol_id, *_ in LEGS]
    assert extractor.decode(flat(s="X")).status == QuoteStatus.UNKNOWN_SYMBOL
    assert extractor.decode(flat(s="NEW")).status == QuoteStatus.UNKNOWN_SYMBOL


def test_new_instruments_replace_the_old_ones():
    extractor = Extractor(FLAT, LEGS)

    extractor.set_legs([("A", 7, 1.0, 1.0), ("BTCUSDT", 11, 100.0, 2.0), ("NEW", 3, 1.0, 1.0)])

    moved = extractor.decode(flat())
    assert (moved.symbol_id, moved.bid, moved.bid_qty) == (11, 100.5 / 100, 4.0)
    assert extractor.decode(flat(s="A")).symbol_id == 7
    assert extractor.decode(flat(s="NEW")).symbol_id == 3
    assert extractor.decode(flat(s="1000PEPEUSDT")).status == QuoteStatus.UNKNOWN_SYMBOL


def test_instruments_may_become_none_and_a_thousand_again():
    full = [(f"{number}COINUSDT", number, 1.0, 1.0) for number in range(1024)]
    extractor = Extractor(FLAT, full)

    for _ in range(20):
        extractor.set_legs([])
        assert extractor.decode(flat(s="0COINUSDT")).status == QuoteStatus.UNKNOWN_SYMBOL
        extractor.set_legs(full)

    found = [extractor.decode(flat(s=symbol)).symbol_id for symbol, *_ in full]
    assert found == list(range(1024))


@pytest.mark.parametrize("bad", [("NEW", 1, 1.0), ("NEW", "1", 1.0, 1.0), (b"NEW", 1, 1.0, 1.0)])
def test_instruments_of_another_shape_leave_the_old_ones(bad):
    extractor = Extractor(FLAT, LEGS)

    with pytest.raises((TypeError, ValueError)):
        extractor.set_legs([("ETHUSDT", 1, 1.0, 1.0), bad])

    assert extractor.decode(flat()).symbol_id == 7
    assert extractor.decode(flat(s="ETHUSDT")).status == QuoteStatus.UNKNOWN_SYMBOL


def test_any_series_of_replacements_reads_like_a_dictionary():
    chance = random.Random(11)
    extractor, names = Extractor(FLAT, LEGS), [f"{number}X{number % 7}" for number in range(400)]
    for _ in range(100):
        symbols = chance.sample(names, chance.randrange(len(names)))
        ids = chance.sample(range(1024), len(symbols))
        extractor.set_legs([(*leg, 1.0, 1.0) for leg in zip(symbols, ids, strict=True)])

        expected = dict(zip(symbols, ids, strict=True))
        for name in chance.sample(names, 40):
            assert extractor.decode(flat(s=name)).symbol_id == expected.get(name, -1)


def test_a_full_universe_of_1024_symbols_is_told_apart():
    names = [f"{number}COIN{number * 7919 % 1000}USDT" for number in range(1024)]
    extractor = Extractor(FLAT, [(name, number, 1.0, 1.0) for number, name in enumerate(names)])

    found = [extractor.decode(flat(s=name)).symbol_id for name in names]

    assert found == list(range(1024))
    with pytest.raises(ValueError, match="more than 1024"):
        extractor.add_leg("ONEMORE", 0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("paths", "complaint"),
    [
        ({"bid": ("s.x",)}, "goes through a value"),
        ({"bid": ("s",)}, "declared twice"),
        ({"bid": ("k" * 40,)}, "at most"),
        ({"where": (("c", ("v" * 70,)),)}, "at most"),
        ({"where": (("c", tuple(f"v{n}" for n in range(9))),)}, "at most"),
        ({"bid": tuple(f"n{n}.b" for n in range(40))}, "more than"),
    ],
)
def test_plan_the_kernel_cannot_hold_is_refused(paths, complaint):
    with pytest.raises(ValueError, match=complaint):
        Extractor(json_plan(**paths), [])


def test_kernel_loop_counts_the_same_quotes_as_single_decodes():
    frames = [flat(), flat(b="200"), b"pong", nested(), flat(s="NOPE")]

    assert Extractor(FLAT, LEGS).bench_decode(frames, 3) == 3
