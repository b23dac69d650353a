"""The universe changes as one: killed, refused or watched at any step, readers have a whole set."""

import errno
import functools
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec
import pytest
from universe_cases import (
    NEW,
    OLD,
    PEPE,
    assert_tidy,
    generation_in,
    generations_kept,
    leg,
    plain_files,
    some_generations,
    some_generations_and_back,
    tree,
    universe,
)
from universe_faults import (
    error_in_call,
    faults,
    is_move_of_current,
    refuse_to_move_current,
    signal_in_call,
    start_child,
    status_of,
)

from spreadscan.errors import AlreadyRunning, UniverseError
from spreadscan.universe import load_universe, write_universe
from spreadscan.universe_files import ALL_FILES, KEPT_SETS, METADATA, SYMBOLS


def plain_files_over_some_links(folder):
    write_universe(folder, universe(OLD))
    for name in (SYMBOLS, METADATA):
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(content)


def copy_that_followed_the_links(folder):
    write_universe(folder.with_name("origin"), universe(OLD))
    shutil.copytree(folder.with_name("origin"), folder)


def emptied_by_hand(folder):
    write_universe(folder, universe(OLD))
    for name in ALL_FILES:
        (folder / name).unlink()


def nothing(folder):
    pass


STARTS = {
    some_generations: OLD,
    some_generations_and_back: OLD - 1,
    plain_files: OLD,
    plain_files_over_some_links: OLD,
    copy_that_followed_the_links: OLD,
    emptied_by_hand: None,
    nothing: None,
}
every_start = pytest.mark.parametrize(
    ("start", "old"), STARTS.items(), ids=[start.__name__ for start in STARTS]
)


@pytest.fixture
def memory_path():
    """A folder in memory: thousands of fsyncs cost nothing there, and a kill is no power cut."""
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="t") as folder:
        yield Path(folder)


@pytest.fixture
def copies(memory_path):
    """Make a folder as a start leaves it, as often as wanted: one function, a new copy a call."""

    def copies_of(start):
        start(memory_path / "start")
        numbers = itertools.count()

        def copy():
            folder = memory_path / str(next(numbers))
            if (memory_path / "start").exists():
                shutil.copytree(memory_path / "start", folder, symlinks=True)
            return folder

        return copy

    return copies_of


@every_start
def test_writer_killed_in_any_call_leaves_the_old_set_or_the_new_one(copies, start, old):
    copy = copies(start)
    seen = []

    for number in itertools.count(1):
        folder = copy()
        write = functools.partial(write_universe, folder, universe(NEW))
        with faults(signal_in_call(number)):
            status = status_of(start_child(write))
        seen.append(generation_in(folder))
        write_universe(folder, universe(NEW + 1))
        assert generation_in(folder) == NEW + 1
        assert_tidy(folder)
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL

    flip = seen.index(NEW)
    assert seen == [old] * flip + [NEW] * (len(seen) - flip)
    assert len(seen) > 25


@pytest.mark.parametrize(
    ("start", "code", "lasts"),
    [
        (some_generations, errno.ENOSPC, True),
        (some_generations, errno.EIO, False),
        (some_generations, errno.EACCES, False),
        (plain_files, errno.ENOSPC, True),
        (plain_files, errno.EIO, False),
        (nothing, errno.EACCES, True),
    ],
)
def test_call_refused_anywhere_leaves_the_old_set_and_no_litter(copies, start, code, lasts):
    copy = copies(start)
    old = STARTS[start]

    for number in itertools.count(1):
        folder = copy()
        before = tree(folder)
        refusal = None
        with faults(error_in_call(number, code, lasts=lasts)) as made:
            try:
                write_universe(folder, universe(NEW))
            except UniverseError as error:
                refusal = str(error)
        if refusal:
            assert os.strerror(code) in refusal
            assert generation_in(folder) == (NEW if is_flipped(made, number) else old)
            if start is some_generations and not is_flipped(made, number):
                assert tree(folder) == before
        else:
            assert generation_in(folder) == NEW
        write_universe(folder, universe(NEW + 1))
        assert generation_in(folder) == NEW + 1
        assert_tidy(folder)
        if len(made) < number:
            break


def is_flipped(made, number):
    """Tell if the calls before one moved ``.current`` to the new set."""
    done = made[: number - 1]
    targets = [str(args[0]) for name, args in done if name == "symlink"]
    moved = done and any(
        name == "replace" and Path(args[1]).name == ".current" for name, args in done[-2:]
    )
    return bool(moved) and targets[-1].endswith(f"generation-{NEW}")


