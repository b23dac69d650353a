"""Runs the playbooks as `make deploy` does, against a machine of the tests."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
from lifeline import bound_family
from ssh_way import SshWay

__all__ = ["ANSIBLE", "REPOSITORY", "Recap", "play", "write_inventory"]

REPOSITORY = Path(__file__).parents[2]
ANSIBLE = REPOSITORY / "ansible"
RECAP = re.compile(
    r"^(?P<host>\S+)\s*: ok=(\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)"
    r"\s+failed=(?P<failed>\d+)",
    re.MULTILINE,
)
SHOWN_CHARACTERS = 12_000


class Recap(msgspec.Struct, frozen=True):
    """How a play ended on the one host there is."""

    status: int
    changed: int
    failed: int
    unreachable: int
    output: str

    def require_success(self) -> "Recap":
        """Return it, or say what failed.

        Raises:
            AssertionError: something did.
        """
        if self.status != 0:
            raise AssertionError(
                f"play ended with {self.status}:\n{self.output[-SHOWN_CHARACTERS:]}"
            )
        return self


def write_inventory(file: Path, ssh: SshWay, variables: dict[str, object]) -> Path:
    """Write an inventory of one host."""
    host = {**ssh.ansible_variables(), **variables}
    file.write_text(json.dumps({"spreadscan": {"hosts": {ssh.host: host}}}))
    return file


def play(
    book: str,
    inventory: Path,
    *options: str,
    timeout_s: float = 1200,
    environment: dict[str, str] | None = None,
) -> Recap:
    """Run a playbook; a play that hangs is ended."""
    scripts = Path(sys.executable).parent
    # Ansible's workers leave its session: nothing of a play goes on when the play, or this process,
    # is ended.
    command = bound_family(
        f"{scripts}/ansible-playbook", f"--inventory={inventory}", *options, f"{ANSIBLE}/{book}"
    )
    surroundings = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
        # Its own place for sockets: one of another machine at the same address would lead the play
        # there. And for what it leaves when it is ended.
        "ANSIBLE_HOME": str(inventory.parent / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{scripts}:{os.environ['PATH']}",
        **(environment or {}),
    }
    try:
        ran = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ANSIBLE,
            env=surroundings, check=False, stdin=subprocess.DEVNULL, timeout=timeout_s,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        said = (expired.stdout or b"").decode(errors="replace")[-SHOWN_CHARACTERS:]
        raise AssertionError(f"{book}: no end within {timeout_s:g} s:\n{said}") from None
    counts = RECAP.search(ran.stdout)
    numbers = {
        name: int(counts[name]) if counts else 0 for name in ("changed", "failed", "unreachable")
    }
    return Recap(ran.returncode, output=ran.stdout, **numbers)
