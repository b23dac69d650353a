"""The binary encoding of ``symbols.bin`` and ``directions.bin``: bincode 1.x, fixed integers.

Everything is little-endian and unpadded: integers and floats at their own width, a length as u64,
text as its length and UTF-8, an option as one byte (0 none, 1 some) and the value, a bool as one
byte. The reader believes nothing: each refusal names file, offset, found and expected.
"""

import struct
from typing import Self

from spreadscan.errors import UniverseError

__all__ = ["BincodeReader", "BincodeWriter"]


class BincodeWriter:
    """Appends values; `getvalue` returns the bytes."""

    def __init__(self) -> None:
        self._out = bytearray()

    def u8(self, value: int) -> Self:
        """Append an integer of 0 to 255."""
        return self._pack("<B", value)

    def u16(self, value: int) -> Self:
        """Append an integer of 0 to 65,535."""
        return self._pack("<H", value)

    def length(self, value: int) -> Self:
        """Append the length of a sequence."""
        return self._pack("<Q", value)

    def f64(self, value: float) -> Self:
        """Append a double."""
        return self._pack("<d", value)

    def text(self, value: str) -> Self:
        """Append length and UTF-8."""
        encoded = value.encode()
        self.length(len(encoded))
        self._out += encoded
        return self

    def getvalue(self) -> bytes:
        """Return everything appended so far."""
        return bytes(self._out)

    def _pack(self, form: str, value: float) -> Self:
        self._out += struct.pack(form, value)
        return self


class BincodeReader:
    """Takes values off the front of a file's bytes.

    Args:
        data: the whole file.
        file: its name, for the errors.
    """

    def __init__(self, data: bytes, file: str) -> None:
        self._data = data
        self._file = file
        self.offset = 0

    def u8(self) -> int:
        """Return an integer of 0 to 255."""
        return int(self._unpack("<B", "a byte"))

    def u16(self) -> int:
        """Return an integer of 0 to 65,535."""
        return int(self._unpack("<H", "two bytes"))

    def f64(self) -> float:
        """Return a double, not necessarily finite."""
        return self._unpack("<d", "eight bytes of a number")

    def flag(self, what: str) -> bool:
        """Return an option tag or a bool.

        Raises:
            UniverseError: the byte is neither 0 nor 1.
        """
        at = self.offset
        value = self.u8()
        if value > 1:
            raise self.refusal(at, f"{what} {value}", "0 or 1")
        return bool(value)

    def length(self, what: str, item_bytes: int) -> int:
        """Return the length of a sequence whose items take at least ``item_bytes`` each.

        Raises:
            UniverseError: so many items cannot be in the rest of the file; a damaged length must
                not make the reader allocate by it.
        """
        at = self.offset
        value = int(self._unpack("<Q", "eight bytes of a length"))
        left = len(self._data) - self.offset
        if value * item_bytes > left:
            raise self.refusal(at, f"{value} {what}", f"at most {left // item_bytes}, by the size")
        return value

    def text(self, what: str) -> str:
        """Return a text.

        Raises:
            UniverseError: it is cut off or no UTF-8.
        """
        count = self.length(f"bytes of {what}", 1)
        at = self.offset
        self.offset += count
        try:
            return self._data[at : self.offset].decode()
        except UnicodeDecodeError as error:
            raise self.refusal(at + error.start, f"{what} that is not UTF-8", "UTF-8") from None

    def end(self) -> None:
        """Check that nothing is left.

        Raises:
            UniverseError: there are bytes behind the last record.
        """
        left = len(self._data) - self.offset
        if left:
            raise self.refusal(self.offset, f"{left} bytes more", "the end of the file")

    def refusal(self, offset: int, found: str, expected: str) -> UniverseError:
        """Return the error for something unusable at an offset."""
        return UniverseError(self._file, f"{found} at byte {offset}", expected)

    def _unpack(self, form: str, expected: str) -> float:
        size = struct.calcsize(form)
        if self.offset + size > len(self._data):
            raise self.refusal(self.offset, "the end of the file", expected)
        (value,) = struct.unpack_from(form, self._data, self.offset)
        self.offset += size
        return value  # type: ignore[no-any-return]
