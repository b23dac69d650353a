"""``symbols.bin``: which coin has which number, and how each source lists it. Pure.

Layout (bincode 1.x, see `spreadscan.bincode`; an annotated example stands in
``generated/README.md``):

    Vec<SymbolRecord>
    SymbolRecord     { symbol_id: u16, name: String, source_names: [Option<String>; 8],
                       instruments: [Option<InstrumentRecord>; 8] }
    InstrumentRecord { price_multiplier, contract_size, tick_size, qty_step, min_qty,
                       min_notional: f64, tradable_via_api: bool }

In memory the two arrays are one: an `Instrument` holds its own exchange symbol.
"""

import math
from collections.abc import Sequence

import msgspec

from spreadscan.bincode import BincodeReader, BincodeWriter
from spreadscan.model import Instrument
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES

__all__ = ["SymbolRecord", "decode_symbols", "encode_symbols"]

# Smallest possible record: id, empty name, and an option tag for each source in both arrays.
RECORD_MIN_BYTES = 2 + 8 + 2 * NUM_SOURCES


class SymbolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One symbol of the universe."""

    symbol_id: int
    """Index in every table of the universe's generation, 0 to MAX_SYMBOLS - 1."""
    name: str
    """``BTC-USDT``."""
    instruments: tuple[Instrument | None, ...]
    """NUM_SOURCES entries, index = source id; None where the source does not list it."""


def encode_symbols(symbols: Sequence[SymbolRecord]) -> bytes:
    """Return the bytes of ``symbols.bin``."""
    out = BincodeWriter().length(len(symbols))
    for symbol in symbols:
        assert len(symbol.instruments) == NUM_SOURCES, symbol
        out.u16(symbol.symbol_id).text(symbol.name)
        for leg in symbol.instruments:
            out.u8(leg is not None)
            if leg is not None:
                out.text(leg.exchange_symbol)
        for leg in symbol.instruments:
            out.u8(leg is not None)
            if leg is not None:
                _encode_instrument(out, leg)
    return out.getvalue()


def _encode_instrument(out: BincodeWriter, leg: Instrument) -> None:
    out.f64(leg.price_multiplier).f64(leg.contract_size).f64(leg.tick_size)
    out.f64(leg.qty_step).f64(leg.min_qty).f64(leg.min_notional).u8(leg.tradable_via_api)


def decode_symbols(data: bytes, file: str) -> tuple[SymbolRecord, ...]:
    """Return the records of a ``symbols.bin``.

    Raises:
        UniverseError: the file is cut off, goes on behind its records, holds a value out of range,
            or gives an id or a name twice.
    """
    reader = BincodeReader(data, file)
    count = reader.length("symbols", RECORD_MIN_BYTES)
    if count > MAX_SYMBOLS:
        raise reader.refusal(0, f"{count} symbols", f"at most {MAX_SYMBOLS}")
    ids: set[int] = set()
    names: set[str] = set()
    records = []
    for _ in range(count):
        at = reader.offset
        record = _decode_symbol(reader)
        if record.symbol_id >= MAX_SYMBOLS:
            raise reader.refusal(at, f"symbol id {record.symbol_id}", f"below {MAX_SYMBOLS}")
        if record.symbol_id in ids or record.name in names:
            found = f"symbol {record.symbol_id} {record.name} a second time"
            raise reader.refusal(at, found, "each id and name once")
        ids.add(record.symbol_id)
        names.add(record.name)
        records.append(record)
    reader.end()
    return tuple(records)


def _decode_symbol(reader: BincodeReader) -> SymbolRecord:
    symbol_id = reader.u16()
    name = reader.text("a symbol's name")
    source_names = [
        reader.text("a source's name of a symbol") if reader.flag("option tag") else None
        for _ in range(NUM_SOURCES)
    ]
    instruments = tuple(_decode_instrument(reader, source_name) for source_name in source_names)
    return SymbolRecord(symbol_id=symbol_id, name=name, instruments=instruments)


def _decode_instrument(reader: BincodeReader, source_name: str | None) -> Instrument | None:
    at = reader.offset
    is_listed = reader.flag("option tag")
    if is_listed != (source_name is not None):
        found = "an instrument without a name" if is_listed else "a name without an instrument"
        raise reader.refusal(at, found, "both or neither")
    if source_name is None:
        return None
    at = reader.offset
    multiplier, contract_size, *rules = (reader.f64() for _ in range(6))
    if not all(math.isfinite(value) and value > 0 for value in (multiplier, contract_size)):
        found = f"price multiplier {multiplier}, contract size {contract_size}"
        raise reader.refusal(at, found, "both finite and positive")
    if not all(math.isfinite(value) and value >= 0 for value in rules):
        raise reader.refusal(at, f"trading rules {rules}", "all finite, zero or more")
    tick_size, qty_step, min_qty, min_notional = rules
    return Instrument(
        exchange_symbol=source_name,
        price_multiplier=multiplier,
        contract_size=contract_size,
        tick_size=tick_size,
        qty_step=qty_step,
        min_qty=min_qty,
        min_notional=min_notional,
        tradable_via_api=reader.flag("a bool"),
    )
