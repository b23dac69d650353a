"""One line a record: text for people, JSON on request, fields where journald listens.

Written by the process's own thread, so nothing that runs per message may log. A line that comes
again and again is held back and counted, and what looks like a credential is never written.
"""

import json
import logging
import os
import re
import sys
from datetime import UTC, datetime

from spreadscan.runtime.clock import Clock, SystemClock
from spreadscan.runtime.journal import JournalHandler, is_journal

__all__ = ["JsonFormatter", "RateLimit", "TextFormatter", "set_up_logging"]

BURST_LINES = 20
"""Of one kind that pass at once."""
REFILL_S = 5.0
"""After which one more of that kind passes."""
MAX_KINDS = 1_000

# key=value, key: value and "key":"value" of what opens doors; the value is what goes.
SECRET = re.compile(
    r"(?i)((?:(?:api[-_]?key|secret|passphrase|password|signature|authorization|listen[-_]?key)"
    r"[\"']?\s*[=:]|token=)\s*[\"']?)(?:bearer\s+)?[^\s\"'&,;}]+"
)
CONTROLS = {number: f"\\x{number:02x}" for number in (*range(32), 127)} | {10: "\\n", 9: "\\t"}


def set_up_logging(program: str, level: str, style: str = "text") -> logging.Logger:
    """Send everything of this process to standard error or journald; return the program's logger.

    Args:
        program: its name, in every line.
        level: the lowest that is written.
        style: "text", "json", "journal", or "auto": journald where standard error leads there.
    """
    if style == "auto":
        style = "journal" if is_journal(sys.stderr.fileno(), os.environ) else "text"
    handler: logging.Handler
    if style == "journal":
        handler = JournalHandler(program)
        handler.setFormatter(_LineFormatter())
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter((JsonFormatter if style == "json" else TextFormatter)(program))
    handler.addFilter(RateLimit(SystemClock()))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Client libraries log addresses of every request at INFO; ours says what matters.
    for library in ("aiohttp", "asyncio", "picows", "websockets"):
        logging.getLogger(library).setLevel(logging.WARNING)
    return logging.getLogger("spreadscan")


class RateLimit(logging.Filter):
    """Lets BURST_LINES of a kind through, then one every REFILL_S that says how many were not.

    A kind is a message before its values are filled in.

    Args:
        clock: injected.
    """

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, int, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:  # type: ignore[explicit-override] # 3.12
        """Tell whether a record may be written."""
        now_s = self._clock.monotonic_ns() / 1e9
        kind = (record.name, record.levelno, str(record.msg))
        if len(self._kinds) >= MAX_KINDS and kind not in self._kinds:
            self._kinds.clear()
        state = self._kinds.setdefault(kind, [BURST_LINES, now_s, 0])
        tokens, since_s, held = state
        tokens = min(BURST_LINES, tokens + (now_s - since_s) / REFILL_S)
        is_let_through = tokens >= 1
        if is_let_through and held:
            record.msg = f"{record.msg} (and {held:.0f} like it were held back)"
        state[:] = tokens - is_let_through, now_s, 0 if is_let_through else held + 1
        return is_let_through


class _LineFormatter(logging.Formatter):
    """The message alone: one line, no secrets; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:  # type: ignore[explicit-override] # 3.12
        """Return the text of a record."""
        record.message = clean(record.getMessage())
        text = self.formatMessage(record)
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return text


class TextFormatter(_LineFormatter):
    """Time, level, program, message.

    Args:
        program: its name.
    """

    def __init__(self, program: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)s {program}: %(message)s", "%Y-%m-%d %H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:  # type: ignore[explicit-override] # 3.12
        """Return the text of a record."""
        record.asctime = self.formatTime(record, self.datefmt)
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line.

    Args:
        program: its name.
    """

    def __init__(self, program: str) -> None:
        super().__init__()
        self._program = program

    def format(self, record: logging.LogRecord) -> str:  # type: ignore[explicit-override] # 3.12
        """Return the object of a record."""
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "program": self._program,
            "pid": record.process,
            "where": f"{record.module}:{record.lineno}",
            "message": clean(record.getMessage()),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False)


def clean(text: str) -> str:
    """Return a message fit to be written: on one line, and without what opens doors."""
    return SECRET.sub(r"\1***", text).translate(CONTROLS)
