"""Episodes or their paths out of the history, as files that other tools read."""

import itertools
from collections.abc import Iterable, Iterator
from typing import BinaryIO

import orjson
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from spreadscan.ops.archive import EPISODE_SCHEMA, PATH_SCHEMA
from spreadscan.ops.history import EpisodeQuery, History

__all__ = ["FORMATS", "export"]

FORMATS = ("parquet", "csv", "jsonl")
# Ids asked for in one pass over the paths.
IDS_AT_ONCE = 50_000


def export(
    history: History, query: EpisodeQuery, kind: str, target: BinaryIO, *, is_paths: bool = False
) -> int:
    """Write what is asked for, part after part; return how many rows.

    Args:
        history: where from.
        query: which episodes.
        kind: one of FORMATS.
        target: opened for writing; Parquet needs no seeking either.
        is_paths: the points of these episodes instead of themselves.

    Raises:
        OSError: the target cannot be written.
    """
    assert kind in FORMATS, kind
    if is_paths:
        return _write(kind, target, PATH_SCHEMA, _paths(history, query))
    return _write(kind, target, EPISODE_SCHEMA, history.tables(query))


def _paths(history: History, query: EpisodeQuery) -> Iterator[pa.Table]:
    ids = itertools.chain.from_iterable(
        table["episode_id"].to_pylist() for table in history.tables(query, ["episode_id"])
    )
    while some := list(itertools.islice(ids, IDS_AT_ONCE)):
        yield from history.point_tables(some)


def _write(kind: str, target: BinaryIO, schema: pa.Schema, tables: Iterable[pa.Table]) -> int:
    rows = 0
    if kind == "jsonl":
        for table in tables:
            for batch in table.to_batches():
                lines = (orjson.dumps(row) + b"\n" for row in batch.to_pylist())
                target.write(b"".join(lines))
            rows += table.num_rows
        return rows
    if kind == "csv":
        writer = pa_csv.CSVWriter(target, schema)
    else:
        writer = pq.ParquetWriter(target, schema, compression="zstd")
    with writer:
        for table in tables:
            writer.write_table(table.cast(schema))
            rows += table.num_rows
    return rows
