"""The systems that hosts may have. `make deploy-test LEG=box SUITE=trixie` proves another one."""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

from lifeline import bound_family

__all__ = ["SUITES", "Suite", "chosen"]

UBUNTU_KEYRING = "ubuntu-archive-keyring.gpg"


class Suite(NamedTuple):
    """One release of a distribution.

    Args:
        name: that its archive knows it by.
        python: version of its python3.
        components: of the archive that hold what a host needs.
        keyring: package of Debian that lets its archive be trusted; "" for Debian's own.
    """

    name: str
    python: str
    components: str = "main"
    keyring: str = ""

    @property
    def python_tag(self) -> str:
        """Its Python in the names of wheels."""
        return f"cp{self.python.replace('.', '')}"

    def bootstrap(self, folder: Path, variant: str, packages: str) -> None:
        """Fill a folder with it, from the public archive of its distribution.

        Raises:
            subprocess.CalledProcessError: there is no archive, no such package, or no trust in it.
        """
        trust = []
        if self.keyring:
            # Of the newest Debian: the one that this host happens to have may lack it.
            keys = folder.with_name("keys")
            SUITES["trixie"].bootstrap(keys, "extract", self.keyring)
            trust = [f"--keyring={keys}/usr/share/keyrings/{UBUNTU_KEYRING}"]
        subprocess.run(
            bound_family(
                "mmdebstrap", "--quiet", f"--variant={variant}", f"--include={packages}", *trust,
                f"--components={self.components}", self.name, str(folder),
            ),
            check=True, timeout=1200,
        )  # fmt: skip


SUITES = {
    suite.name: suite
    for suite in (
        Suite("bookworm", "3.11"),
        Suite("noble", "3.12", "main,universe", "ubuntu-keyring"),
        Suite("trixie", "3.13"),
    )
}


def chosen() -> Suite:
    """Return the one that SUITE names, or else Debian 12.

    Raises:
        SystemExit: it names none of them.
    """
    name = os.environ.get("SUITE") or "bookworm"
    if name not in SUITES:
        raise SystemExit(f"SUITE: found {name}, expected one of {', '.join(SUITES)}")
    return SUITES[name]
