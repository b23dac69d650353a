"""Simulated exchanges as a process of their own, and discovery against them."""

import json
import subprocess
import sysconfig
from pathlib import Path

import pytest

from spreadscan.discovery.process import main

SPREADSCAN = Path(sysconfig.get_path("scripts")) / "spreadscan"


@pytest.fixture
def simulate(config_dir, tmp_path):
    """Start ``spreadscan sim`` with a scenario's text; what is left running is killed."""
    running = []

    def stop():
        for process in running:
            process.kill()
            process.communicate()
        running.clear()

    def start(scenario="", *options):
        file = tmp_path / "scenario.toml"
        file.write_text(scenario, encoding="utf-8")
        process = subprocess.Popen(
            [
                SPREADSCAN, "sim", "--config", config_dir / "config.toml",
                "--scenario", file, "--json", *options,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.append(process)
        line = process.stderr.readline()
        assert line.startswith("simulated exchanges:"), line + process.stderr.read()
        return process

    start.stop = stop
    yield start
    stop()


@pytest.fixture
def discover_sim(config_dir, tmp_path, capsys):
    """Run discovery on the simulated exchanges; return (exit code, summary, standard error)."""
    output = tmp_path / "universe"

    def run(*flags):
        code = main(
            [
                f"--config={config_dir / 'config.toml'}", "--sim", f"--output={output}", "--json",
                *flags,
            ],
            lambda _config: run.open_routes,
        )  # fmt: skip
        printed = capsys.readouterr()
        return code, json.loads(printed.out) if printed.out else None, printed.err

    run.output = output
    run.open_routes = ()
    return run
