"""Bans in files, so that neither a reboot nor new regions make us forget them.

The shared words are the truth while they are there; ``<data_dir>/bans`` holds a copy of every ban
that was not forgiven, a file an address. shm-init puts the copies back before anybody can ask.

In the boot that a ban was told in its end is exact. After a reboot the wall clock says how much is
left, and where it was set back meanwhile never more than the whole ban.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from spreadscan.config import Config
from spreadscan.kernel.memory import Mapping
from spreadscan.manners.bans import LONGEST_S
from spreadscan.runtime.clock import Clock, boot_id
from spreadscan.shm.governor import RequestKind, Row

__all__ = ["KeptBan", "bans_folder", "forget_bans", "kept_bans_of", "restore_bans"]

S_TO_NS = 1_000_000_000
MAX_IN_A_ROW = 64

log = logging.getLogger("spreadscan")


class _Ban(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file."""

    boot_id: str
    until_ns: Annotated[int, msgspec.Meta(ge=0)]
    """CLOCK_MONOTONIC of that boot."""
    until_unix_s: Annotated[float, msgspec.Meta(ge=0)]
    length_s: Annotated[float, msgspec.Meta(ge=0, le=LONGEST_S)]
    """Of the ban, when it was written."""
    in_a_row: Annotated[int, msgspec.Meta(ge=1, le=MAX_IN_A_ROW)]
    """Bans since the exchange last let somebody in."""


class KeptBan:
    """The copy of one row's ban.

    Args:
        file: replaced as a whole.
        row: of the address.
        clock: both of them.

    Concurrency: any number of processes; each writes what the words say.
    """

    def __init__(self, file: Path, row: Row, clock: Clock) -> None:
        self._file = file
        self._row = row
        self._clock = clock

    def keep(self) -> None:
        """Write what the words say; where that fails it is logged, and the words alone hold."""
        while (until_ns := self._row.banned_until_ns) != self._written(until_ns):
            # Another process was told of a longer ban meanwhile, and may have been overwritten.
            pass

    def _written(self, until_ns: int) -> int:
        """Write a ban that ends then; return when the words say that it ends."""
        left_ns = until_ns - self._clock.monotonic_ns()
        left_s = min(max(left_ns / S_TO_NS, 0.0), LONGEST_S)
        ban = _Ban(
            boot_id=boot_id(),
            until_ns=until_ns,
            until_unix_s=self._clock.wall_ns() / S_TO_NS + left_s,
            length_s=left_s,
            in_a_row=min(max(self._row.bans_in_a_row, 1), MAX_IN_A_ROW),
        )
        beside = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(msgspec.json.encode(ban))
            beside.replace(self._file)
        except OSError as error:
            log.warning("%s: a ban is not kept: %s", self._file, error.strerror)
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
            return until_ns
        return self._row.banned_until_ns

    def forget(self) -> None:
        """Delete it: the exchange let somebody in."""
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: a ban that is over is still kept: %s", self._file, error.strerror)
        if self._row.bans_in_a_row:
            # Somebody was banned between the words and the file.
            self.keep()

    def restore(self) -> float:
        """Put what was kept back into the words; return how many seconds nobody may ask, 0 if none.

        Raises:
            OSError: the file cannot be read.
            msgspec.DecodeError: it is damaged.
        """
        try:
            ban = msgspec.json.decode(self._file.read_bytes(), type=_Ban)
        except FileNotFoundError:
            return 0.0
        now_ns = self._clock.monotonic_ns()
        if ban.boot_id == boot_id():
            until_ns = min(ban.until_ns, now_ns + round(LONGEST_S * S_TO_NS))
        else:
            left_s = ban.until_unix_s - self._clock.wall_ns() / S_TO_NS
            until_ns = now_ns + round(min(max(left_s, 0.0), ban.length_s) * S_TO_NS)
        self._row.restore(until_ns, ban.in_a_row)
        return max(0.0, (until_ns - now_ns) / S_TO_NS)


class _Address(NamedTuple):
    host: str
    kind: RequestKind
    row: int


def bans_folder(config: Config) -> Path:
    """Return where bans are kept."""
    return config.path(config.tracker.data_dir) / "bans"


def kept_bans_of(config: Config, words: Mapping, clock: Clock) -> dict[int, KeptBan]:
    """Return the copies of all rows that can be banned, by row."""
    folder = bans_folder(config)
    return {
        row: KeptBan(folder / _file_name(host, kind), Row(words, row), clock)
        for host, kind, row in _addresses(config)
    }


def restore_bans(config: Config, words: Mapping, clock: Clock) -> list[str]:
    """Put every ban that was kept back into the words; return a line for each that says so.

    A file that cannot be read is left alone and gets a line, too: the next ban replaces it.
    """
    lines = []
    kept = kept_bans_of(config, words, clock)
    for host, kind, row in _addresses(config):
        try:
            left_s = kept[row].restore()
        except (OSError, msgspec.DecodeError) as error:
            file = bans_folder(config) / _file_name(host, kind)
            lines.append(f"{file}: found no ban that can be read ({_reason(error)}): not obeyed")
            continue
        if left_s > 0:
            lines.append(f"{host}: banned ({kind.name.lower()}) for another {left_s:.0f} s")
    return lines


def forget_bans(config: Config) -> None:
    """Delete every copy: the exchanges are simulated, and begin anew."""
    with contextlib.suppress(FileNotFoundError):
        for file in bans_folder(config).iterdir():
            file.unlink(missing_ok=True)


def _addresses(config: Config) -> Iterator[_Address]:
    """Yield every address and kind that may be banned, known by its lowest source id."""
    seen = set()
    for source in sorted(config.active_sources(), key=lambda source: source.source_id):
        market = config.market(source)
        for host, kind in (
            (market.ws_host, RequestKind.CONNECT),
            (market.rest_host, RequestKind.REST),
        ):
            if (host, kind) not in seen:
                seen.add((host, kind))
                yield _Address(host, kind, Row.row_of(source.source_id, kind))


def _reason(error: OSError | msgspec.DecodeError) -> str:
    return str(error.strerror if isinstance(error, OSError) else error)


def _file_name(host: str, kind: RequestKind) -> str:
    # A port follows a colon, and a host has no slash.
    return f"{kind.name.lower()}-{host.replace(':', '-')}.json"
