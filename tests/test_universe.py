"""The universe's files: what is written is read, and nothing else is."""

import json
import re
from pathlib import Path

import msgspec
import pytest
from universe_cases import DIRECTION, LIFE, PEPE, universe

from spreadscan.directions import decode_directions, encode_directions
from spreadscan.errors import UniverseError
from spreadscan.symbols import decode_symbols, encode_symbols
from spreadscan.universe import FILES, METADATA, load_universe, read_metadata, write_universe

ROOT = Path(__file__).parents[1]


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


def test_metadata_of_another_version_or_program_is_read(tmp_path):
    write_universe(tmp_path, universe())
    metadata = json.loads((tmp_path / METADATA).read_bytes())
    del metadata["next_symbol_id"]
    (tmp_path / METADATA).write_text(json.dumps(metadata | {"of_a_later_version": {"a": [1]}}))

    assert load_universe(tmp_path).first_free_id == 10
    assert read_metadata(tmp_path).next_symbol_id == 0
