"""An answer about funding as a whole, for tests that look at all of it."""

from typing import NamedTuple

from spreadscan.exchanges._adapter import FundingRefused


class Answer(NamedTuple):
    rows: list
    refused: dict


def answer_of(items):
    """Sort what an adapter yields into rows, and reasons by symbol."""
    answer = Answer([], {})
    for item in items:
        if isinstance(item, FundingRefused):
            answer.refused[item.exchange_symbol] = item.reason
        else:
            answer.rows.append(item)
    return answer
