"""What a ledger may say of a market whose every quote and signal is known.

Exact, though nobody knows when the tracker looked: each opening in the ring has begun an episode or
re-signalled one, each episode has begun by a signal, and each ending names what it rests on.
"""

import contextlib
import sqlite3
from collections import Counter
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from spreadscan.model import SignalType
from spreadscan.ops.archive import episodes_table
from spreadscan.tracker.parts import archived_parts, ledger_parts


class Kept(NamedTuple):
    """A ledger as it stands on the disk."""

    ended: list
    open: list
    applied: int
    """Sequence of the last signal whose effect it holds."""


def kept_in(folder):
    """Read every part, compacted or not, as rows; whatever stands in two of them is there twice."""
    parts = ledger_parts(folder)
    archived = archived_parts(folder)
    tables = [pq.read_table(part.episodes(folder)) for part in archived]
    for part in parts:
        with contextlib.closing(sqlite3.connect(part.ledger(folder))) as connection:
            if part not in archived:
                tables.append(episodes_table(connection))
            if part == parts[-1]:
                still_open = episodes_table(connection, condition="ending IS NULL")
                meta = dict(connection.execute("SELECT key, value FROM meta"))
    ended = pa.concat_tables(tables).to_pylist()
    return Kept(ended, still_open.to_pylist(), meta["ring_sequence"])


class Verdict(NamedTuple):
    """What was found, to be compared with zero, and what the run was made of."""

    lost: list
    doubled: list
    invented: list
    unproven: list
    seen: Counter


def judge(kept, market):
    """Compare a ledger with the market."""
    rows = kept.ended + kept.open
    ids = Counter(row["episode_id"] for row in rows)
    verdict = Verdict([], [number for number, count in ids.items() if count > 1], [], [], Counter())
    by_symbol = {symbol_id: [] for symbol_id in market.symbols}
    for row in rows:
        by_symbol[int(row["symbol"].removeprefix("COIN").removesuffix("-USDT"))].append(row)
    for symbol_id, episodes in by_symbol.items():
        openings = Counter(row["opened_ns"] for row in episodes)
        verdict.doubled.extend(time_ns for time_ns, count in openings.items() if count > 1)
        signals = [sent for sent in market.sent[symbol_id] if sent.sequence <= kept.applied]
        _judge_route(signals, episodes, verdict)
        for row in episodes:
            _judge_ending(row, symbol_id, market, verdict)
    return verdict


def _judge_route(signals, episodes, verdict):
    begun = {row["opened_ns"]: row for row in episodes}
    re_signals = Counter()
    current, is_closed = None, True
    for sent in signals:
        row = begun.pop(sent.time_ns, None)
        is_over = current is None or current["ended_ns"] is not None
        if row is not None:
            _judge_opening(row, sent, verdict, is_over=is_over)
            current, is_closed = row, False
        elif sent.kind is SignalType.OPEN:
            if is_closed or _has_ended_before(current, sent.time_ns):
                verdict.lost.append(sent)
            else:
                re_signals[current["episode_id"]] += 1
        elif sent.kind is SignalType.CLOSE:
            if not is_over:
                verdict.lost.append(sent)
            is_closed = True
    verdict.invented.extend(begun.values())
    told = Counter({row["episode_id"]: row["re_signals"] for row in episodes if row["re_signals"]})
    if told != re_signals:
        verdict.doubled.append((told - re_signals, re_signals - told))
    verdict.seen["re-signals"] += re_signals.total()


def _judge_opening(row, sent, verdict, *, is_over):
    verdict.seen[f"begun by {sent.kind.name}"] += 1
    if not is_over:
        verdict.doubled.append(row)
    if sent.kind is SignalType.CLOSE:
        verdict.invented.append(row)


def _has_ended_before(row, time_ns):
    return row["ended_ns"] is not None and row["ended_ns"] < time_ns


def _judge_ending(row, symbol_id, market, verdict):
    verdict.seen["was suspended"] += row["suspended_ns"] > 0
    if row["ending"] is None:
        return
    is_told = any(
        sent.time_ns == row["ended_ns"] and sent.kind is SignalType.CLOSE
        for sent in market.sent[symbol_id]
    )
    how = "told" if is_told else "seen"
    verdict.seen[f"{row['ending']}, {how}"] += 1
    life_ns = row["ended_ns"] - row["opened_ns"]
    if not 0 <= row["suspended_ns"] <= life_ns:
        verdict.unproven.append(row)
    if row["ending"] == "converged" and not is_told and not _is_proven(row, symbol_id, market):
        verdict.unproven.append(row)


def _is_proven(row, symbol_id, market):
    """Tell whether the two quotes of an ending were fresh, stood together, and were no spread."""
    if row["last_ns"] != row["ended_ns"]:
        return False
    numbers = [int(row[f"last_{leg}_bid_qty"]) for leg in market.sources]
    legs = [market.quotes[number] for number in numbers]
    begun_ns, left_ns = zip(*(market.stood[number] for number in numbers), strict=True)
    return (
        [leg.leg for leg in legs] == list(market.sources)
        and all(leg.symbol_id == symbol_id and leg.is_proof for leg in legs)
        and any(leg.is_gone for leg in legs)
        and max(begun_ns) <= min(left_ns)
        and max(begun_ns) <= row["ended_ns"]
    )
