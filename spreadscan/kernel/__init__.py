"""The compiled kernel: everything that runs once a message; Python everywhere else.

* ``memory``: seqlocked prices, dirty bits, the ring; ``health``: a process's own words.
* ``records``: tables of records that guard themselves.
* ``plan``: an adapter's declared plan as a tree (plain Python).
* ``extract``: frame bytes to a quote, by such a tree.
* ``sink``: quotes into the store, through the gates; ``listener``: WebSocket frames to it.
* ``scan``: the engine's pass.
* ``offsets``: the layout as the C compiler sees it; ``drills``: loops for benches and stress tests.

Importing this package compares the kernel's own sizes, offsets and status numbers with
``shm/layout.py`` and ``model.py``; there is no slow twin to fall back to.
"""

import platform
import sys

from spreadscan.errors import LayoutMismatch, SpreadscanError
from spreadscan.kernel.plan import Field
from spreadscan.model import QuoteStatus
from spreadscan.shm import layout

__all__: list[str] = []


def _expected(name: str) -> int:
    place: object = layout
    for step in name.split("."):
        place = getattr(place, step)
    assert isinstance(place, int), name
    return place


def _check() -> None:
    machine = platform.machine()
    if sys.byteorder != "little" or machine not in {"x86_64", "aarch64"}:
        raise LayoutMismatch("kernel", "machine", machine, "x86_64 or aarch64, little-endian")
    try:
        from spreadscan.kernel import extract, offsets  # noqa: PLC0415 - after the platform check
    except ImportError as error:
        message = f"the compiled kernel is missing ({error}); build it with `make`"
        raise SpreadscanError(message) from error
    for name, found in offsets.layout_table().items():
        if found != _expected(name):
            raise LayoutMismatch("kernel", name, found, _expected(name))
    for name, found in extract.STATUS_NUMBERS.items():
        if found != QuoteStatus[name]:
            raise LayoutMismatch("kernel", f"QuoteStatus.{name}", found, int(QuoteStatus[name]))
    for name, found in extract.FIELD_NUMBERS.items():
        if found != Field[name]:
            raise LayoutMismatch("kernel", f"plan.Field.{name}", found, int(Field[name]))


_check()
