"""Protocol buffers by hand, as much of them as the simulated exchanges need.

From protobuf.dev/programming-guides/encoding: a field is a varint tag (number and wire type), then
a varint, or a length and that many bytes. Written without the ``protobuf`` package on purpose: that
one is the reference of the tests.
"""

from collections.abc import Iterator

__all__ = ["bytes_field", "fields", "varint", "varint_field"]

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


def varint(value: int) -> bytes:
    """Write a number that is not negative, seven bits a byte, the lowest first."""
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def varint_field(number: int, value: int) -> bytes:
    """Write a field of an integer type."""
    return varint(number << 3 | VARINT) + varint(value)


def bytes_field(number: int, value: bytes) -> bytes:
    """Write a string, bytes or message field."""
    return varint(number << 3 | LENGTH) + varint(len(value)) + value


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of every field of one message, nested messages as bytes.

    Raises:
        ValueError: the message is truncated or has a wire type that proto3 does not use.
    """
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if kind == LENGTH:
            size, at = _read_varint(message, at)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} of field {number}")
        if at + size > len(message):
            raise ValueError(f"field {number} goes beyond the end")
        yield number, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a varint without an end")
