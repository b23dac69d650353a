"""The whole pipeline, started and never left behind."""

import subprocess

import pytest
from up_cases import SPREADSCAN


@pytest.fixture
def up(config_dir):
    """Start ``spreadscan up --sim``; whatever is left of it is killed, which ends its children."""
    started = []

    def start(*arguments, **options):
        process = subprocess.Popen(
            [SPREADSCAN, "up", "--sim", "--config", config_dir / "config.toml", *arguments],
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options,
        )
        started.append(process)
        return process

    yield start

    for process in started:
        process.kill()
        process.wait()
