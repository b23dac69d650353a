"""Questions to the whole history: days that are Parquet and days that are still in the ledger.

Parts are read one after the other, newest first; a part that cannot be read is named in `troubles`
and left out. An episode counts in the newest part that has it.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spreadscan.errors import EXIT_DEGRADED, EXIT_TEMPORARY
from spreadscan.ops.archive import EPISODE_SCHEMA, PATH_SCHEMA, episodes_table
from spreadscan.ops.ledger import EpisodeSummary, PathPoint, frames_of
from spreadscan.ops.part_reader import PartMoved, open_part
from spreadscan.tracker.parts import Part, archived_parts, ledger_parts
from spreadscan.tracker.rows import EPISODE_COLUMNS

__all__ = ["OPEN", "EpisodeQuery", "History"]

OPEN = "open"
"""The ``reason`` of episodes that have not ended."""
_UNREADABLE = (sqlite3.DatabaseError, pa.ArrowException, OSError, ValueError)
_PLAIN = [
    name
    for name in EpisodeSummary.__struct_fields__
    if name not in {"life_ns", "seen_ns", "peak_after_ns"}
]
SUMMARY_NEEDS = [*_PLAIN, "opened_ns", "ended_ns", "last_ns", "peak_ns"]


class EpisodeQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which episodes; None is any."""

    symbol: str | None = None
    direction: str | None = None
    since_wall_ns: int | None = None
    """Opened at or after this Unix time."""
    min_net_bps: float | None = None
    """Net spread at the peak."""
    reason: str | None = None
    """How it ended, or ``open``."""
    episode_id: int | None = None

    def conditions(self) -> Iterator[tuple[str, str, Any]]:
        """Yield column, operator and value of everything that is asked for."""
        for column, operator, value in (
            ("symbol", "=", self.symbol),
            ("direction", "=", self.direction),
            ("opened_wall_ns", ">=", self.since_wall_ns),
            ("peak_net_bps", ">=", self.min_net_bps),
            ("ending", "=", None if self.reason == OPEN else self.reason),
            ("episode_id", "=", self.episode_id),
        ):
            if value is not None:
                yield column, operator, value


class History:
    """The tracker's data folder, all days of it.

    Args:
        directory: the data folder.

    Raises:
        FileNotFoundError: the tracker has not run yet.

    Concurrency: one thread; any number beside the tracker and the compaction.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        archived = set(archived_parts(directory))
        ledgers = set(ledger_parts(directory))
        if not archived and not ledgers:
            raise FileNotFoundError(f"{directory}: no ledger; the tracker has not run yet")
        self._parts = sorted(archived | ledgers, reverse=True)
        self._archived = archived
        self._newest = max(ledgers, default=None)
        self.troubles: list[str] = []
        """One sentence for every part that could not be read."""
        self.exit_code = 0
        """What a program ends with that has told `troubles`: an answer is not whole without."""

    def summaries(self, query: EpisodeQuery, limit: int | None = None) -> list[EpisodeSummary]:
        """Return episodes, those open first, then the latest ended first; at most *limit*."""
        found: list[EpisodeSummary] = []
        for table in self.tables(query, SUMMARY_NEEDS):
            found += sorted(map(_summary, table.to_pylist()), key=_latest_first)
            if limit is not None and len(found) >= limit:
                break
        return found[:limit]

    def tables(
        self, query: EpisodeQuery, columns: Sequence[str] = EPISODE_COLUMNS
    ) -> Iterator[pa.Table]:
        """Yield the episodes of each part, newest part first, each episode once."""
        seen: set[int] = set()
        needed = list(dict.fromkeys([*columns, "episode_id"]))
        for part in self._parts:
            try:
                try:
                    table = self._episodes_of(part, query, needed)
                except PartMoved:
                    table = self._episodes_of(part, query, needed)
            except _UNREADABLE as error:
                self._leave_out(part, error)
                continue
            ids = table["episode_id"].to_pylist()
            if seen and not seen.isdisjoint(ids):
                table = table.filter(pa.array([number not in seen for number in ids]))
            seen.update(ids)
            if table.num_rows:
                yield table.select(list(columns))

    def path(self, episode_id: int) -> list[PathPoint]:
        """Return an episode's points in order of time; empty for an unknown id."""
        points: dict[int, PathPoint] = {}
        for table in self.point_tables([episode_id]):
            rows = zip(*(table[name].to_pylist() for name in PATH_SCHEMA.names[1:]), strict=True)
            for t_ms, gross_bps, cost_bps, usd in rows:
                points[t_ms] = PathPoint(t_ms, gross_bps, gross_bps - cost_bps, usd)
        return [points[t_ms] for t_ms in sorted(points)]

    def point_tables(self, episode_ids: Iterable[int]) -> Iterator[pa.Table]:
        """Yield the points of episodes, oldest part first, as PATH_SCHEMA, each point once."""
        wanted = np.array(sorted(episode_ids), np.int64)
        told: dict[int, int] = {}
        for part in reversed(self._parts):
            try:
                try:
                    yield from self._untold_of(part, wanted, told)
                except PartMoved:
                    yield from self._untold_of(part, wanted, told)
            except _UNREADABLE as error:
                self._leave_out(part, error)

    def _leave_out(self, part: Part, error: Exception) -> None:
        self.troubles.append(f"{self._file_of(part)}: left out: {error}")
        is_passing = isinstance(error, PartMoved) and self.exit_code in {0, EXIT_TEMPORARY}
        self.exit_code = EXIT_TEMPORARY if is_passing else EXIT_DEGRADED

    def _untold_of(self, part: Part, wanted: Any, told: dict[int, int]) -> Iterator[pa.Table]:
        told_earlier = dict(told)
        for table in self._points_of(part, wanted):
            yield _untold(table, told_earlier, told)

    def _file_of(self, part: Part) -> Path:
        is_archived = part in self._archived
        return part.episodes(self._directory) if is_archived else part.ledger(self._directory)

    def _episodes_of(self, part: Part, query: EpisodeQuery, columns: list[str]) -> pa.Table:
        if part not in self._archived:
            found = self._episodes_of_ledger(part, query, columns)
            if found is not None:
                return found
            # Compacted between the look at the folder and now.
            self._archived.add(part)
        schema = pa.schema([EPISODE_SCHEMA.field(name) for name in columns])
        file = part.episodes(self._directory)
        if query.reason == OPEN or not _may_hold(file, query):
            return schema.empty_table()
        filters = [
            (pc.field(name) == value) if operator == "=" else (pc.field(name) >= value)
            for name, operator, value in query.conditions()
        ]
        table: pa.Table = pq.read_table(
            file, columns=columns, filters=reduce(and_, filters) if filters else None
        )
        return table

    def _episodes_of_ledger(
        self, part: Part, query: EpisodeQuery, columns: list[str]
    ) -> pa.Table | None:
        """Return a ledger part's episodes; None when it is none any more."""
        conditions = [f"{name} {operator} ?" for name, operator, _ in query.conditions()]
        if part != self._newest:
            # What an earlier part holds as open is in the newest, too.
            conditions.append("ending IS NOT NULL")
        if query.reason == OPEN:
            conditions.append("ending IS NULL")
        try:
            connection = open_part(part.ledger(self._directory))
        except sqlite3.OperationalError:
            if part.episodes(self._directory).exists():
                return None
            raise
        with contextlib.closing(connection):
            return episodes_table(
                connection, columns, " AND ".join(conditions) or "1",
                [value for _, _, value in query.conditions()],
            )  # fmt: skip

    def _points_of(self, part: Part, wanted: Any) -> Iterator[pa.Table]:
        if part in self._archived or not part.ledger(self._directory).exists():
            yield pq.read_table(
                part.paths(self._directory), filters=pc.field("episode_id").isin(wanted.tolist())
            )
            return
        with contextlib.closing(open_part(part.ledger(self._directory))) as connection:
            only = int(wanted[0]) if len(wanted) == 1 else None
            for frame in frames_of(connection, only):
                rows = np.isin(frame.episode_ids, wanted)
                if rows.any():
                    yield pa.table([pa.array(column[rows]) for column in frame], schema=PATH_SCHEMA)


