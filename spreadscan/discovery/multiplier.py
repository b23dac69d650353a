"""Which scaled names are a known coin in thousands. Pure.

Perpetuals on cheap coins are listed by the thousand: ``1000PEPE``, ``1MBABYDOGE``, ``SHIB1000``.
A name alone proves nothing: ``1INCH`` is a coin, and an exchange may list ``CAT`` and ``1000CAT``
side by side. The factor is taken off only when the rest is a coin that some source lists on spot
while no source lists the scaled name itself on spot; where both are on spot, prices decide.
"""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

__all__ = ["readings", "split_multiplier"]

PREFIX = re.compile(r"(10{3,6}|1M)(?=[^0-9])(.+)")
SUFFIX = re.compile(r"(.*[^0-9])(10{3,6})")
MILLION = "1M"


def readings(base: str) -> Iterator[tuple[str, float]]:
    """Yield (coin, how many of it the base is) for every way to read a base as a scaled name."""
    prefixed = PREFIX.fullmatch(base)
    if prefixed:
        yield prefixed[2], 1_000_000.0 if prefixed[1] == MILLION else float(prefixed[1])
    suffixed = SUFFIX.fullmatch(base)
    if suffixed:
        yield suffixed[1], float(suffixed[2])


def split_multiplier(base: str, spot_bases: AbstractSet[str]) -> tuple[str, float]:
    """Return (coin, how many of it the listed base is); (base, 1.0) when it is no scaled name.

    Args:
        base: the base of a perpetual, as listed.
        spot_bases: every base that any source lists on spot.
    """
    if base in spot_bases:
        return base, 1.0
    known = (reading for reading in readings(base) if reading[0] in spot_bases)
    return next(known, (base, 1.0))
