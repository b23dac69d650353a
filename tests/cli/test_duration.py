"""Durations on the command line."""

import pytest
import typer

from spreadscan.cli.duration import parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30.0), ("2m", 120.0), ("1500ms", 1.5), ("1h", 3600.0), ("7", 7.0), (" 0.5s ", 0.5)],
)
def test_duration_is_read_in_its_unit(text, seconds):
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "s", "-3s", "0", "0ms", "1d", "1 s", "1e3", "nan", "٣s", "1s2"]
)
def test_text_that_is_no_duration_is_refused_with_what_was_expected(text):
    with pytest.raises(typer.BadParameter, match="expected a duration such as 30s"):
        parse_duration_s(text)


def test_duration_beyond_every_number_is_refused():
    with pytest.raises(typer.BadParameter):
        parse_duration_s("9" * 400 + "h")
