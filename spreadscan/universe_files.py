"""The universe's six files on disk: replaced as one, read as one.

The names stay for good, the set behind them changes by the rename of one link::

    generated/symbols.bin                  -> .current/symbols.bin      and so on, six links
    generated/.current                     -> .sets/12-generation-57
    generated/.sets/12-generation-57/      six plain files, never touched again
    generated/.sets/11-generation-56/      the last KEPT_SETS stay, to go back to

A set is written and made durable in a folder of its own before ``.current`` is moved to it, so
whoever opens a name meets the whole old set or the whole new one, also when the writer is killed
or the power goes. What the six *names* show is the universe: where they are plain files, as a
person or an older version left them, those are read, and the next writer takes them over.
"""

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from spreadscan.errors import AlreadyRunning, UniverseError

__all__ = [
    "ALL_FILES",
    "DIRECTIONS",
    "FILES",
    "METADATA",
    "SYMBOLS",
    "has_lost_current",
    "kept_sets",
    "read_files",
    "replace_files",
    "sets_beyond_current",
    "sole_writer",
]

SYMBOLS, DIRECTIONS = "symbols.bin", "directions.bin"
METADATA = "metadata.json"
FILES = (SYMBOLS, DIRECTIONS, "symbols.txt", "directions.txt", "validation_report.txt")
# Written in this order: a folder without metadata.json is no finished set.
ALL_FILES = (*FILES, METADATA)

LOCK, SETS, CURRENT = ".lock", ".sets", ".current"
SET_NAME = re.compile(r"([0-9]{1,18})-.+")
KEPT_SETS = 3
# Each further attempt needs a writer that was faster than the reading of six small files.
READ_ATTEMPTS = 100
ROLE = "pair-discovery"


def read_files(directory: Path, names: tuple[str, ...] = ALL_FILES) -> dict[str, bytes]:
    """Read files of one set.

    Raises:
        UniverseError: one is absent or cannot be read.

    Concurrency: takes no lock and waits for nobody. Which set is read is decided once; when that
    set is removed in the middle, or plain files are being taken over, the next attempt reads the
    new one.
    """
    for _ in range(READ_ATTEMPTS):
        current = _current(directory)
        is_pinned = current is not None and _are_links(directory)
        folder = directory / current if is_pinned and current is not None else directory
        try:
            contents = {name: _read(folder / name, directory / name) for name in names}
        except UniverseError:
            if _current(directory) == current:
                raise
            continue
        if is_pinned or _current(directory) == current:
            return contents
    raise UniverseError(
        str(directory),
        f"another set at each of {READ_ATTEMPTS} attempts",
        "one that stays while it is read",
    )


def _read(file: Path, shown: Path) -> bytes:
    """Read a file; an error names it as the operator sees it."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        found = "a link to nothing" if shown.is_symlink() else "no such file"
        raise UniverseError(str(shown), found, f"a universe; run {ROLE}") from None
    except OSError as error:
        raise UniverseError(str(shown), error.strerror or str(error), "a readable file") from None


def replace_files(directory: Path, contents: Mapping[str, bytes], generation: int) -> None:
    """Replace all six files as one; the folder is made when absent.

    Args:
        directory: where to write.
        contents: by file name, all of `ALL_FILES`.
        generation: for the name of the set's folder.

    Raises:
        AlreadyRunning: another process is writing.
        UniverseError: the folder cannot be written. The old set stands, with one exception: where
            only the last step failed, to make the change durable, the new one does.
    """
    assert contents.keys() == set(ALL_FILES), contents.keys()
    with _refusals(directory):
        _make_folder(directory / SETS)
        with _locked(directory / SETS, os.O_RDONLY | os.O_DIRECTORY):
            for _, folder in _sets(directory):
                if not _is_set(folder) and not _is_current(directory, folder):
                    _remove(folder)
            if not _are_links(directory) or _current_serial(directory) is None:
                _take_over(directory)
            older = _older_sets(directory)
            _publish(directory, f"generation-{generation}", contents)
            for _, folder in _sets(directory):
                if folder not in older and not _is_current(directory, folder):
                    _remove(folder)


def _take_over(directory: Path) -> None:
    """Put the six links where other things stand; at no step does a name show anything else.

    ``.current`` first gets a set that holds what the names show now, be it nothing.
    """
    shown = {
        name: (directory / name).read_bytes() for name in ALL_FILES if (directory / name).exists()
    }
    current = directory / CURRENT
    if current.is_dir() and not current.is_symlink():
        # A copy that followed links, as scp makes them: the names beside it are plain files.
        shutil.rmtree(current)
    _publish(directory, "taken-over", shown)
    for name in ALL_FILES:
        if not _is_link(directory / name):
            _point(directory / name, f"{CURRENT}/{name}")
    # A power cut must not keep the next rename and forget these.
    _sync_folder(directory)


def _publish(directory: Path, label: str, contents: Mapping[str, bytes]) -> None:
    """Write a set into a folder of its own, then make it the current one."""
    # Above the current one even if its folder is gone: nothing may appear behind a dangling link.
    serials = [serial for serial, _ in _sets(directory)]
    serial = max([*serials, _current_serial(directory) or 0]) + 1
    target = f"{SETS}/{serial}-{label}"
    folder = directory / target
    try:
        folder.mkdir()
        for name in ALL_FILES:
            if name in contents:
                _write(folder / name, contents[name])
        _sync_folder(folder)
        _sync_folder(folder.parent)
        _point(directory / CURRENT, target)
    except BaseException:
        if not _is_current(directory, folder):
            _remove(folder)
        raise
    _sync_folder(directory)


def _older_sets(directory: Path) -> list[Path]:
    """Return the sets to keep beside a new one: the current one and those before it."""
    published = _current_serial(directory) or 0
    finished = [
        folder for serial, folder in _sets(directory) if serial <= published and _is_set(folder)
    ]
    return finished[1 - KEPT_SETS :]


def _point(link: Path, target: str) -> None:
    """Make a link, or move it, by one rename."""
    beside = link.with_name(f".{link.name.removeprefix('.')}.new")
    beside.unlink(missing_ok=True)
    try:
        beside.symlink_to(target)
        beside.replace(link)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _write(file: Path, content: bytes) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it; what was made lasts."""
    absent = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(absent):
        place.mkdir(exist_ok=True)
        _sync_folder(place.parent)


