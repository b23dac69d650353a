"""Wheelhouses: what `make wheelhouse` builds for a system, and other versions made from that, for
upgrades, good and bad.

`python wheelhouses.py` builds the one for the chosen system.
"""

import base64
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from lifeline import bound_family
from machine_images import root_file_system
from plays import REPOSITORY
from suites import Suite, chosen

__all__ = ["as_version", "built_for"]

# What `make wheelhouse` needs on a control host, in Debian's words.
BUILDS = ("python3-venv", "python3-dev", "gcc", "libc6-dev", "make", "ca-certificates")
BUILD_S = 1200
# Runs a command in a root file system that shares the network, the certificates and the repository
# with this host, and nothing of what is built in that.
INSIDE = """\
root=$1 repository=$2 built=$3
shift 3
mkdir -p "$root$repository" "$built/build" "$built/dist" "$repository/dist"
touch "$root/etc/resolv.conf"
mount --bind "$repository" "$root$repository"
mount --bind "$built/dist" "$root$repository/dist"
mount --bind "$built/build" "$root$repository/build"
for shared in /dev /proc /etc/resolv.conf /etc/ssl/certs; do
    mount --bind "$shared" "$root$shared"
done
exec chroot "$root" "$@"
"""


def built_for(suite: Suite) -> Path:
    """Return what `make wheelhouse` builds for hosts of a system.

    Built on this host when it runs the same Python, or else on a control host of that system: a
    folder, without a systemd or a network of its own.

    Raises:
        subprocess.CalledProcessError: it cannot be built.
    """
    name = f"wheelhouse-{suite.python_tag}-{platform.machine()}"
    make = ["make", "--silent", "-C", str(REPOSITORY), "wheelhouse"]
    if suite.python_tag == f"cp{sys.version_info.major}{sys.version_info.minor}":
        subprocess.run([*make, f"PYTHON={sys.executable}"], check=True, timeout=BUILD_S)
        return REPOSITORY / "dist" / name
    root = root_file_system(suite, "control", BUILDS)
    built = REPOSITORY / "build" / suite.name
    environment = {
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "PIP_CERT": "/etc/ssl/certs/ca-certificates.crt",
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
    }
    subprocess.run(
        bound_family("sh", "-ec", INSIDE, "sh", str(root), str(REPOSITORY), str(built), *make),
        check=True, timeout=BUILD_S, env=environment,
    )  # fmt: skip
    return built / "dist" / name


def as_version(wheelhouse: Path, folder: Path, version: str, appended: Mapping[str, str]) -> Path:
    """Return a wheelhouse with spreadscan as another version.

    Args:
        wheelhouse: as `make wheelhouse` built it.
        folder: where the new one is made, under a folder of its version.
        version: that it says it has.
        appended: text to add to files of the package, by their path in the wheel.
    """
    new = folder / version / wheelhouse.name
    shutil.copytree(wheelhouse, new)
    [wheel] = new.glob("spreadscan-*.whl")
    old_version = wheel.name.split("-")[1]
    target = wheel.with_name(wheel.name.replace(f"-{old_version}-", f"-{version}-", 1))
    _repack(wheel, target, old_version, version, appended)
    wheel.unlink()
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    requirements = new / "requirements.txt"
    line = f"spreadscan=={version} --hash=sha256:{digest}"
    text, count = re.subn(r"^spreadscan==.*$", line, requirements.read_text(), flags=re.MULTILINE)
    assert count == 1, requirements
    requirements.write_text(text)
    subprocess.run(["tar", "-C", new.parent, "-cf", f"{new}.tar", new.name], check=True)
    return new


def _repack(
    wheel: Path, target: Path, old_version: str, version: str, appended: Mapping[str, str]
) -> None:
    old_info, info = f"spreadscan-{old_version}.dist-info", f"spreadscan-{version}.dist-info"
    record: list[str] = []
    with (
        zipfile.ZipFile(wheel) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        assert set(appended) <= set(source.namelist()), appended.keys()
        for name in source.namelist():
            if name.endswith(("/", "/RECORD")):
                continue
            body = source.read(name) + appended.get(name, "").encode()
            if name.endswith("/METADATA"):
                old, said = f"\nVersion: {old_version}\n", f"\nVersion: {version}\n"
                body = body.replace(old.encode(), said.encode())
            path = name.replace(old_info, info)
            new.writestr(path, body)
            digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(body)}")
        record.append(f"{info}/RECORD,,")
        new.writestr(f"{info}/RECORD", "\n".join(record) + "\n")


if __name__ == "__main__":
    sys.stdout.write(f"{built_for(chosen())}\n")
