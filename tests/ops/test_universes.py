"""Universes by generation, and what differs between two."""

import msgspec
import pytest

from spreadscan.directions import DirectionRecord
from spreadscan.model import Instrument
from spreadscan.ops.universes import generation_on_disk, universe_of
from spreadscan.symbols import SymbolRecord
from spreadscan.universe import Universe, write_universe
from spreadscan.universe_diff import changes
from spreadscan.universe_files import kept_sets

LEG = Instrument(
    exchange_symbol="X", price_multiplier=1.0, contract_size=1.0, tick_size=0.0, qty_step=0.0,
    min_qty=0.0, min_notional=0.0, tradable_via_api=True,
)  # fmt: skip


def universe(generation, symbols, *routes):
    """Symbols by id, and (direction id, symbol ids) over sources 0 and 5."""
    legs = tuple(LEG if source in {0, 5} else None for source in range(8))
    return Universe(
        generation=generation,
        timestamp="2026-01-01T00:00:00Z",
        symbols=tuple(
            SymbolRecord(symbol_id=number, name=name, instruments=legs)
            for number, name in symbols.items()
        ),
        directions=tuple(
            DirectionRecord(
                direction_id=number, spot_source=0, futures_source=5, symbols=tuple(ids)
            )
            for number, ids in routes
        ),
    )


ONE = universe(1, {0: "A-USDT", 1: "B-USDT"}, (1, [0, 1]))
TWO = universe(2, {1: "B-USDT", 2: "C-USDT"}, (1, [1, 2]))


@pytest.fixture
def folder(tmp_path):
    write_universe(tmp_path, ONE)
    write_universe(tmp_path, TWO)
    return tmp_path


def test_present_and_kept_universes_are_found_by_generation(folder):
    assert generation_on_disk(folder) == 2
    assert [row.name for row in universe_of(folder, 2).symbols] == ["B-USDT", "C-USDT"]
    assert [row.name for row in universe_of(folder, 1).symbols] == ["A-USDT", "B-USDT"]


@pytest.mark.parametrize("generation", [0, 3])
def test_generation_that_is_not_there_is_none(folder, generation):
    assert universe_of(folder, generation) is None


def test_damaged_set_is_none_and_harms_no_other(folder):
    (kept_sets(folder)[-1] / "symbols.bin").write_bytes(b"damaged")

    assert universe_of(folder, 2) is None
    assert universe_of(folder, 1) is not None


def test_of_two_sets_with_one_generation_the_later_is_meant(folder):
    write_universe(folder, msgspec.structs.replace(TWO, generation=1))
    write_universe(folder, msgspec.structs.replace(TWO, generation=5))

    assert [row.name for row in universe_of(folder, 1).symbols] == ["B-USDT", "C-USDT"]


def test_folder_without_a_universe_has_no_generation(tmp_path):
    assert generation_on_disk(tmp_path) is None
    assert universe_of(tmp_path, 1) is None


def test_changes_are_told_by_name_and_by_direction():
    found = changes(ONE, TWO)

    assert (found.symbols_added, found.symbols_removed) == (("C-USDT",), ("A-USDT",))
    assert found.pairs_added == ("binance_spot_okx_futures C-USDT",)
    assert found.pairs_removed == ("binance_spot_okx_futures A-USDT",)


def test_pair_may_change_though_its_symbol_stays():
    found = changes(ONE, universe(2, {0: "A-USDT", 1: "B-USDT"}, (1, [0])))

    assert (found.symbols_added, found.symbols_removed, found.pairs_added) == ((), (), ())
    assert found.pairs_removed == ("binance_spot_okx_futures B-USDT",)


def test_symbol_under_another_number_is_no_change():
    found = changes(ONE, universe(2, {7: "A-USDT", 9: "B-USDT"}, (1, [7, 9])))

    assert not any(msgspec.structs.astuple(found))
