"""The truth as a file: what every row really quoted, when, and whether a client could know it.

``spreadscan sim --truth FILE`` writes it for whoever wants to hold a client's statements against
it afterwards. One line of JSON (``Preface``), then TRUTH_DTYPE records in order of time. A row that
plays a recording is not in it: nobody reads the recorded frames here.

    LEFT      the quote went out to at least one client
    HELD      a fault kept it back, for a while or for good; a late departure is another record
    UNHEARD   nobody listens to the row
    DEAF      the row's last listener is gone; there is no quote in this record
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from spreadscan.errors import SpreadscanError
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Listing

__all__ = ["TRUTH_DTYPE", "Fate", "Preface", "Truth", "Witness", "load_truth"]

BUFFER_BYTES = 256 * 1024
NS_PER_S = 1_000_000_000
# In the order of TRUTH_DTYPE; a scalar struct writes ten times as fast as an array of one.
_RECORD = struct.Struct("<qHBxIddffq")


class Fate(IntEnum):
    """What became of a quote; see the head of this file."""

    LEFT = 1
    HELD = 2
    UNHEARD = 3
    DEAF = 4


TRUTH_DTYPE = np.dtype(
    {
        "names": [
            "time_ns", "row", "fate", "number", "bid", "ask", "bid_qty", "ask_qty", "update_id",
        ],
        "formats": ["<i8", "<u2", "u1", "<u4", "<f8", "<f8", "<f4", "<f4", "<i8"],
        "offsets": [0, 8, 10, 12, 16, 24, 32, 36, 40],
        "itemsize": _RECORD.size,
    }
)  # fmt: skip
"""One record: CLOCK_MONOTONIC; ``number`` counts the row's quotes, and a repeat has the number of
what it repeats; prices in USDT per coin, sizes in coins."""


class Preface(msgspec.Struct, frozen=True, kw_only=True):
    """What stands before the records."""

    started_ns: int
    """CLOCK_MONOTONIC when the simulation began: second 0 of its scenario."""
    rows: list[tuple[str, str]]
    """(source, exchange symbol) by number of row."""


class Truth(NamedTuple):
    """A whole file."""

    preface: Preface
    records: npt.NDArray[np.void]
    """TRUTH_DTYPE."""


class Witness:
    """Writes down what happens to quotes.

    Args:
        file: replaced.
        rows: (source, exchange symbol) of every listing.
        listings: for the units of a quote.
        started_s: monotonic time at which the simulation began.

    Raises:
        SpreadscanError: the file cannot be written.

    Concurrency: one event loop; writes some hundred KiB at a time.
    """

    def __init__(
        self,
        file: Path,
        rows: Sequence[tuple[str, str]],
        listings: Sequence[Listing],
        started_s: float,
    ) -> None:
        preface = Preface(started_ns=round(started_s * NS_PER_S), rows=list(rows))
        try:
            self._file = file.open("wb", buffering=BUFFER_BYTES)
        except OSError as error:
            reason = error.strerror or error
            raise SpreadscanError(f"{file}: cannot write: {reason}") from None
        self._file.write(msgspec.json.encode(preface) + b"\n")
        # Whoever watches the run wants to know when it began.
        self._file.flush()
        self._units = [
            (10.0**row.tick_exponent / row.price_coins, 10.0**row.lot_exponent * row.size_coins)
            for row in listings
        ]
        self._numbers = [0] * len(listings)
        self._departed = [0] * len(listings)

    def came_about(self, rows: Sequence[int]) -> None:
        """Count a new quote of each row."""
        for row in rows:
            self._numbers[row] += 1

    def number(self, row: int) -> int:
        """Return the number of the row's present quote."""
        return self._numbers[row]

    def note(self, quote: Quote, number: int, fate: Fate, now_s: float) -> None:
        """Write down one quote's fate.

        A late one that its successor has overtaken is no news to any client, and is not written.

        Args:
            quote: what the row shows or showed.
            number: of that quote.
            fate: not DEAF.
            now_s: monotonic.
        """
        row = quote.row
        if fate is Fate.LEFT:
            if number < self._departed[row]:
                return
            self._departed[row] = number
        price, size = self._units[row]
        self._file.write(
            _RECORD.pack(
                round(now_s * NS_PER_S),
                row,
                fate,
                number,
                quote.bid_ticks * price,
                quote.ask_ticks * price,
                quote.bid_lots * size,
                quote.ask_lots * size,
                quote.update_id,
            )
        )

    def went_deaf(self, row: int, now_s: float) -> None:
        """Write down that nobody listens to a row any more."""
        nothing = (0.0, 0.0, 0.0, 0.0, 0)
        time_ns = round(now_s * NS_PER_S)
        self._file.write(_RECORD.pack(time_ns, row, Fate.DEAF, self._numbers[row], *nothing))

    def close(self) -> None:
        """Write what is left and close the file."""
        self._file.close()


def load_truth(file: Path) -> Truth:
    """Read a file; a record that was cut off at its end is left out.

    Raises:
        OSError: it cannot be read.
        msgspec.DecodeError: it is no such file.
    """
    line, _, rest = file.read_bytes().partition(b"\n")
    whole = len(rest) - len(rest) % TRUTH_DTYPE.itemsize
    return Truth(
        msgspec.json.decode(line, type=Preface), np.frombuffer(rest[:whole], dtype=TRUTH_DTYPE)
    )