def _remove(folder: Path) -> None:
    """Remove a set that no name leads to; the next writer takes away what cannot be removed now."""
    with contextlib.suppress(OSError):
        (folder / METADATA).unlink(missing_ok=True)  # from here on it is no set
        shutil.rmtree(folder)


def _current(directory: Path) -> str | None:
    """Return where ``.current`` leads; None where it is no link."""
    try:
        return str((directory / CURRENT).readlink())
    except OSError:
        return None


def _current_serial(directory: Path) -> int | None:
    """Return the number of the current set; None where ``.current`` leads to none of ours."""
    place, _, name = (_current(directory) or "").rpartition("/")
    found = SET_NAME.fullmatch(name)
    return int(found[1]) if found and place == SETS else None


def _is_current(directory: Path, folder: Path) -> bool:
    return _current(directory) == f"{SETS}/{folder.name}"


def _are_links(directory: Path) -> bool:
    return all(_is_link(directory / name) for name in ALL_FILES)


def _is_link(file: Path) -> bool:
    try:
        return str(file.readlink()) == f"{CURRENT}/{file.name}"
    except OSError:
        return False


def _is_set(folder: Path) -> bool:
    return (folder / METADATA).exists()


def _sets(directory: Path) -> list[tuple[int, Path]]:
    """Return (serial number, folder) of what stands in ``.sets``, in the order of writing."""
    try:
        folders = list((directory / SETS).iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        (int(found[1]), folder) for folder in folders if (found := SET_NAME.fullmatch(folder.name))
    )


def kept_sets(directory: Path) -> list[Path]:
    """Return the folders of all finished sets, in the order of writing."""
    return [folder for _, folder in _sets(directory) if _is_set(folder)]


def sets_beyond_current(directory: Path) -> list[Path]:
    """Return the finished sets that were written after the one which the names show.

    Somebody went back from them, or their writer was killed before it published them. All of them
    are when the names are plain files: nobody knows what those are older than.
    """
    current = _current_serial(directory) if _are_links(directory) else None
    return [
        folder
        for serial, folder in _sets(directory)
        if _is_set(folder) and (current is None or serial > current)
    ]


def has_lost_current(directory: Path) -> bool:
    """Tell if there are sets and the names, yet ``.current`` leads to none: that is damage.

    A folder without the names is none: somebody emptied it.
    """
    return (
        bool(kept_sets(directory))
        and any(_is_link(directory / name) for name in ALL_FILES)
        and not (directory / CURRENT).exists()
    )


@contextlib.contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Hold the right to write a folder's universe, from reading the last set to writing the next.

    Raises:
        AlreadyRunning: another process holds it.
        UniverseError: the folder cannot be written.
    """
    with contextlib.ExitStack() as held:
        with _refusals(directory):
            _make_folder(directory)
            held.enter_context(_locked(directory / LOCK, os.O_RDWR | os.O_CREAT))
        yield


@contextlib.contextmanager
def _locked(place: Path, flags: int) -> Iterator[None]:
    """Lock a file or a folder against other writers; the lock ends with the process."""
    descriptor = os.open(place, flags | os.O_CLOEXEC, 0o660)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(ROLE, f"it holds {place}") from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _refusals(directory: Path) -> Iterator[None]:
    """Turn what the system refuses into a UniverseError."""
    try:
        yield
    except OSError as error:
        found = error.strerror or str(error)
        raise UniverseError(str(error.filename or directory), found, "a writable folder") from None