def test_change_that_could_not_be_made_durable_stands_and_is_told(tmp_path):
    write_universe(tmp_path, universe(1))

    with faults(lambda number, name, call: call()) as made:
        write_universe(tmp_path, universe(2))
    names = [name for name, _ in made]
    last_sync = len(names) - names[::-1].index("fsync")
    with (
        faults(error_in_call(last_sync, errno.EIO)),
        pytest.raises(UniverseError, match="Input/output error"),
    ):
        write_universe(tmp_path, universe(3))

    assert generation_in(tmp_path) == 3


def test_every_file_and_folder_is_durable_before_a_name_leads_to_it(tmp_path):
    with faults(lambda number, name, call: call()) as made:
        write_universe(tmp_path / "new" / "folder", universe())

    for start, end in itertools.pairwise(
        [0, *(at for at, (name, args) in enumerate(made) if is_move_of_current(name, args))]
    ):
        unsynced = set()
        opened = None
        for name, args in made[start:end]:
            if name == "open":
                opened = Path(args[0])
            elif name == "fsync":
                unsynced.discard(opened)
            elif name == "write":
                unsynced.add(opened)
            elif name == "mkdir":
                unsynced |= {Path(args[0]), Path(args[0]).parent}
            elif name == "replace":
                unsynced.add(Path(args[1]).parent)
        assert unsynced == set()
    assert made[-1][0] in {"fsync", "rmdir"}


FULL_DISK = """
import sys
import tempfile
from pathlib import Path
from universe_cases import assert_tidy, generation_by_name, universe
from spreadscan.errors import UniverseError
from spreadscan.universe import load_universe, write_universe

disk = Path(sys.argv[1])
folder, ballast = disk / "universe", disk / "ballast"

def fill_bytes(room):
    try:
        with (ballast / "block").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        size = (ballast / "block").stat().st_size
        with (ballast / "block").open("r+b") as file:
            file.truncate(size - room * 4096)

def fill_names(room):
    made = []
    try:
        while True:
            made.append(ballast / str(len(made)))
            made[-1].touch()
    except OSError:
        made.pop()
    for file in made[:room]:
        file.unlink()

generation = 1
write_universe(folder, universe(generation))
for fill in (fill_bytes, fill_names):
    outcomes = []
    for room in range(12):
        ballast.mkdir()
        fill(room)
        try:
            write_universe(folder, universe(generation + 1))
            outcomes.append("written")
            generation += 1
        except UniverseError as error:
            assert "No space left on device" in str(error), error
            outcomes.append("refused")
        assert generation_by_name(folder) == load_universe(folder).generation == generation
        assert_tidy(folder)
        for file in ballast.iterdir():
            file.unlink()
        ballast.rmdir()
    print(*outcomes)
"""


