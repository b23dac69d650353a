"""The console scripts with commands, from their very beginning."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

SCRIPTS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["scripts"]
# Ctrl-C comes while the library of command lines is being loaded.
INTERRUPTED = """
import sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "typer":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
"""
BEGIN = "from {module} import {name}; sys.exit({name}())"


def begin(script, before, *words):
    module, _, name = SCRIPTS[script].partition(":")
    code = before + BEGIN.format(module=module, name=name)
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", ["spread-ctl", "spreadscan"])
def test_script_that_is_interrupted_while_it_loads_says_so_in_one_line(script):
    done = begin(script, INTERRUPTED, "--help")

    assert (done.returncode, done.stdout, done.stderr) == (75, "", f"{script}: interrupted\n")


@pytest.mark.parametrize("script", ["spread-ctl", "spreadscan"])
def test_script_runs_its_commands(script):
    done = begin(script, "import sys;", "--help")

    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: " in done.stdout
