"""Whether the wall clock follows anybody: the kernel's own word, adjtimex(2)."""

import ctypes
import errno
from typing import NamedTuple

from spreadscan.ops.doctor.finding import Finding, ok, warn

__all__ = ["ClockState", "clock_check", "kernel_clock"]

STA_UNSYNC = 0x0040
MAX_ERROR_US = 100_000


class ClockState(NamedTuple):
    """What the kernel says of its wall clock."""

    is_synchronised: bool
    max_error_us: int
    offset_us: float


class _Timex(ctypes.Structure):
    # struct timex of <sys/timex.h> on 64-bit Linux; the rest is never looked at.
    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long), ("esterror", ctypes.c_long), ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )  # fmt: skip


def kernel_clock() -> ClockState | None:
    """Ask the kernel; None where this process may not, as in a container.

    Raises:
        OSError: it does not say.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        if ctypes.get_errno() == errno.EPERM:
            return None
        raise OSError(ctypes.get_errno(), "adjtimex")
    nano = bool(timex.status & 0x2000)
    return ClockState(
        is_synchronised=not timex.status & STA_UNSYNC,
        max_error_us=timex.maxerror,
        offset_us=timex.offset / 1000 if nano else float(timex.offset),
    )


def clock_check(state: ClockState | None) -> Finding:
    """Judge it: lags are measured against exchanges' clocks, and episodes carry its time."""
    check = "time synchronisation"
    if state is None:
        return warn(
            check,
            "the kernel does not tell it here: a container's host keeps the clock",
            "look at the clock of the host (chronyc tracking)",
        )
    if not state.is_synchronised:
        return warn(check, "the wall clock follows nobody", "start chrony or systemd-timesyncd")
    if state.max_error_us > MAX_ERROR_US:
        return warn(
            check,
            f"it may be {state.max_error_us / 1000:.0f} ms off, expected at most "
            f"{MAX_ERROR_US / 1000:.0f}",
            "look at `chronyc tracking`: its servers are far or silent",
        )
    return ok(
        check, f"within {state.max_error_us / 1000:.1f} ms, offset {state.offset_us / 1000:.3f} ms"
    )
