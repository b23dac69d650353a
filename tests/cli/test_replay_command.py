"""`spreadscan replay`: what it prints, what it writes, what it refuses."""

import json

import pytest
from replay_cases import FUTURES, SPOT, Recording, futures, spot
from typer.testing import CliRunner
from universe_cases import universe

from spreadscan.cli.main import app
from spreadscan.errors import EXIT_CONFIG, EXIT_USAGE


@pytest.fixture
def recorded(tmp_path):
    recording = Recording(tmp_path / "record")
    recording.write(SPOT, universe(), (0.0, spot(1.0, 1)), until_s=3.0)
    recording.write(
        FUTURES, universe(), (1.0, futures(1.02, 1)), (2.0, futures(0.99, 2)), until_s=3.0
    )
    return recording.root


def run(*arguments):
    return CliRunner().invoke(app, ["replay", *map(str, arguments)])


def test_signals_are_written_and_the_rest_is_told(recorded, config_dir, tmp_path):
    files = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]

    answers = [
        run(recorded, "--config", config_dir / "config.toml", "--out", file, "--json")
        for file in files
    ]

    assert [answer.exit_code for answer in answers] == [0, 0]
    first, second = (json.loads(answer.stdout) for answer in answers)
    assert first.pop("elapsed_s") > 0
    assert second.pop("elapsed_s") > 0
    assert first == second
    assert first["signals"] == {"open": 1, "update": 0, "close": 1}
    lines = files[0].read_bytes()
    assert lines == files[1].read_bytes()
    assert [json.loads(line)["signal"] for line in lines.splitlines()] == ["open", "close"]


def test_people_get_lines(recorded, config_dir):
    answer = run(recorded, "--config", config_dir / "config.toml")

    assert answer.exit_code == 0
    assert answer.stdout.startswith("3 frames from 2026-11-18T")
    assert "signals: 1 open, 0 update, 1 close\n" in answer.stdout
    assert "episodes: 1 opened, 0 open, 1 converged, 0 expired, 0 delisted\n" in answer.stdout


def test_configuration_of_the_recording_is_used_unless_another_is_named(recorded, config_dir):
    config_dir.rename(recorded / "config")

    answer = run(recorded)

    assert answer.exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["{empty}", "--config", "{config}"], EXIT_USAGE, "no segment of any source"),
        (["{recorded}"], EXIT_CONFIG, "config.toml: found No such file"),
        (["{recorded}", "--config", "{config}", "--out", "/no/such/place"], EXIT_USAGE,
         "/no/such/place: No such file"),
        (["{recorded}", "--config", "{config}", "--universe", "{empty}"], EXIT_CONFIG,
         "expected a universe"),
    ],
)  # fmt: skip
def test_what_cannot_be_replayed_is_one_line(
    recorded, config_dir, tmp_path, arguments, status, text
):
    empty = tmp_path / "empty"
    empty.mkdir()
    places = {"recorded": recorded, "config": config_dir / "config.toml", "empty": empty}

    answer = run(*(argument.format(**places) for argument in arguments))

    assert answer.exit_code == status
    assert text in answer.stderr
    assert answer.stderr.count("\n") == 1
