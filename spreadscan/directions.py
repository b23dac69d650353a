"""``directions.bin``: which symbols each direction watches. Pure.

Layout (bincode 1.x, see `spreadscan.bincode`):

    Vec<DirectionRecord>
    DirectionRecord { direction_id: u8, spot_source: u8, futures_source: u8, symbols: Vec<u16> }
"""

import itertools
from collections.abc import Sequence

import msgspec

from spreadscan.bincode import BincodeReader, BincodeWriter
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES

__all__ = ["DirectionRecord", "decode_directions", "encode_directions"]

RECORD_MIN_BYTES = 3 + 8


class DirectionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of the universe."""

    direction_id: int
    """0 to 255; the row's id in ``config/directions.toml``, for ever."""
    spot_source: int
    """Source that is bought at."""
    futures_source: int
    """Source whose perpetual is sold."""
    symbols: tuple[int, ...]
    """Symbol ids, ascending."""


def encode_directions(directions: Sequence[DirectionRecord]) -> bytes:
    """Return the bytes of ``directions.bin``."""
    out = BincodeWriter().length(len(directions))
    for direction in directions:
        out.u8(direction.direction_id).u8(direction.spot_source).u8(direction.futures_source)
        out.length(len(direction.symbols))
        for symbol_id in direction.symbols:
            out.u16(symbol_id)
    return out.getvalue()


def decode_directions(data: bytes, file: str) -> tuple[DirectionRecord, ...]:
    """Return the records of a ``directions.bin``.

    Raises:
        UniverseError: the file is cut off, goes on behind its records, gives a direction twice, or
            holds a source or symbol out of range.
    """
    reader = BincodeReader(data, file)
    records: dict[int, DirectionRecord] = {}
    for _ in range(reader.length("directions", RECORD_MIN_BYTES)):
        at = reader.offset
        record = _decode_direction(reader)
        if record.direction_id in records:
            raise reader.refusal(at, f"direction {record.direction_id} twice", "each id once")
        records[record.direction_id] = record
    reader.end()
    return tuple(records.values())


def _decode_direction(reader: BincodeReader) -> DirectionRecord:
    at = reader.offset
    direction_id, spot, futures = reader.u8(), reader.u8(), reader.u8()
    if spot >= NUM_SOURCES or futures >= NUM_SOURCES or spot % 2 != 0 or futures % 2 != 1:
        found = f"spot source {spot}, futures source {futures}"
        raise reader.refusal(at, found, f"an even and an odd source below {NUM_SOURCES}")
    at = reader.offset
    symbols = tuple(reader.u16() for _ in range(reader.length("symbols of a direction", 2)))
    in_order = all(low < high for low, high in itertools.pairwise(symbols))
    if not in_order or (symbols and symbols[-1] >= MAX_SYMBOLS):
        found = f"symbols of direction {direction_id} out of order or range"
        raise reader.refusal(at, found, f"ascending ids below {MAX_SYMBOLS}")
    return DirectionRecord(
        direction_id=direction_id, spot_source=spot, futures_source=futures, symbols=symbols
    )
