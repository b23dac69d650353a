"""A reader in C, written from ``generated/README.md`` alone, finds in a set what Python does."""

import random
import re
import subprocess
from pathlib import Path

import pytest
from universe_cases import DIRECTION, LIFE, PEPE, universe

from spreadscan.directions import DirectionRecord
from spreadscan.model import Instrument
from spreadscan.shm.layout import MAX_SYMBOLS, NUM_SOURCES
from spreadscan.symbols import SymbolRecord
from spreadscan.universe import write_universe

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    program = tmp_path_factory.mktemp("reader") / "universe_reader"
    flags = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["gcc", *flags, "-o", program, HERE / "universe_reader.c"], check=True)

    def read(folder):
        return subprocess.run(
            [program, folder / "symbols.bin", folder / "directions.bin"],
            capture_output=True,
            check=False,
        )

    return read


def python_view(found):
    for symbol in found.symbols:
        yield f"symbol {symbol.symbol_id} {symbol.name}"
        for source_id, row in enumerate(symbol.instruments):
            if row is not None:
                numbers = [
                    row.price_multiplier, row.contract_size, row.tick_size,
                    row.qty_step, row.min_qty, row.min_notional,
                ]  # fmt: skip
                shown = " ".join(f"{number:.17g}" for number in numbers)
                yield f"  source {source_id} {row.exchange_symbol} {shown} {row.tradable_via_api:d}"
    for row in found.directions:
        ids = "".join(f" {symbol_id}" for symbol_id in row.symbols)
        yield f"direction {row.direction_id} {row.spot_source} {row.futures_source}:{ids}"


def random_universe(seed):
    chance = random.Random(seed)

    def instrument(exchange_symbol):
        return Instrument(
            exchange_symbol=exchange_symbol,
            price_multiplier=10.0 ** chance.randrange(7),
            contract_size=chance.uniform(1e-9, 1e9),
            tick_size=chance.choice([0.0, 1e-10, 0.1 + 0.2, chance.random()]),
            qty_step=chance.random(),
            min_qty=chance.expovariate(1e-6),
            min_notional=chance.choice([0.0, 5.0, 1e300]),
            tradable_via_api=chance.random() < 0.5,
        )

    symbols = tuple(
        SymbolRecord(
            symbol_id=symbol_id,
            name=f"{chance.choice(['BTC', '币安', 'É', 'X' * 40])}{symbol_id}-USDT",
            instruments=tuple(
                instrument(f"{symbol_id}_{source_id}币") if chance.random() < 0.5 else None
                for source_id in range(NUM_SOURCES)
            ),
        )
        for symbol_id in sorted(chance.sample(range(MAX_SYMBOLS), 300))
    )
    directions = tuple(
        DirectionRecord(
            direction_id=number,
            spot_source=spot,
            futures_source=futures,
            symbols=tuple(
                row.symbol_id
                for row in symbols
                if row.instruments[spot] and row.instruments[futures]
            ),
        )
        for number, (spot, futures) in enumerate([(0, 3), (2, 1), (4, 7), (6, 5)])
    )
    return universe(symbols=symbols, directions=directions)


@pytest.mark.parametrize(
    "written",
    [universe(), universe(symbols=(PEPE,), directions=()), universe(symbols=(), directions=()),
     *map(random_universe, range(3))],
    ids=["two symbols", "no direction", "nothing", "random 0", "random 1", "random 2"],
)  # fmt: skip
def test_reader_in_c_prints_what_was_written(tmp_path, reader, written):
    write_universe(tmp_path, written)

    found = reader(tmp_path)

    assert found.stderr == b""
    assert found.stdout.decode().splitlines() == list(python_view(written))


def test_reader_in_c_reads_the_annotated_example_of_the_page(tmp_path, reader):
    text = (HERE.parent / "generated/README.md").read_text(encoding="utf-8")
    for name, block in re.findall(r"```hex (\S+)\n(.*?)```", text, flags=re.DOTALL):
        lines = (re.match(r"(?:[0-9a-f]{2} ?)+", line)[0] for line in block.splitlines())
        (tmp_path / name).write_bytes(bytes.fromhex("".join(lines)))

    found = reader(tmp_path)

    example = universe(symbols=(PEPE,), directions=(DIRECTION,))
    assert found.stdout.decode().splitlines() == list(python_view(example))


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_reader_in_c_refuses_what_the_page_says_to_refuse(tmp_path, reader, change):
    write_universe(tmp_path, universe(symbols=(LIFE,), directions=()))
    file = tmp_path / "symbols.bin"
    file.write_bytes(change(file.read_bytes()))

    assert reader(tmp_path).returncode == 1
