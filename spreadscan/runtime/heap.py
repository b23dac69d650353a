"""Free memory goes back to the machine.

Bodies of megabytes are parsed into hundreds of thousands of small blocks. The C library keeps what
is freed of them for the next time, in every thread's own arena, and a process that asks once a
minute has them resident for good.
"""

import ctypes

__all__ = ["give_back"]

_trim = ctypes.CDLL(None).malloc_trim


def give_back() -> None:
    """Give back what the C library holds and nobody uses; it takes well below a millisecond.

    Concurrency: any thread; others that allocate meanwhile may wait for it.
    """
    _trim(ctypes.c_size_t(0))
