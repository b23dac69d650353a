"""Unit files in a folder: what differs from what is rendered, and bringing it in line.

Ours are told from others by their first line, so a unit that a newer version no longer has goes
away and nothing else in the folder is touched.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from spreadscan.errors import ConfigError
from spreadscan.ops.units import HEADER

__all__ = ["UnitChanges", "compare_units", "write_units"]

MODE = 0o644
PATTERNS = ("*.service", "*.timer", "*.target", "*.slice", "*.d/cpu.conf")


class UnitChanges(msgspec.Struct, frozen=True, kw_only=True):
    """Paths below the unit folder, sorted."""

    added: list[str]
    changed: list[str]
    removed: list[str]

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.changed or self.removed)


def compare_units(folder: Path, rendered: Mapping[str, str]) -> UnitChanges:
    """Return what would have to be done in *folder*.

    Raises:
        ConfigError: a file in the way is not ours.
    """
    present = _ours(folder)
    for name in rendered.keys() - present.keys():
        if (folder / name).exists():
            raise ConfigError(
                str(folder / name), "", "a unit of somebody else", "none, or one of spreadscan's"
            )
    return UnitChanges(
        added=sorted(rendered.keys() - present.keys()),
        changed=sorted(
            name for name, text in rendered.items() if name in present and present[name] != text
        ),
        removed=sorted(present.keys() - rendered.keys()),
    )


def write_units(folder: Path, rendered: Mapping[str, str]) -> UnitChanges:
    """Make *folder* hold exactly these of ours; return what was done.

    Each file changes in one step; interrupted, the next call does the rest.

    Raises:
        ConfigError: a file in the way is not ours, or the folder cannot be written.
    """
    found = compare_units(folder, rendered)
    try:
        for name in (*found.added, *found.changed):
            _replace(folder / name, rendered[name])
        for name in found.removed:
            (folder / name).unlink()
            if (folder / name).parent != folder and not any((folder / name).parent.iterdir()):
                (folder / name).parent.rmdir()
    except OSError as error:
        raise ConfigError(
            str(error.filename or folder), "", error.strerror or str(error), "a folder to write"
        ) from None
    return found


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.new")
    beside.write_text(text, encoding="utf-8")
    beside.chmod(MODE)
    beside.replace(file)


def _ours(folder: Path) -> dict[str, str]:
    candidates = [
        *(
            path
            for kind in ("service", "timer", "target", "slice")
            for path in folder.glob(f"*.{kind}")
        ),
        *folder.glob("*.d/cpu.conf"),
    ]
    texts = {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8", errors="replace")
        for path in candidates
        if path.is_file()
    }
    return {name: text for name, text in texts.items() if text.startswith(HEADER)}
