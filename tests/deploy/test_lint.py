"""The playbooks pass what their community holds itself to."""

import subprocess
import sys
from pathlib import Path

import pytest
from plays import ANSIBLE

pytestmark = pytest.mark.deploy


@pytest.mark.parametrize(
    "command",
    [["ansible-lint", "--offline", "--nocolor", "--strict"], ["yamllint", "--strict", "."]],
    ids=["ansible-lint", "yamllint"],
)
def test_playbooks_pass(command):
    program = Path(sys.executable).with_name(command[0])

    ran = subprocess.run(
        [program, *command[1:]], cwd=ANSIBLE, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip

    assert ran.returncode == 0, ran.stdout + ran.stderr
