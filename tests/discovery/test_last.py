"""What a folder's last universe says about the next one's number and ids."""

import shutil

import msgspec
import pytest

from spreadscan.discovery.last import Last, read_last
from spreadscan.model import Instrument
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.symbols import SymbolRecord
from spreadscan.universe import METADATA, Universe, load_universe, write_universe
from spreadscan.universe_files import ALL_FILES, SYMBOLS

EVERY_ID = tuple(range(MAX_SYMBOLS))

LEG = Instrument(
    exchange_symbol="X",
    price_multiplier=1.0,
    contract_size=1.0,
    tick_size=0.0,
    qty_step=0.0,
    min_qty=0.0,
    min_notional=0.0,
    tradable_via_api=True,
)


def write(folder, generation, ids, next_symbol_id=0):
    rows = tuple(
        SymbolRecord(symbol_id=symbol_id, name=f"C{symbol_id}-USDT", instruments=(LEG, *[None] * 7))
        for symbol_id in ids
    )
    write_universe(
        folder,
        Universe(
            generation=generation,
            timestamp="2026-11-22T10:00:00+00:00",
            symbols=rows,
            directions=(),
            next_symbol_id=next_symbol_id,
        ),
    )


def go_back_to(folder, generation):
    (kept,) = (folder / ".sets").glob(f"*-generation-{generation}")
    (folder / ".back").symlink_to(f".sets/{kept.name}")
    (folder / ".back").replace(folder / ".current")


@pytest.fixture
def folder(tmp_path):
    """Generation 4: ids 2 and 5 in use, up to 8 given out since the last full restart."""
    write(tmp_path / "universe", 4, [2, 5], next_symbol_id=9)
    return tmp_path / "universe"


@pytest.mark.parametrize("may_reuse_ids", [False, True])
def test_folder_without_a_universe_has_every_id_free(tmp_path, may_reuse_ids):
    for place in (tmp_path, tmp_path / "nowhere"):
        last = read_last(place, may_reuse_ids=may_reuse_ids)

        assert (last.universe, last.metadata, last.damage) == (None, None, None)
        assert (last.generation, last.first_free_id) == (0, 0)
        assert tuple(last.ids.free) == EVERY_ID


def test_id_given_up_is_not_free_while_anything_may_run(folder):
    last = read_last(folder)

    assert last.universe == load_universe(folder)
    assert last.metadata is not None
    assert (last.generation, last.first_free_id, last.damage) == (4, 9, None)
    assert tuple(last.ids.free) == EVERY_ID[9:]


def test_id_given_up_is_free_after_a_full_restart(folder):
    last = read_last(folder, may_reuse_ids=True)

    assert tuple(last.ids.free) == (0, 1, 3, 4, *EVERY_ID[6:])
    assert last.ids.next_symbol_id == 0
    assert last.generation == 4


def test_no_id_is_left_when_all_were_given_out(folder):
    write(folder, 5, [2, 5], next_symbol_id=MAX_SYMBOLS)

    assert tuple(read_last(folder).ids.free) == ()
    assert len(read_last(folder, may_reuse_ids=True).ids.free) == MAX_SYMBOLS - 2


def test_set_of_a_program_without_the_next_id_counts_by_its_symbols(folder):
    metadata = msgspec.json.decode((folder / METADATA).read_bytes())
    del metadata["next_symbol_id"]
    (folder / METADATA).write_bytes(msgspec.json.encode(metadata))

    assert tuple(read_last(folder).ids.free) == EVERY_ID[6:]


@pytest.mark.parametrize("name", ALL_FILES)
def test_damaged_universe_has_ids_free_above_all_that_it_speaks_of(folder, name):
    (folder / name).write_bytes(b"damage")

    last = read_last(folder)

    assert last.universe is None
    assert last.damage is not None
    assert name in last.damage
    assert tuple(last.ids.free) == EVERY_ID[6 if name == METADATA else 9 :]
    assert last.generation == (0 if name == METADATA else 4)


def test_damaged_universe_without_a_kept_one_has_every_id_free_while_nothing_runs(folder):
    (folder / "symbols.txt").write_bytes(b"damage")

    last = read_last(folder, may_reuse_ids=True)

    assert last.damage is not None
    assert (last.generation, tuple(last.ids.free)) == (4, EVERY_ID)


def test_damaged_universe_is_replaced_by_the_newest_whole_one_that_was_kept(folder):
    write(folder, 5, [2, 9], next_symbol_id=12)
    (folder / METADATA).write_bytes(b"damage")

    last = read_last(folder)

    assert last.damage is not None
    assert last.universe.generation == 4
    assert last.ids.held == {"C2-USDT": 2, "C5-USDT": 5}
    assert tuple(last.ids.free) == EVERY_ID[10:]


def test_damaged_metadata_lets_the_kept_sets_speak(folder):
    write(folder, 5, [2], next_symbol_id=9)
    (folder / METADATA).write_bytes(b"damage")

    last = read_last(folder)

    assert (last.generation, tuple(last.ids.free)) == (4, EVERY_ID[9:])


def test_sets_that_somebody_went_back_from_keep_their_numbers_and_ids(folder):
    write(folder, 5, [2, 5, 9], next_symbol_id=12)
    go_back_to(folder, 4)

    last = read_last(folder)
    assert last.universe == load_universe(folder)
    assert last.universe.generation == 4
    assert (last.generation, tuple(last.ids.free)) == (5, EVERY_ID[12:])

    last = read_last(folder, may_reuse_ids=True)
    assert (last.generation, tuple(last.ids.free)) == (5, (0, 1, 3, 4, *EVERY_ID[6:]))


def test_older_sets_do_not_hold_ids_that_a_full_restart_freed(folder):
    write(folder, 5, [0, 1], next_symbol_id=2)

    assert tuple(read_last(folder).ids.free) == EVERY_ID[2:]


def test_backup_in_plain_files_does_not_bring_ids_back(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "backup")
    write(folder, 5, [2, 5, 9], next_symbol_id=12)
    for name in ALL_FILES:
        (folder / name).unlink()
        shutil.copy(tmp_path / "backup" / name, folder / name)

    last = read_last(folder)

    assert last.universe.generation == 4
    assert (last.generation, tuple(last.ids.free)) == (5, EVERY_ID[12:])


@pytest.mark.parametrize("is_dangling", [False, True], ids=["no .current", "no folder behind it"])
def test_lost_current_set_is_damage_and_not_a_new_beginning(folder, is_dangling):
    write(folder, 5, [2])
    if is_dangling:
        shutil.rmtree((folder / ".current").resolve())
    else:
        (folder / ".current").unlink()

    last = read_last(folder)

    assert last.damage is not None
    assert "a link to nothing" in last.damage
    assert last.generation == (4 if is_dangling else 5)
    assert tuple(last.ids.free) == EVERY_ID[9:]


@pytest.mark.parametrize("names", [ALL_FILES, (METADATA, SYMBOLS)])
def test_emptied_folder_is_a_new_beginning(folder, names):
    for name in names:
        (folder / name).unlink()

    assert read_last(folder) == Last()
