"""How lines look, what is held back, and what is never written."""

import json
import logging
import os
import socket

import pytest

from spreadscan.runtime.journal import JournalHandler, is_journal
from spreadscan.runtime.log import (
    BURST_LINES,
    REFILL_S,
    JsonFormatter,
    RateLimit,
    TextFormatter,
    clean,
)


def record(message, *values, level=logging.WARNING, error=None):
    exc_info = (type(error), error, None) if error else None
    return logging.LogRecord("spreadscan", level, "/x/feed.py", 7, message, values, exc_info)


def test_text_line_has_time_level_program_and_message():
    line = TextFormatter("feed-a").format(record("%d symbols", 3))

    assert line.endswith(" WARNING feed-a: 3 symbols")
    assert line[4] == line[7] == "-"


def test_message_of_an_exchange_cannot_begin_a_line_of_its_own():
    line = TextFormatter("feed-a").format(record("refused: %s", "x\n2026 ERROR fake\x1b[31m"))

    assert "\n" not in line
    assert line.endswith("refused: x\\n2026 ERROR fake\\x1b[31m")


def test_json_line_is_one_object_with_the_traceback_in_it():
    line = JsonFormatter("feed-a").format(record("bad", error=ValueError("why")))

    told = json.loads(line)
    assert "\n" not in line
    assert (told["level"], told["program"], told["message"]) == ("warning", "feed-a", "bad")
    assert told["traceback"] == "ValueError: why"
    assert told["where"] == "feed:7"


@pytest.mark.parametrize(
    "text",
    [
        "GET /x?apiKey=HUSH&symbol=A",
        '{"secret": "HUSH", "a": 1}',
        "Authorization: Bearer HUSH",
        "wss://x/stream?token=HUSH",
        "signature=HUSH",
        "listenKey: HUSH",
    ],
)
def test_what_looks_like_a_credential_is_never_written(text):
    assert "HUSH" not in clean(text)
    assert "***" in clean(text)


def test_ordinary_words_are_left_alone():
    text = "unexpected token at 3: found 'X', expected a key; symbol=A-USDT"

    assert clean(text) == text


def test_line_that_comes_again_and_again_is_held_back_and_counted(manual_clock):
    limit = RateLimit(manual_clock)

    passed = [limit.filter(record("%s is late", n)) for n in range(BURST_LINES + 10)]
    other = limit.filter(record("something else"))
    manual_clock.advance(REFILL_S)
    late = record("%s is late", "z")

    assert passed == [True] * BURST_LINES + [False] * 10
    assert other
    assert limit.filter(late)
    assert late.getMessage() == "z is late (and 10 like it were held back)"
    assert not limit.filter(record("%s is late", "z"))


def test_journald_gets_fields_and_a_count_of_what_it_had_no_room_for(tmp_path):
    address = str(tmp_path / "journal")
    handler = JournalHandler("feed-a", address)
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.handle(record("nobody listens"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.bind(address)

        handler.handle(record("two\nlines", level=logging.ERROR))
        data = journald.recv(65_536)
    handler.close()

    assert b"MESSAGE\n" + (9).to_bytes(8, "little") + b"two\nlines\n" in data
    for field in (b"PRIORITY=3\n", b"SYSLOG_IDENTIFIER=feed-a\n", b"CODE_LINE=7\n",
                  b"SPREADSCAN_DROPPED=1\n"):  # fmt: skip
        assert field in data


def test_journal_is_told_by_device_and_inode(tmp_path):
    with (tmp_path / "stream").open("w") as stream:
        found = os.fstat(stream.fileno())
        here = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}

        assert is_journal(stream.fileno(), here)
        assert not is_journal(stream.fileno(), {})
        assert not is_journal(-1, here)
