"""Durations as people write them: ``1500ms``, ``30s``, ``2m``, ``1h``; a bare number is seconds."""

import re

import typer

__all__ = ["parse_duration_s"]

UNITS_S = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0}
PATTERN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", re.ASCII)


def parse_duration_s(text: str) -> float:
    """Return the duration in seconds, above zero.

    Raises:
        typer.BadParameter: no duration; the command line ends with a usage error.
    """
    match = PATTERN.fullmatch(text.strip())
    seconds = float(match[1]) * UNITS_S[match[2]] if match else 0.0
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"found {text!r}, expected a duration such as 30s, 2m or 1500ms")
    return seconds
