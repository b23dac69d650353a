"""Signals into the states of open episodes, a batch in one call, in the order of the ring."""

import numpy as np
import numpy.typing as npt

TABLE: dict[str, int]
ENDINGS: dict[str, int]

def apply_signals(
    records: npt.NDArray[np.uint8],
    table: npt.NDArray[np.uint8],
    row_of_route: npt.NDArray[np.int32],
    canonical: npt.NDArray[np.int32],
    free_rows: npt.NDArray[np.int32],
    ended_ns: npt.NDArray[np.int64],
    expired_openings: npt.NDArray[np.uint32],
    converge_net_bps: float,
    limits: npt.NDArray[np.int64],
    events: npt.NDArray[np.int32],
    tally: npt.NDArray[np.uint64],
) -> int:
    """Apply a batch of SIGNAL_DTYPE records; return how many events were written.

    Args:
        records: bytes of n records.
        table: bytes of the episodes, EPISODE_DTYPE.
        row_of_route: shape (65536,), by direction * MAX_SYMBOLS + symbol; -1 = none is open. Holds
            rows of the table; updated.
        canonical: shape (MAX_SYMBOLS,): the number a symbol has now, by the number in a record.
        free_rows: at least n rows to begin episodes in, taken from its beginning, one an opening.
        ended_ns: shape (65536,): before this time an update of the route opens nothing; updated.
        expired_openings: shape (65536,): number of the opening whose updates open nothing, as its
            episode has expired; 0 = none; updated.
        converge_net_bps: an update above it is a dislocation.
        limits: shape (3,): longest life, longest time out of sight, longest gap; nanoseconds.
        events: shape (>= 2n, 3): openings (1) and endings (2) in order, their row and their record.
        tally: refused, ignored, re-signals; added to.

    Raises:
        ValueError: a shape does not fit.
        IndexError: a free row or a symbol does not exist.

    Concurrency: the owner of the table; releases the GIL.
    """
