"""Lists of cores as the kernel writes them: ``0-1,4``. Pure."""

import re

__all__ = ["format_cores", "parse_cores"]

PATTERN = re.compile(r"(\d+)(?:-(\d+))?", re.ASCII)
# More than any machine has; a range of billions would only eat memory.
MAX_CORE = 4095


def parse_cores(text: str) -> tuple[int, ...]:
    """Return the numbers of a list, in order and once each; empty for "".

    Raises:
        ValueError: it is no such list.
    """
    cores: set[int] = set()
    for part in text.split(",") if text else ():
        match = PATTERN.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last <= MAX_CORE:
            raise ValueError(f"{part!r} is no core and no range of cores")
        cores.update(range(first, last + 1))
    return tuple(sorted(cores))


def format_cores(cores: tuple[int, ...]) -> str:
    """Return the list as the kernel writes it."""
    parts: list[str] = []
    ordered = sorted(set(cores))
    begin = 0
    for index, core in enumerate(ordered):
        if index + 1 == len(ordered) or ordered[index + 1] != core + 1:
            first = ordered[begin]
            parts.append(str(first) if first == core else f"{first}-{core}")
            begin = index + 1
    return ",".join(parts)
