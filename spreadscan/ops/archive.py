"""A finished part of the ledger as two Parquet files: how they are laid out, written and proven.

    episodes   every episode that ended in the part, a column each of the ledger's, sorted by route
               so that the statistics of a row group tell whether a route can be in it
    paths      its points, sorted by episode within chunks of time; zstd over encodings that suit
               each column: times differ by 200 ms, costs hardly ever change, spreads move little

Writing is to a temporary name, synced, then renamed. Nobody may delete what was archived before
`write_part` has read both files back and found them equal.
"""

import os
import sqlite3
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from spreadscan.errors import SpreadscanError
from spreadscan.ops.ledger import frames_of
from spreadscan.tracker.disk_errors import is_damage
from spreadscan.tracker.frames import Frame, readable
from spreadscan.tracker.parts import Part, sync_folder
from spreadscan.tracker.rows import EPISODE_COLUMNS
from spreadscan.tracker.schema import frame_columns

__all__ = [
    "EPISODE_SCHEMA",
    "PATH_SCHEMA",
    "ArchiveError",
    "episodes_table",
    "prove_part",
    "readable_frames",
    "write_part",
]

TEXT_COLUMNS = {"direction", "symbol", "boot_id", "ending"}
REAL_SUFFIXES = ("_bps", "_usd", "_bid", "_ask", "_qty", "z_score")
# About 60 MB while they are sorted; an episode of ten minutes is then in two chunks at most.
CHUNK_POINTS = 2_000_000
ROW_GROUP_POINTS = 262_144
ROW_GROUP_EPISODES = 16_384
COMPRESSION_LEVEL = 9
# As Python's objects an episode takes 2 kB, five times what it does in a table.
EPISODES_AT_ONCE = 4_096


def _type_of(column: str) -> pa.DataType:
    if column in TEXT_COLUMNS:
        return pa.string()
    return pa.float64() if column.endswith(REAL_SUFFIXES) else pa.int64()


EPISODE_SCHEMA = pa.schema([(column, _type_of(column)) for column in EPISODE_COLUMNS])
PATH_SCHEMA = pa.schema(
    [
        ("episode_id", pa.int64()),
        ("t_ms", pa.int64()),
        ("gross_bps", pa.float32()),
        ("cost_bps", pa.float32()),
        ("usd", pa.float32()),
    ]
)
"""Net spread is gross minus cost."""


class ArchiveError(SpreadscanError):
    """A part's Parquet files do not hold what the ledger held; nothing was deleted.

    Args:
        file: which file.
        found: what it holds.
        expected: what the ledger holds.
    """

    def __init__(self, file: Path, found: str, expected: str) -> None:
        self.file = file
        self.found = found
        self.expected = expected
        super().__init__(f"{file}: found {found}, expected {expected}")


class _Digest:
    """Count and checksums of points, whatever blocks they come in."""

    def __init__(self) -> None:
        self.points = 0
        self._sums = [0] * len(PATH_SCHEMA)

    def add(self, columns: Iterable[npt.NDArray[Any]]) -> None:
        blocks = list(columns)
        self.points += len(blocks[0])
        self._sums = [
            zlib.crc32(np.ascontiguousarray(block).tobytes(), total)
            for block, total in zip(blocks, self._sums, strict=True)
        ]

    def text(self) -> str:
        return f"{self.points} points {' '.join(f'{total:08x}' for total in self._sums)}"