def _may_hold(file: Path, query: EpisodeQuery) -> bool:
    """Tell whether a compacted part holds an episode that was opened late enough.

    Asked of the file itself: its day is what the clock said when it was begun, and that may have
    been wrong. (A footer is read in a fifth of the time that a filter takes.)

    Raises:
        ValueError: it is not the file of a part.
        pyarrow.ArrowException, OSError: it cannot be read.
    """
    if query.since_wall_ns is None:
        return True
    footer = pq.read_metadata(file)
    column = footer.schema.to_arrow_schema().get_field_index("opened_wall_ns")
    if column < 0:
        raise ValueError("found no column opened_wall_ns, expected a part's episodes")
    groups = (footer.row_group(number).column(column) for number in range(footer.num_row_groups))
    return any(
        not group.is_stats_set or group.statistics.max >= query.since_wall_ns for group in groups
    )


def _summary(row: dict[str, Any]) -> EpisodeSummary:
    until_ns = row["last_ns"] if row["ended_ns"] is None else row["ended_ns"]
    return EpisodeSummary(
        life_ns=until_ns - row["opened_ns"],
        seen_ns=row["last_ns"] - row["opened_ns"],
        peak_after_ns=row["peak_ns"] - row["opened_ns"],
        **{name: row[name] for name in _PLAIN},
    )


def _untold(table: pa.Table, told_earlier: dict[int, int], told: dict[int, int]) -> pa.Table:
    """Leave out points that earlier parts told, and note the last ones in `told`.

    A batch whose sync failed may stand in two parts; what is new in the later one is later.
    """
    ids, place = np.unique(table["episode_id"].to_numpy(), return_inverse=True)
    times_ms = table["t_ms"].to_numpy()
    earlier_ms = np.array([told_earlier.get(number, -1) for number in ids.tolist()], np.int64)
    last_ms = np.full(len(ids), -1, np.int64)
    np.maximum.at(last_ms, place, times_ms)
    for number, t_ms in zip(ids.tolist(), last_ms.tolist(), strict=True):
        told[number] = max(t_ms, told.get(number, -1))
    are_new = times_ms > earlier_ms[place]
    return table if are_new.all() else table.filter(pa.array(are_new))


def _latest_first(row: EpisodeSummary) -> tuple[bool, int]:
    return (row.ending is not None, -(row.opened_wall_ns + row.life_ns))
