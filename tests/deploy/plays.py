"""Runs the playbooks as `make deploy` does, against a machine of the tests."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import msgspec
from lifeline import bound_family
from ssh_way import SshWay

__all__ = ["ANSIBLE", "REPOSITORY", "Recap", "interrupt", "play", "write_inventory"]

REPOSITORY = Path(__file__).parents[2]
ANSIBLE = REPOSITORY / "ansible"
RECAP = re.compile(
    r"^(?P<host>\S+)\s*: ok=(\d+)\s+changed=(?P<changed>\d+)\s+unreachable=(?P<unreachable>\d+)"
    r"\s+failed=(?P<failed>\d+)",
    re.MULTILINE,
)
SHOWN_CHARACTERS = 12_000


class Recap(msgspec.Struct, frozen=True):
    """How a play ended, on all its hosts together."""

    status: int
    changed: int
    failed: int
    unreachable: int
    output: str

    @property
    def said(self) -> str:
        """The output without the breaks of its lines."""
        return " ".join(self.output.split())

    def said_of(self, host: str) -> str:
        """Return why a host has failed, without the breaks of its lines; "" when it has not."""
        fault = re.search(rf"^fatal: \[{host}\]: .*(\n[ \n].*)*", self.output, re.MULTILINE)
        return " ".join(fault[0].split()) if fault else ""

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


def write_inventory(
    file: Path,
    ssh: SshWay,
    variables: Mapping[str, object],
    names: Mapping[str, Mapping[str, object]] | None = None,
) -> Path:
    """Write an inventory of one host, or of several names for it with variables of their own."""
    hosts = {
        name: {**ssh.ansible_variables(), **variables, **own}
        for name, own in (names or {ssh.host: {}}).items()
    }
    file.write_text(json.dumps({"spreadscan": {"hosts": hosts}}))
    return file


def play(
    book: str,
    inventory: Path,
    *options: str,
    timeout_s: float = 1200,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Recap:
    """Run a playbook; a play that hangs is ended."""
    with _running(book, inventory, *options, environment=environment) as process:
        try:
            said, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
            raise AssertionError(
                f"{book}: no end within {timeout_s:g} s:\n{said[-SHOWN_CHARACTERS:]}"
            ) from None
    recaps = list(RECAP.finditer(said))
    numbers = {
        name: sum(int(recap[name]) for recap in recaps)
        for name in ("changed", "failed", "unreachable")
    }
    return Recap(process.returncode, output=said, **numbers)


def interrupt(
    book: str, inventory: Path, *options: str, environment: Mapping[str, str], at: str
) -> None:
    """Run a playbook and kill it when it comes to a task.

    Raises:
        AssertionError: it does not come to it.
    """
    with _running(book, inventory, *options, environment=environment) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if f"{at}]" in line:
                break
        process.kill()
    assert f"{at}]" in said[-1], "".join(said)[-SHOWN_CHARACTERS:]


def _running(
    book: str, inventory: Path, *options: str, environment: Mapping[str, str]
) -> subprocess.Popen[str]:
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
        **environment,
    }
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ANSIBLE,
        env=surroundings, stdin=subprocess.DEVNULL,
    )  # fmt: skip
