"""Questions to a deployed machine, asked with its own programs."""

import json
import time
from collections.abc import Callable

from ssh_way import SshWay

__all__ = ["Appliance"]

POLL_S = 0.25
# But for what Ansible, shadow's tools and Ubuntu's greeting leave by themselves.
LEAVINGS = (
    "find /etc /opt /usr/local /root /home /dev/shm /run/spreadscan /run/systemd/system "
    "/var/lib/spreadscan -not -type d -not -path '/root/.ansible*' -not -name '*-' "
    "-not -name motd.legal-displayed 2>/dev/null"
)


class Appliance:
    """One machine, after `make deploy`.

    Args:
        ssh: the way in, as root and as its other users.
    """

    def __init__(self, ssh: SshWay) -> None:
        self.ssh = ssh

    def units(self) -> list[str]:
        """Return what the target starts, without itself."""
        shown = self.ssh.run("systemctl show --property=Wants --value spreadscan.target")
        return sorted(shown.stdout.split())

    def services(self) -> list[str]:
        """Return the units that run for ever."""
        return [name for name in self.units() if name.startswith(("feed@", "spread-"))]

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Return properties of a unit."""
        asked = ",".join(properties)
        lines = self.ssh.run(f"systemctl show --property={asked} '{unit}'").stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def main_pids(self) -> dict[str, int]:
        """Return the process of every service that runs for ever."""
        names = self.services()
        shown = self.ssh.run("systemctl show --property=MainPID --value", *names).stdout.split()
        return dict(zip(names, map(int, shown), strict=True))

    def inactive(self) -> list[str]:
        """Return which units are not active, with what they are."""
        names = ["spreadscan.target", *self.units()]
        states = self.ssh.run("systemctl is-active", *names, check=False).stdout.split()
        return [
            f"{name} is {state}"
            for name, state in zip(names, states, strict=True)
            if state != "active"
        ]

    def universe_generation(self) -> int:
        """Return the number of the universe that the last discovery left."""
        told = self.ssh.run("cat /var/lib/spreadscan/generated/metadata.json").stdout
        return int(json.loads(told)["generation"])

    def episodes(self) -> dict[int, str | None]:
        """Return how every episode ended, by id; None is open."""
        told = self.ssh.run("spread-ctl history --limit 1000000 --json", user="alice").stdout
        return {row["episode_id"]: row["ending"] for row in json.loads(told)["episodes"]}

    def open_episodes(self) -> set[int]:
        """Return the ids of those that are open."""
        return {episode for episode, ending in self.episodes().items() if ending is None}

    def require_kept(self, opened: set[int]) -> None:
        """Require what was open to be open under the same id, or ended as episodes do.

        Raises:
            AssertionError: it is gone, or ended otherwise.
        """
        episodes = self.episodes()
        assert opened, "nothing was open, so nothing was shown"
        assert opened <= episodes.keys()
        assert {episodes[episode] for episode in opened} <= {None, "converged", "expired"}

    def files(self, pattern: str) -> list[str]:
        """Return what there is of its data by that name."""
        return self.ssh.run(f"ls -d /var/lib/spreadscan/{pattern}", check=False).stdout.split()

    def leavings(self) -> set[str]:
        """Return all files where it, or a play, may leave some."""
        return set(self.ssh.run(LEAVINGS, check=False).stdout.splitlines())

    def status(self, user: str = "root") -> int:
        """Return the verdict of `spread-ctl status`: 0 is all green."""
        return self.ssh.run("spread-ctl status", user=user, check=False).returncode

    def release(self) -> str:
        """Return the name of the release that runs."""
        return self.ssh.run("basename $(readlink -f /opt/spreadscan/current)").stdout.strip()

    def wait(self, what: str, condition: Callable[[], object], timeout_s: float = 180) -> object:
        """Wait until something holds, and return it.

        Raises:
            AssertionError: it does not come to hold.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            if found := condition():
                return found
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{what}: not within {timeout_s:g} s; {self.inactive()}")
            time.sleep(POLL_S)
