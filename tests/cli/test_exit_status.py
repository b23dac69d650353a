"""The one table of exit statuses: in --help of every command and in README."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from spreadscan.cli.ctl import COMMANDS, app
from spreadscan.errors import EXIT_MEANINGS

README = Path(__file__).parents[2] / "README.md"
WIDE = {"COLUMNS": "200"}


@pytest.mark.parametrize("words", [[], *([name] for name in COMMANDS)], ids=" ".join)
def test_help_of_every_command_shows_the_whole_table(words):
    done = CliRunner().invoke(app, [*words, "--help"], env=WIDE)

    assert done.exit_code == 0
    for status, meaning in EXIT_MEANINGS.items():
        assert f"{status}  {meaning}" in done.stdout


def test_help_names_every_command_with_what_it_does():
    done = CliRunner().invoke(app, ["--help"], env=WIDE)

    for name in COMMANDS:
        assert f"│ {name}" in done.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [("explain", "As in BTC-USDT."), ("pause", "sources, directions or symbols"),
     ("restart", "Programs, by their name"), ("episode", "As `history` shows it."),
     ("completion", "Which shell.")],
)  # fmt: skip
def test_help_says_what_arguments_are(name, words):
    assert words in CliRunner().invoke(app, [name, "--help"], env=WIDE).stdout


def test_readme_has_the_same_table():
    text = README.read_text(encoding="utf-8")

    for status, meaning in EXIT_MEANINGS.items():
        assert f"| {status} | {meaning} |" in text
