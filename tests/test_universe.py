"""The universe's files: what is written is read, and nothing else is."""

import contextlib
import fcntl
import itertools
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from spreadscan.directions import DirectionRecord, decode_directions, encode_directions
from spreadscan.errors import AlreadyRunning, UniverseError
from spreadscan.model import Instrument
from spreadscan.symbols import SymbolRecord, decode_symbols, encode_symbols
from spreadscan.universe import (
    FILES,
    METADATA,
    Universe,
    load_universe,
    read_metadata,
    sole_writer,
    write_universe,
)

ROOT = Path(__file__).parents[1]


def leg(exchange_symbol, multiplier=1.0, contract_size=1.0):
    return Instrument(
        exchange_symbol=exchange_symbol,
        price_multiplier=multiplier,
        contract_size=contract_size,
        tick_size=0.0,
        qty_step=0.0,
        min_qty=0.0,
        min_notional=5.0,
        tradable_via_api=True,
    )


PEPE = SymbolRecord(
    symbol_id=7,
    name="PEPE-USDT",
    instruments=(
        None, leg("1000PEPEUSDT", 1000.0), None, None, leg("PEPE-USDT"), None, None, None,
    ),
)  # fmt: skip
LIFE = SymbolRecord(
    symbol_id=9,
    name="币安人生-USDT",
    instruments=(
        None, leg("币安人生USDT"), None, None,
        leg("币安人生-USDT"), leg("L", 1.0, 10.0), None, None,
    ),
)  # fmt: skip
DIRECTION = DirectionRecord(direction_id=4, spot_source=4, futures_source=1, symbols=(7, 9))


def universe(generation=1, symbols=(PEPE, LIFE), directions=(DIRECTION,), **changes):
    return Universe(
        generation=generation,
        timestamp="2026-11-22T10:00:00+00:00",
        symbols=symbols,
        directions=directions,
        **changes,
    )


def test_written_universe_is_read_back_alike(tmp_path):
    write_universe(tmp_path, universe(), validation_stats={"a": 1}, report="all well\n")

    loaded = load_universe(tmp_path)

    assert loaded == universe(next_symbol_id=10)
    assert (loaded.num_symbols, loaded.first_free_id, loaded.pair_count) == (10, 10, 2)
    assert read_metadata(tmp_path).validation_stats == {"a": 1}
    assert (tmp_path / "validation_report.txt").read_text() == "all well\n"


def test_text_files_say_the_same(tmp_path):
    write_universe(tmp_path, universe())

    symbols = (tmp_path / "symbols.txt").read_text(encoding="utf-8").splitlines()

    assert symbols[0] == "7\tPEPE-USDT\t-\t1000PEPEUSDT\t-\t-\tPEPE-USDT\t-\t-\t-"
    assert (tmp_path / "directions.txt").read_text() == "4\tokx_spot_binance_futures\t2 pairs\n"


def test_metadata_counts_symbols_by_source_and_direction(tmp_path):
    write_universe(tmp_path, universe())

    metadata = read_metadata(tmp_path)

    assert metadata.num_symbols == 2
    assert metadata.per_source_counts == {"binance_futures": 2, "okx_spot": 2, "okx_futures": 1}
    assert metadata.per_direction_counts == {"okx_spot_binance_futures": 2}


def test_legs_carry_multiplier_and_quantity_factor():
    assert universe().legs(1) == [
        ("1000PEPEUSDT", 7, 1000.0, 1000.0),
        ("币安人生USDT", 9, 1.0, 1.0),
    ]
    assert universe().legs(5) == [("L", 9, 1.0, 10.0)]
    assert universe().legs(0) == []


def test_annotated_example_of_the_readme_is_what_is_written():
    text = (ROOT / "generated/README.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```hex (\S+)\n(.*?)```", text, flags=re.DOTALL))

    annotated = {
        name: bytes.fromhex("".join(re.match(r"(?:[0-9a-f]{2} ?)+", line)[0] for line in lines))
        for name, block in blocks.items()
        for lines in (block.splitlines(),)
    }

    assert annotated == {
        "symbols.bin": encode_symbols([PEPE]),
        "directions.bin": encode_directions([DIRECTION]),
    }


@pytest.mark.parametrize(
    ("data", "decode"),
    [
        (encode_symbols([PEPE, LIFE]), decode_symbols),
        (encode_directions([DIRECTION]), decode_directions),
    ],
    ids=["symbols", "directions"],
)
def test_file_cut_anywhere_or_longer_is_refused_with_its_offset(data, decode):
    broken = [data[:cut] for cut in range(len(data))] + [data + b"\0"]

    for content in broken:
        with pytest.raises(UniverseError, match=r"^x\.bin: found .* at byte \d+, expected "):
            decode(content, "x.bin")


def test_length_of_a_damaged_file_does_not_make_the_reader_allocate():
    with pytest.raises(UniverseError, match="at most 0, by the size"):
        decode_symbols(b"\xff" * 8, "x.bin")