def test_disk_that_is_really_full_leaves_the_old_set(tmp_path):
    mount = 'mount -t tmpfs -o size=256k,nr_inodes=100 tmpfs "$1" && shift && exec "$@"'
    # A mount namespace of its own: the disk is gone with the process, whatever becomes of it.
    own_disk = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(tmp_path)]
    try:
        subprocess.run([*own_disk, "true"], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no unshare(1): a small disk cannot be mounted")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"a small disk cannot be mounted here: {error.stderr.strip()}")

    done = subprocess.run(
        [*own_disk, sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[1]}"},
    )

    assert done.stderr == ""
    for outcomes in done.stdout.splitlines():
        assert outcomes.split() == sorted(outcomes.split())  # refused, and from some room on not
        assert set(outcomes.split()) == {"refused", "written"}


def test_writer_interrupted_just_after_the_change_leaves_the_new_set(tmp_path):
    write_universe(tmp_path, universe(1))

    def interrupt(number, name, call):
        result = call()
        if is_move_of_current(name, call.args):
            raise KeyboardInterrupt
        return result

    with faults(interrupt), pytest.raises(KeyboardInterrupt):
        write_universe(tmp_path, universe(2))

    assert generation_in(tmp_path) == 2
    assert_tidy(tmp_path)


def test_what_a_killed_writer_left_is_gone_before_the_next_one_needs_the_room(tmp_path):
    write_universe(tmp_path, universe(1))
    before = tree(tmp_path)
    with faults(signal_in_call(10)):
        status_of(start_child(lambda: write_universe(tmp_path, universe(2))))
    assert tree(tmp_path) != before

    with faults(refuse_to_move_current), pytest.raises(UniverseError):
        write_universe(tmp_path, universe(2))

    assert tree(tmp_path) == before


def test_set_that_could_not_be_removed_does_not_count_as_kept(tmp_path):
    some_generations_and_back(tmp_path)

    def refuse_inside_a_set(number, name, call):
        if "dir_fd" in call.keywords:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return call()

    with faults(refuse_inside_a_set):
        write_universe(tmp_path, universe(NEW))
    assert generation_in(tmp_path) == NEW

    write_universe(tmp_path, universe(NEW + 1))
    assert_tidy(tmp_path)
    assert generations_kept(tmp_path) == [OLD - 1, NEW, NEW + 1]


def test_second_writer_is_refused_while_the_first_writes(tmp_path):
    write_universe(tmp_path, universe(1))
    with faults(signal_in_call(4, signal.SIGSTOP)):
        first = start_child(lambda: write_universe(tmp_path, universe(2)))
        assert os.WIFSTOPPED(status_of(first))

    try:
        with pytest.raises(AlreadyRunning):
            write_universe(tmp_path, universe(3))
        assert generation_in(tmp_path) == 1
    finally:
        os.kill(first, signal.SIGCONT)

    assert status_of(first) == 0
    assert generation_in(tmp_path) == 2


def numbered(generation):
    """Return a universe that says in every file which generation it is."""
    row = msgspec.structs.replace(
        PEPE, instruments=(*PEPE.instruments[:4], leg(f"G{generation}"), None, None, None)
    )
    rows = [msgspec.structs.replace(row, symbol_id=n, name=f"N{n}") for n in range(generation % 7)]
    direction = {"direction_id": 4, "spot_source": 4, "futures_source": 1}
    ids = tuple(range(generation % 7))
    return msgspec.convert(
        {"generation": generation, "timestamp": "", "symbols": rows,
         "directions": [{**direction, "symbols": ids}], "next_symbol_id": generation},
        type(universe()), from_attributes=True,
    )  # fmt: skip


def test_readers_of_200_changes_see_only_whole_generations(memory_path):
    last = 201
    folder = memory_path / "universe"
    write_universe(folder, numbered(1))
    ready, are_ready = os.pipe()

    def read():
        before = 0
        while before < last:
            found = load_universe(folder)
            assert found == numbered(found.generation)
            assert before <= found.generation
            if before == 0:
                os.write(are_ready, b"x")
            before = found.generation

    readers = [start_child(read) for _ in range(3)]
    for _ in readers:
        assert os.read(ready, 1) == b"x"
    for generation in range(2, last + 1):
        write_universe(folder, numbered(generation))

    assert [status_of(reader) for reader in readers] == [0, 0, 0]
    assert_tidy(folder)
    os.close(ready)
    os.close(are_ready)


@pytest.mark.parametrize("start", [some_generations, plain_files])
@pytest.mark.parametrize("number", range(len(ALL_FILES)))
def test_reader_overtaken_by_writers_returns_one_whole_set(tmp_path, monkeypatch, start, number):
    start(tmp_path)
    counted = itertools.count()
    read_bytes = Path.read_bytes

    def overtaken(file):
        if next(counted) == number:
            monkeypatch.setattr(Path, "read_bytes", read_bytes)
            for generation in range(NEW, NEW + KEPT_SETS + 1):
                write_universe(tmp_path, universe(generation))
        return read_bytes(file)

    monkeypatch.setattr(Path, "read_bytes", overtaken)

    assert load_universe(tmp_path).generation == NEW + KEPT_SETS


def test_reader_that_never_meets_a_set_at_rest_gives_up(tmp_path, monkeypatch):
    plain_files(tmp_path)
    read_bytes = Path.read_bytes
    serials = itertools.count()

    def moving(file):
        (tmp_path / ".current").unlink(missing_ok=True)
        (tmp_path / ".current").symlink_to(f".sets/{next(serials)}-elsewhere")
        return read_bytes(file)

    monkeypatch.setattr(Path, "read_bytes", moving)

    with pytest.raises(UniverseError, match="another set at each of 100 attempts"):
        load_universe(tmp_path)


def test_reader_keeps_the_set_it_began_with_while_it_is_kept(tmp_path, monkeypatch):
    write_universe(tmp_path, universe(1))
    read_bytes = Path.read_bytes

    def overtaken(file):
        monkeypatch.setattr(Path, "read_bytes", read_bytes)
        write_universe(tmp_path, universe(2))
        return read_bytes(file)

    monkeypatch.setattr(Path, "read_bytes", overtaken)

    assert load_universe(tmp_path).generation == 1
    assert load_universe(tmp_path).generation == 2
