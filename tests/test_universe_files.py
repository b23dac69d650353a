"""The folder of the universe: sets kept, copies made by people, plain files, locks, rights."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from universe_cases import (
    NEW,
    assert_tidy,
    generation_in,
    generations_kept,
    go_back,
    plain_files,
    universe,
)
from universe_faults import faults, refuse_to_move_current, start_child, status_of

from spreadscan.errors import AlreadyRunning, UniverseError
from spreadscan.universe import load_universe, sole_writer, write_universe
from spreadscan.universe_files import ALL_FILES, METADATA


def test_last_sets_are_kept_and_one_link_leads_back_to_any(tmp_path):
    for generation in range(1, 6):
        write_universe(tmp_path, universe(generation))

    assert generations_kept(tmp_path) == [3, 4, 5]

    go_back(tmp_path, 2)
    assert generation_in(tmp_path) == 3

    write_universe(tmp_path, universe(6))
    assert generation_in(tmp_path) == 6
    assert_tidy(tmp_path)
    assert generations_kept(tmp_path) == [3, 6]


def test_second_discovery_is_refused_while_the_first_works(tmp_path):
    with sole_writer(tmp_path), pytest.raises(AlreadyRunning), sole_writer(tmp_path):
        pass

    with sole_writer(tmp_path):
        write_universe(tmp_path, universe())
        assert (tmp_path / ".lock").exists()


def test_lock_of_discovery_ends_with_its_process(tmp_path):
    def work():
        with sole_writer(tmp_path):
            os.kill(os.getpid(), signal.SIGKILL)

    assert os.WTERMSIG(status_of(start_child(work))) == signal.SIGKILL

    with sole_writer(tmp_path):
        pass


def test_folder_that_may_only_be_read_is_read_and_refused_in_one_line(tmp_path):
    write_universe(tmp_path, universe())

    def work():
        os.chdir(tmp_path)
        for folder in (Path(), Path(".sets")):
            folder.chmod(0o555)
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)  # for root there is no read-only folder
        assert load_universe(Path()).generation == 1
        with pytest.raises(UniverseError, match="Permission denied, expected a writable folder"):
            write_universe(Path(), universe(2))
        with (
            pytest.raises(UniverseError, match="Permission denied, expected a writable folder"),
            sole_writer(Path()),
        ):
            pass

    status = status_of(start_child(work))
    for folder in (tmp_path, tmp_path / ".sets"):
        folder.chmod(0o755)

    assert status == 0
    assert generation_in(tmp_path) == 1


def test_folder_that_cannot_be_made_is_refused_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UniverseError, match="a writable folder"):
        write_universe(tmp_path / "file", universe())
    with pytest.raises(UniverseError, match="a writable folder"), sole_writer(tmp_path / "file"):
        pass


def test_group_may_read_what_is_written(tmp_path):
    before = os.umask(0o022)
    try:
        write_universe(tmp_path, universe())
    finally:
        os.umask(before)

    current = (tmp_path / ".current").resolve()
    assert {(current / name).stat().st_mode & 0o777 for name in ALL_FILES} == {0o644}
    assert {folder.stat().st_mode & 0o777 for folder in (current, current.parent)} == {0o755}


@pytest.mark.parametrize(
    "copy",
    [
        lambda origin, to: shutil.copytree(origin, to, symlinks=True),
        shutil.copytree,
        lambda origin, to: [
            to.mkdir(), *(shutil.copy(origin / name, to / name) for name in ALL_FILES),
        ],
    ],
    ids=["links as links", "links followed", "six files"],
)  # fmt: skip
def test_copied_folder_loads(tmp_path, copy):
    write_universe(tmp_path / "origin", universe())

    copy(tmp_path / "origin", tmp_path / "copy")

    shutil.rmtree(tmp_path / "origin")
    assert generation_in(tmp_path / "copy") == 1


def test_links_copied_without_what_they_lead_to_say_so(tmp_path):
    write_universe(tmp_path / "origin", universe())
    (tmp_path / "copy").mkdir()
    for name in ALL_FILES:
        shutil.copy(tmp_path / "origin" / name, tmp_path / "copy", follow_symlinks=False)

    with pytest.raises(UniverseError, match=r"a link to nothing.*run pair-discovery"):
        load_universe(tmp_path / "copy")


def test_plain_files_put_over_the_links_are_what_counts(tmp_path):
    write_universe(tmp_path / "other", universe(9))
    write_universe(tmp_path / "folder", universe(1))
    for name in ALL_FILES[:-1]:
        (tmp_path / "folder" / name).unlink()
        shutil.copy(tmp_path / "other" / name, tmp_path / "folder" / name)
    (tmp_path / "other" / "symbols.txt").write_text("other")

    (tmp_path / "folder" / METADATA).unlink()
    with pytest.raises(UniverseError, match="no such file"):
        load_universe(tmp_path / "folder")

    shutil.copy(tmp_path / "other" / METADATA, tmp_path / "folder" / METADATA)
    assert generation_in(tmp_path / "folder") == 9


def test_mixture_in_plain_files_stays_a_refusal_until_the_whole_new_set(tmp_path):
    plain_files(tmp_path)
    (tmp_path / "symbols.txt").write_text("of another set")

    with (
        faults(refuse_to_move_current),
        pytest.raises(UniverseError, match="No space left"),
    ):
        write_universe(tmp_path, universe(NEW))
    with pytest.raises(UniverseError, match=r"symbols\.txt: found SHA-256 .* not of one set"):
        load_universe(tmp_path)

    write_universe(tmp_path, universe(NEW))
    assert generation_in(tmp_path) == NEW
    assert_tidy(tmp_path)


def test_set_whose_folder_was_deleted_is_replaced_and_nothing_shows_before(tmp_path):
    for generation in (1, 2):
        write_universe(tmp_path, universe(generation))
    shutil.rmtree((tmp_path / ".current").resolve())

    with (
        faults(refuse_to_move_current),
        pytest.raises(UniverseError, match="No space left"),
    ):
        write_universe(tmp_path, universe(2))
    assert generation_in(tmp_path) is None

    write_universe(tmp_path, universe(2))
    assert generation_in(tmp_path) == 2
    assert_tidy(tmp_path)


def test_folder_of_somebody_else_among_the_sets_is_left_alone(tmp_path):
    (tmp_path / ".sets" / "notes").mkdir(parents=True)

    for generation in range(1, 6):
        write_universe(tmp_path, universe(generation))

    assert (tmp_path / ".sets" / "notes").is_dir()