@pytest.mark.parametrize(
    ("offset", "byte", "reason"),
    [
        (9, 0x04, "symbol id 1031"),
        (0x12, 0xFF, "not UTF-8"),
        (0x1B, 2, "option tag 2"),
        (0x48, 1, "an instrument without a name"),
        (0x49, 0, "a name without an instrument"),
        (0x51, 0xC0, "price multiplier -"),
        (0x7A, 2, "a bool 2"),
    ],
)
def test_damaged_byte_is_refused_by_what_it_breaks(offset, byte, reason):
    data = bytearray(encode_symbols([PEPE]))
    data[offset] = byte

    with pytest.raises(UniverseError, match=reason):
        decode_symbols(bytes(data), "x.bin")


@pytest.mark.parametrize(
    "twin",
    [msgspec.structs.replace(LIFE, symbol_id=7), msgspec.structs.replace(LIFE, name="PEPE-USDT")],
    ids=["id", "name"],
)
def test_id_or_name_given_twice_is_refused(twin):
    with pytest.raises(UniverseError, match="a second time"):
        decode_symbols(encode_symbols([PEPE, twin]), "x.bin")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"spot_source": 5}, "spot source 5"),
        ({"futures_source": 9}, "futures source 9"),
        ({"symbols": (9, 7)}, "out of order"),
        ({"symbols": (7, 7)}, "out of order"),
        ({"symbols": (1024,)}, "out of order or range"),
    ],
)
def test_direction_out_of_range_is_refused(changes, reason):
    record = msgspec.structs.replace(DIRECTION, **changes)

    with pytest.raises(UniverseError, match=reason):
        decode_directions(encode_directions([record]), "x.bin")


def test_direction_given_twice_is_refused():
    with pytest.raises(UniverseError, match="direction 4 twice"):
        decode_directions(encode_directions([DIRECTION, DIRECTION]), "x.bin")


@pytest.mark.parametrize("symbols", [(5,), (7, 9)], ids=["unknown", "not listed by a leg"])
def test_direction_over_a_symbol_without_both_legs_is_refused(tmp_path, symbols):
    record = msgspec.structs.replace(DIRECTION, futures_source=5, symbols=symbols)
    write_universe(tmp_path, universe(directions=(record,)))

    with pytest.raises(UniverseError, match="both sources of the direction list"):
        load_universe(tmp_path)


def test_absent_universe_says_what_to_run(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UniverseError, match="run pair-discovery"):
            load_universe(folder)


@pytest.mark.parametrize("name", FILES)
def test_set_with_a_file_absent_or_of_another_generation_is_refused(tmp_path, name):
    write_universe(tmp_path, universe())
    (tmp_path / name).write_bytes(b"other")

    with pytest.raises(UniverseError, match="not of one set"):
        load_universe(tmp_path)

    (tmp_path / name).unlink()
    with pytest.raises(UniverseError, match="no such file"):
        load_universe(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"generation":"x"}', b"\xff"])
def test_damaged_metadata_is_refused(tmp_path, content):
    write_universe(tmp_path, universe())
    (tmp_path / METADATA).write_bytes(content)

    with pytest.raises(UniverseError, match=re.escape(METADATA)):
        load_universe(tmp_path)


def test_crash_between_any_two_renames_leaves_the_old_set_the_new_one_or_a_refusal(
    tmp_path, monkeypatch
):
    outcomes = []
    for survivors in range(len(FILES) + 2):
        folder = tmp_path / str(survivors)
        write_universe(folder, universe(1))
        allowed = itertools.count()
        rename = Path.replace

        def crashing(self, target, allowed=allowed, survivors=survivors, rename=rename):
            if next(allowed) == survivors:
                raise KeyboardInterrupt
            return rename(self, target)

        monkeypatch.setattr(Path, "replace", crashing)
        with contextlib.suppress(KeyboardInterrupt):
            write_universe(folder, universe(2, symbols=(PEPE,), directions=()))
        monkeypatch.setattr(Path, "replace", rename)
        try:
            outcomes.append(load_universe(folder).generation)
        except UniverseError:
            outcomes.append(None)

    assert outcomes == [1, None, None, None, None, None, 2]


WRITER = """
import itertools, sys
from pathlib import Path
from spreadscan.universe import load_universe, write_universe
import msgspec
folder = Path(sys.argv[1])
first = load_universe(folder)
for generation in itertools.count(first.generation + 1):
    kept = first.symbols if generation % 2 else first.symbols[:1]
    write_universe(folder, msgspec.structs.replace(
        first, generation=generation, symbols=kept, directions=()))
"""


def test_reader_never_meets_a_healthy_set_in_the_middle_of_its_change(tmp_path):
    write_universe(tmp_path, universe(1))
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT)
    try:
        seen = set()
        while len(seen) < 30:
            assert process.poll() is None
            seen.add(load_universe(tmp_path).generation)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    assert max(seen) >= 30


def test_reader_waits_for_the_renames_and_no_longer(tmp_path):
    write_universe(tmp_path, universe())
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    found = []
    reader = threading.Thread(target=lambda: found.append(load_universe(tmp_path)))

    reader.start()
    reader.join(0.05)
    assert found == []

    os.close(folder)
    reader.join(10)
    assert found == [universe(next_symbol_id=10)]


def test_second_writer_is_refused_while_the_first_works(tmp_path):
    with sole_writer(tmp_path), pytest.raises(AlreadyRunning), sole_writer(tmp_path):
        pass

    with sole_writer(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UniverseError, match="a writable folder"):
        write_universe(tmp_path / "file", universe())
    with pytest.raises(UniverseError, match="a writable folder"), sole_writer(tmp_path / "file"):
        pass
