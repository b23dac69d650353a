"""What a validation shows: rows on a terminal, few plain lines in a journal."""

import io
import re

import pytest
from rich.console import Console

from spreadscan.discovery.progress import Counts, PlainProgress, TerminalProgress, progress_on


def counts(received=0, refused=0, seconds=0.0):
    return Counts(received=received, expected=400, refused=refused, connections=3, seconds=seconds)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lines():
    return []


def test_journal_gets_a_line_at_the_beginning_and_one_at_the_end(lines, manual_clock):
    progress = PlainProgress(lines.append, manual_clock)

    progress.began("okx_spot", 400)
    manual_clock.advance(2.1)
    progress.ended("okx_spot", counts(received=400, seconds=2.1), None)

    assert lines == [
        "okx_spot: 400 symbols to prove",
        "okx_spot: 400 of 400 over 3 connections in 2.1 s: proven",
    ]


def test_journal_gets_one_line_in_ten_seconds_from_each_source(lines, manual_clock):
    progress = PlainProgress(lines.append, manual_clock)
    progress.began("okx_spot", 400)
    manual_clock.advance(5)
    progress.began("mexc_spot", 400)
    lines.clear()

    for tenth in range(51, 300):
        manual_clock.advance(0.1)
        for source in ("okx_spot", "mexc_spot"):
            progress.changed(source, counts(received=7, refused=2, seconds=tenth / 10))

    assert lines == [
        "okx_spot: 7 of 400, 2 refused over 3 connections in 10.0 s",
        "mexc_spot: 7 of 400, 2 refused over 3 connections in 15.0 s",
        "okx_spot: 7 of 400, 2 refused over 3 connections in 20.0 s",
        "mexc_spot: 7 of 400, 2 refused over 3 connections in 25.0 s",
    ]


def test_journal_names_the_failure_of_a_source(lines, manual_clock):
    progress = PlainProgress(lines.append, manual_clock)
    progress.began("okx_spot", 400)

    progress.ended("okx_spot", counts(), "nothing came")

    assert lines[-1] == "okx_spot: 0 of 400 over 3 connections in 0.0 s: failed: nothing came"


def screen_of(stream):
    """Return the last drawing, without colours."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    return [line.rstrip() for line in text.replace("\r", "\n").split("\n") if line.strip()]


def test_terminal_has_one_row_a_source_with_its_counts(manual_clock):
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=120)

    with TerminalProgress(console, manual_clock) as progress:
        progress.began("okx_spot", 400)
        progress.began("mexc_spot", 400)
        progress.ended("okx_spot", counts(received=399, refused=1, seconds=2.25), None)
        progress.ended("mexc_spot", counts(), "[Errno 111] refused")

    okx, mexc = screen_of(stream)[-2:]
    assert re.match(r"okx_spot +.*399/400 +1 refused +3 conn\. +2\.2 s +done", okx)
    assert re.match(r"mexc_spot +.*0/400 +0 refused .*failed: \[Errno 111\] refused", mexc)


def test_terminal_is_drawn_at_most_ten_times_a_second(manual_clock):
    stream = Terminal()
    console = Console(file=stream, force_terminal=True, width=120)

    with TerminalProgress(console, manual_clock) as progress:
        progress.began("okx_spot", 400)
        drawn = len(stream.getvalue())
        progress.changed("okx_spot", counts(received=1))
        assert len(stream.getvalue()) == drawn
        manual_clock.advance(0.1)
        progress.changed("okx_spot", counts(received=2))
        assert "2/400" in screen_of(stream)[-1]


@pytest.mark.parametrize(("kind", "expected"), [(Terminal, False), (io.StringIO, True)])
def test_lines_are_said_only_where_there_is_no_terminal(kind, expected, lines, manual_clock):
    stream = kind()

    with progress_on(stream, manual_clock, lines.append) as progress:
        progress.began("okx_spot", 400)

    assert bool(lines) is expected
    assert bool(stream.getvalue()) is not expected
