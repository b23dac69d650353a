"""Wheelhouses of other versions, made from the one that was built: for upgrades, good and bad."""

import base64
import hashlib
import re
import shutil
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

__all__ = ["as_version"]


def as_version(wheelhouse: Path, folder: Path, version: str, appended: Mapping[str, str]) -> Path:
    """Return a wheelhouse with spreadscan as another version.

    Args:
        wheelhouse: as `make wheelhouse` built it.
        folder: where the new one is made.
        version: that it says it has.
        appended: text to add to files of the package, by their path in the wheel.
    """
    new = folder / f"wheelhouse-{version}"
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
    subprocess.run(["tar", "-C", folder, "-cf", f"{new}.tar", new.name], check=True)
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
