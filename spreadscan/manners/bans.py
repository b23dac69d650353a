"""How long to stay away from an exchange that says no. Pure."""

__all__ = ["ban_s"]

DEFAULT_S = {429: 30.0, 418: 120.0, 403: 600.0}
"""Statuses that mean "too much", and how long they are obeyed without a Retry-After.

418 is a ban that grows with every repetition, from two minutes to three days; 403 is how a firewall
answers, and one exchange asks for ten minutes then.
"""
GROWING = 418
SHORTEST_S, LONGEST_S = 1.0, 3 * 86_400.0


def ban_s(status: int, retry_after: str, earlier: int = 0) -> float | None:
    """Return for how many seconds nobody may ask, None where the answer does not forbid it.

    Args:
        status: of the HTTP answer.
        retry_after: that header, ``""`` when it is missing. A number of seconds is obeyed whatever
            the status; the other form, a date, is not sent by any exchange we know of.
        earlier: how many bans came before this one, without a success in between.
    """
    if retry_after.isascii() and retry_after.isdigit():
        return min(max(float(retry_after), SHORTEST_S), LONGEST_S)
    if status not in DEFAULT_S:
        return None
    factor = 2.0 ** min(earlier, 32) if status == GROWING else 1.0
    return min(DEFAULT_S[status] * factor, LONGEST_S)
