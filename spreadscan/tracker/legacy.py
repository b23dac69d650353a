"""The one file of a version-1 ledger, which becomes a part.

Beside parts it was written by somebody who had gone back to that build: it knew nothing of what was
open in the newest of them, so both are carried on together.
"""

from pathlib import Path

import msgspec

from spreadscan.tracker.episode import Ending, Episode
from spreadscan.tracker.parts import Part, day_of, ledger_parts
from spreadscan.tracker.saved import Saved

__all__ = ["legacy_file", "legacy_part", "merged", "put_in_place"]

NAME = "episodes.sqlite3"


def legacy_file(directory: Path) -> Path | None:
    """Return the file; None where there is none."""
    file = directory / NAME
    return file if file.is_file() else None


def legacy_part(directory: Path, file: Path) -> Part:
    """Return the part that it becomes: after those that are there."""
    number = max((part.number for part in ledger_parts(directory)), default=-1) + 1
    return Part(number, day_of(file.stat().st_mtime_ns))


def put_in_place(directory: Path, file: Path, part: Part) -> None:
    """Rename it; killed in between, the next call goes on.

    Raises:
        OSError: it cannot be renamed.
    """
    target = part.ledger(directory)
    for suffix in ("-wal", "-shm", ""):
        side = file.with_name(file.name + suffix)
        if side.exists():
            side.rename(target.with_name(target.name + suffix))


def merged(before: Saved, after: Saved) -> Saved:
    """Return what counts when one ledger was written after the other, without knowing of it.

    What was open goes on out of sight, as after any time that nobody looked. A route that is open
    in both has had two episodes: the first was lost when it was last seen.

    Args:
        before: what the newest part said.
        after: what the file says that was written since; `before` itself, or less, when it holds
            no episode that is newer.
    """
    if after.last_id <= before.last_id:
        return before
    reopened = {episode.route.key for episode in after.episodes}
    lost = {
        episode.route.key: _lost(episode)
        for episode in before.episodes
        if episode.route.key in reopened
    }
    still_open = [each for each in before.episodes if each.route.key not in reopened]
    for episode in after.episodes:
        first = lost.get(episode.route.key)
        previous_id = episode.previous_id if first is None else first.episode_id
        still_open.append(msgspec.structs.replace(episode, previous_id=previous_id))
    return after._replace(
        episodes=tuple(sorted(still_open, key=lambda episode: episode.episode_id)),
        # Each episode by its own last moment: neither clock stood for both.
        clocks=None,
        previous=before.previous
        | {key: episode.episode_id for key, episode in lost.items()}
        | after.previous,
        expired=before.expired,
        kills=before.kills,
        ended=tuple(lost.values()),
    )


def _lost(episode: Episode) -> Episode:
    ended_ns = max(episode.last.time_ns, episode.opened_ns)
    return msgspec.structs.replace(
        episode,
        ending=Ending.LOST,
        ended_ns=ended_ns,
        ended_wall_ns=episode.opened_wall_ns + ended_ns - episode.opened_ns,
    )
