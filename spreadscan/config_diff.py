"""What differs between two configurations, whom it concerns, and what makes it count. Pure.

The one place that says which keys a running program takes over at a reload. A stage that takes a
further key live adds a row and reads it from ``context.config`` after ``context.reload``.
"""

import contextlib
from collections.abc import Collection, Iterator
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from spreadscan.config import Config
from spreadscan.topology import Program, feed_name, programs

__all__ = [
    "DISCOVERY",
    "SIMULATOR",
    "SUPERVISOR",
    "Effect",
    "KeyChange",
    "changed_keys",
    "flat",
    "with_live_keys",
]


class Effect(StrEnum):
    """When a changed key counts."""

    LIVE = "live"
    """At a reload."""
    RESTART = "restart"
    NEXT_RUN = "next run"
    """Of a program that runs now and then."""


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """One key that differs."""

    key: str
    """Dotted, as it stands in the files."""
    before: str | None
    """None: it is new."""
    after: str | None
    """None: it is gone."""
    programs: tuple[str, ...]
    """Whom it concerns."""
    effect: Effect


ENGINE, TRACKER, DISCOVERY = "spread-engine", "spread-tracker", "pair-discovery"
COMPACTION = "spreadscan compact"
# What ``spreadscan up`` adds to the topology.
SUPERVISOR, SIMULATOR = "spreadscan up", "simulator"

# Pattern of the key, whom it concerns, when it counts; the first that matches.
RULES: tuple[tuple[str, tuple[str, ...], Effect], ...] = (
    ("engine.max_leg_age_ms", (ENGINE, TRACKER), Effect.LIVE),
    ("engine.*", (ENGINE,), Effect.LIVE),
    ("fees.*", (ENGINE, TRACKER), Effect.LIVE),
    ("tracker.snapshot_interval_ms", (TRACKER,), Effect.LIVE),
    ("tracker.converge_net_bps", (TRACKER,), Effect.LIVE),
    ("tracker.max_life_s", (TRACKER,), Effect.LIVE),
    ("tracker.max_suspended_s", (TRACKER,), Effect.LIVE),
    ("tracker.retention_*", (COMPACTION,), Effect.NEXT_RUN),
    ("tracker.*", (TRACKER,), Effect.RESTART),
    ("runtime.log_level", ("*",), Effect.LIVE),
    ("runtime.stop_timeout_s", (SUPERVISOR,), Effect.RESTART),
    ("runtime.*", ("*",), Effect.RESTART),
    ("cpu.housekeeping.*", (TRACKER,), Effect.RESTART),
    ("cpu.feed.*", ("feed-*",), Effect.RESTART),
    ("cpu.engine.*", (ENGINE,), Effect.RESTART),
    ("shm.*", ("*",), Effect.RESTART),
    ("feed.*", ("feed-*",), Effect.RESTART),
    ("record.*", ("feed-*",), Effect.RESTART),
    ("directions.*", (ENGINE, TRACKER), Effect.RESTART),
    ("discovery.*", (DISCOVERY,), Effect.NEXT_RUN),
    ("identity.*", (DISCOVERY,), Effect.NEXT_RUN),
    ("sim.*", (SIMULATOR,), Effect.RESTART),
)
# Where a tree was loaded from, which no file says.
NOT_KEYS = {"file", "root", "is_sim"}


def changed_keys(before: Config, after: Config) -> list[KeyChange]:
    """Return every key that differs, in order.

    An exchange that only one of both has is one line. A key that only one has needs a restart
    whatever its kind: it belongs to something that is to be started or ended.
    """
    coming_or_going = before.exchanges.keys() ^ after.exchanges.keys()
    old, new = _flat_but(before, coming_or_going), _flat_but(after, coming_or_going)
    for tree, config in ((old, before), (new, after)):
        tree |= {f"exchanges.{name}": "on" for name in coming_or_going & config.exchanges.keys()}
    found = []
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            whom, effect = _rule(key)
            if effect is Effect.LIVE and not (key in old and key in new):
                effect = Effect.RESTART
            found.append(
                KeyChange(
                    key=key,
                    before=old.get(key),
                    after=new.get(key),
                    programs=whom,
                    effect=effect,
                )
            )
    return found


def with_live_keys(running: Config, wanted: Config) -> Config:
    """Return what a program runs on after a reload: its own tree with the wanted live keys."""
    tree, source = msgspec.to_builtins(running), msgspec.to_builtins(wanted)
    for section, branch in tree.items():
        if not isinstance(branch, dict):
            continue
        for path in _paths(branch, (section,)):
            if _rule(".".join(path))[1] is Effect.LIVE:
                # One that is not wanted any more belongs to what goes with a restart.
                with contextlib.suppress(KeyError):
                    _at(tree, path[:-1])[path[-1]] = _at(source, path)
    return msgspec.convert(tree, Config)


def flat(config: Config) -> dict[str, str]:
    """Return every value by its dotted key, as text."""
    tree = msgspec.to_builtins(config)
    tree["directions"] = {row.name: f"id {row.direction_id}" for row in config.directions}
    tree["identity"] = {
        f"{word.source} {word.symbol}": msgspec.json.encode(word).decode()
        for word in config.identity
    }
    return {
        ".".join(path): _text(_at(tree, path))
        for path in _paths(tree, ())
        if path[0] not in NOT_KEYS
    }


def _flat_but(config: Config, exchanges: Collection[str]) -> dict[str, str]:
    """Return ``flat`` without what belongs to some exchanges."""
    prefixes = tuple(
        f"{section}.{name}{end}"
        for name in exchanges
        for section, end in (("exchanges", "."), ("fees", "_"))
    )
    return {key: value for key, value in flat(config).items() if not key.startswith(prefixes)}


def _rule(key: str) -> tuple[tuple[str, ...], Effect]:
    if key.startswith("exchanges."):
        # Address and limits concern its feeds; that it is there at all concerns everybody.
        return _of_exchange(key.split(".")), Effect.RESTART
    for pattern, names, effect in RULES:
        if fnmatchcase(key, pattern):
            return tuple(_programs(names)), effect
    raise AssertionError(f"{key}: no rule says whom it concerns")


def _of_exchange(path: list[str]) -> tuple[str, ...]:
    _, exchange, *below = path
    if len(below) < 2:
        return tuple(_programs(("*",)))
    return (feed_name(f"{exchange}_{below[0]}"),)


def _programs(patterns: tuple[str, ...]) -> Iterator[str]:
    """Long-running programs that a pattern names, and what is no program of the topology."""
    rows = programs()
    for pattern in patterns:
        found = [name for name, row in rows.items() if _is_meant(name, row, pattern)]
        yield from found or [pattern]


def _is_meant(name: str, row: Program, pattern: str) -> bool:
    return not row.is_oneshot and fnmatchcase(name, pattern)


def _paths(tree: dict[str, Any], above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _paths(value, (*above, name))
        else:
            yield (*above, name)


def _at(tree: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        tree = tree[name]
    return tree


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
