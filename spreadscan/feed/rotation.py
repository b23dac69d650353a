"""When a connection is replaced before the exchange ends it. Pure."""

__all__ = ["LOOK_S", "OVERLAP_S", "rotation_age_s"]

OVERLAP_S = 30.0
"""Both connections live at most this long; who has not been quoted on the new one by then is quiet,
or not really subscribed, and is unusable until its next quote."""
LOOK_S = 0.05
"""How often it is looked whether everybody has been quoted."""

FIRST_SHARE, LAST_SHARE = 0.90, 0.96
"""Of a lifetime: from 21.6 h to 23 h of a day, the rest is for tries that fail."""
GOLDEN_STEP = 0.6180339887498949
"""The multiples of this, modulo 1, are spread as evenly as can be, however many there are."""


def rotation_age_s(lifetime_s: float, number: int) -> float:
    """Return the age at which a connection is replaced.

    Connections that were opened together are not replaced together.

    Args:
        lifetime_s: after it the exchange ends the connection.
        number: of the connection within its source.
    """
    place = number * GOLDEN_STEP % 1.0
    return lifetime_s * (FIRST_SHARE + (LAST_SHARE - FIRST_SHARE) * place)
