"""Whether a SQLite file is one, and ends with a whole page.

SQLite reads what is missing of its last page as zeros and never says so: a file that lost its end
would give out rows with zeros for times and prices, and no check of its structure sees that. A file
that is empty it takes for a new one, and deletes the log beside it, also where it only reads.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["is_empty", "torn_bytes", "without_torn_page"]

MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
TORN_SUFFIX = ".torn-page"


def is_empty(file: Path) -> bool:
    """Tell whether a file is there and holds nothing."""
    return file.exists() and file.stat().st_size == 0


def torn_bytes(file: Path) -> int:
    """Return how many bytes stand after the last whole page; 0 of what SQLite would not open."""
    try:
        with file.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            header = source.read(HEADER_BYTES)
    except OSError:
        return 0
    if len(header) < HEADER_BYTES or not header.startswith(MAGIC):
        return 0
    page_bytes = int.from_bytes(header[16:18], "big")
    # 65536 does not fit and is written as 1.
    return size % (65_536 if page_bytes == 1 else max(page_bytes, HEADER_BYTES))


@contextlib.contextmanager
def without_torn_page(file: Path) -> Iterator[None]:
    """Have a last page that is not whole taken off, so that reading it is an error.

    Afterwards the file is as it was. Killed in between, the page's bytes stay beside it.

    Raises:
        OSError: a file cannot be written.

    Concurrency: nobody else may have the file open.
    """
    torn = torn_bytes(file)
    if torn == 0:
        yield
        return
    kept = file.with_name(file.name + TORN_SUFFIX)
    with file.open("rb") as source:
        whole = source.seek(-torn, os.SEEK_END)
        kept.write_bytes(source.read())
    os.truncate(file, whole)
    try:
        yield
    finally:
        with file.open("ab") as target:
            target.write(kept.read_bytes())
        kept.unlink()