def episodes_table(
    connection: sqlite3.Connection,
    columns: Iterable[str] = EPISODE_COLUMNS,
    condition: str = "ending IS NOT NULL",
    values: Iterable[Any] = (),
) -> pa.Table:
    """Return episodes of a part of the ledger as columns.

    Raises:
        sqlite3.DatabaseError: the part cannot be read.
    """
    names = list(columns)
    schema = pa.schema([EPISODE_SCHEMA.field(name) for name in names])
    found = connection.execute(
        f"SELECT {', '.join(names)} FROM episodes WHERE {condition}",  # noqa: S608 -- our own names
        tuple(values),
    )
    batches = []
    while rows := found.fetchmany(EPISODES_AT_ONCE):
        arrays = [
            pa.array(array, field.type)
            for array, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        batches.append(pa.record_batch(arrays, schema=schema))
    return pa.Table.from_batches(batches, schema)


def readable_frames(connection: sqlite3.Connection) -> Iterator[Frame]:
    """Yield what can be read of a damaged part's frames: all good ones up to a torn page.

    Raises:
        sqlite3.DatabaseError: the part cannot be read now, which says nothing of what it holds.
    """
    try:
        query = f"SELECT {frame_columns(connection)} FROM frames ORDER BY frame_id"  # noqa: S608
        yield from readable(connection.execute(query))
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise


def write_part(
    connection: sqlite3.Connection,
    part: Part,
    directory: Path,
    frames: Iterator[Frame] | None = None,
) -> int:
    """Write and prove a part's Parquet files; return how many points they hold.

    Args:
        connection: to the part's ledger.
        part: which part.
        directory: the data folder.
        frames: what to write of its frames; None is all of them.

    Raises:
        ArchiveError: what was read back is not what was written.
        sqlite3.DatabaseError: the part cannot be read.
        ValueError: a frame in it is damaged.
        OSError: a file cannot be written.
    """
    paths, episodes = part.paths(directory), part.episodes(directory)
    paths.parent.mkdir(exist_ok=True)
    points = _write_paths(frames_of(connection) if frames is None else frames, paths)
    table = _sorted_episodes(connection)
    working = _working(episodes)
    pq.write_table(
        table, working, row_group_size=ROW_GROUP_EPISODES, compression="zstd",
        compression_level=COMPRESSION_LEVEL,
    )  # fmt: skip
    _prove_episodes(working, table)
    _put_in_place(working, episodes)
    return points


def prove_part(connection: sqlite3.Connection, part: Part, directory: Path) -> int:
    """Compare a part with the files that an earlier run made of it; return how many points.

    Raises:
        ArchiveError: they do not hold what the part holds.
        sqlite3.DatabaseError: the part cannot be read.
        ValueError: a frame in it is damaged.
        OSError: a file cannot be read.
    """
    expected = _Digest()
    for columns in _chunks(frames_of(connection)):
        expected.add(columns)
    _prove_paths(part.paths(directory), expected)
    _prove_episodes(part.episodes(directory), _sorted_episodes(connection))
    return expected.points


def _sorted_episodes(connection: sqlite3.Connection) -> pa.Table:
    return episodes_table(connection).sort_by(
        [(name, "ascending") for name in ("direction", "symbol", "episode_id")]
    )


def _prove_episodes(file: Path, table: pa.Table) -> None:
    found = pq.read_table(file)
    if not found.equals(table):
        raise ArchiveError(file, f"{found.num_rows} episodes", f"{table.num_rows}, all equal")


def _prove_paths(file: Path, expected: _Digest) -> None:
    found = _Digest()
    with pq.ParquetFile(file) as written:
        # `iter_batches` keeps what it has read of the file in memory.
        for number in range(written.num_row_groups):
            for batch in written.read_row_group(number).to_batches():
                found.add(column.to_numpy() for column in batch.columns)
    if found.text() != expected.text():
        raise ArchiveError(file, found.text(), expected.text())


def _write_paths(frames: Iterator[Frame], file: Path) -> int:
    working = _working(file)
    expected = _Digest()
    with pq.ParquetWriter(
        working, PATH_SCHEMA, compression="zstd", compression_level=COMPRESSION_LEVEL,
        use_dictionary=["cost_bps"],
        column_encoding={
            "episode_id": "DELTA_BINARY_PACKED",
            "t_ms": "DELTA_BINARY_PACKED",
            "gross_bps": "BYTE_STREAM_SPLIT",
            "usd": "BYTE_STREAM_SPLIT",
        },
    ) as writer:  # fmt: skip
        for columns in _chunks(frames):
            expected.add(columns)
            table = pa.table([pa.array(column) for column in columns], schema=PATH_SCHEMA)
            writer.write_table(table, row_group_size=ROW_GROUP_POINTS)
    _prove_paths(working, expected)
    _put_in_place(working, file)
    return expected.points


def _chunks(frames: Iterator[Frame]) -> Iterator[list[npt.NDArray[Any]]]:
    """Yield columns of many frames, sorted by episode and time."""
    gathered: list[Frame] = []
    points = 0
    for frame in frames:
        gathered.append(frame)
        points += frame.size
        if points >= CHUNK_POINTS:
            yield _sorted(gathered)
            gathered, points = [], 0
    if gathered:
        yield _sorted(gathered)


def _sorted(frames: list[Frame]) -> list[npt.NDArray[Any]]:
    columns = [np.concatenate(column) for column in zip(*frames, strict=True)]
    order = np.lexsort((columns[1], columns[0]))
    return [column[order] for column in columns]


def _working(file: Path) -> Path:
    return file.with_name(f"{file.name}.new")


def _put_in_place(working: Path, file: Path) -> None:
    descriptor = os.open(working, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    working.rename(file)
    sync_folder(file.parent)
