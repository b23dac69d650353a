import pytest

from spreadscan.sim.protobuf import bytes_field, fields, varint, varint_field


@pytest.mark.parametrize(
    ("value", "written"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (150, "9601"), (300, "ac02"),
     (2**63 - 1, "ffffffffffffffff7f")],
)  # fmt: skip
def test_varints_are_written_as_the_encoding_guide_says(value, written):
    assert varint(value).hex() == written


def test_fields_are_written_as_the_encoding_guide_says():
    assert varint_field(1, 150).hex() == "089601"
    assert bytes_field(2, b"testing").hex() == "120774657374696e67"
    assert bytes_field(315, b"").hex() == "da1300"


def test_what_was_written_is_read_back_unknown_fixed_fields_included():
    message = (
        varint_field(6, 2**40)
        + varint(9 << 3 | 1) + bytes(8)
        + varint(10 << 3 | 5) + bytes(4)
        + bytes_field(315, b"\xff" * 300)
    )  # fmt: skip

    assert list(fields(message)) == [
        (6, 2**40),
        (9, bytes(8)),
        (10, bytes(4)),
        (315, b"\xff" * 300),
    ]


@pytest.mark.parametrize("message", ["0a05616263", "08ff", "08", "0b", "ff" * 12, "0901"])
def test_what_is_no_message_is_refused(message):
    with pytest.raises(ValueError, match=r"field|varint"):
        list(fields(bytes.fromhex(message)))
