"""An arm64 Debian of which only the programs run: by emulation, on this host's kernel.

The kernel's modules are compiled here by Debian's cross compiler, in a minute instead of twenty.
The emulation keeps x86-64's order of memory accesses, which is stronger than arm64's: a missing
fence does not show. What else there is does: instructions, layout, signs of characters, rounding.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from lifeline import bound_family
from machine_images import SUITE, build_lock, cached, install_on_this_host

__all__ = ["arm64_root", "build_wheel", "run_there"]

HOST_PACKAGES = ("mmdebstrap", "arch-test", "qemu-user-static", "gcc-aarch64-linux-gnu")
PACKAGES = "python3-venv,libpython3-dev"
PYTHON = "3.11"  # of the suite
BINFMT = Path("/proc/sys/fs/binfmt_misc")
REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / ".locks" / "dev.lock"
# Beside the architecture: what the oldest wheels of the lock are for, and the newest.
MANYLINUX = ("2014", "_2_17", "_2_26", "_2_28")
VENV = "/opt/venv"
# Mounts are those of this command alone, and gone with it.
ENTER = """
root=$1; work=$2; shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$work" "$root/srv"
exec chroot "$root" env -i HOME=/tmp LANG=C.UTF-8 PATH=/opt/venv/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/srv/site sh -c 'cd /srv && exec "$@"' sh "$@"
"""


def run_there(root: Path, work: Path, *command: str, timeout_s: float) -> tuple[int, str]:
    """Run a command in it; return how it ended and what it said.

    Args:
        root: as `arm64_root` returns it.
        work: folder that is /srv there, and the command's.
        command: its words.
        timeout_s: then it is killed.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    done = subprocess.run(
        bound_family("sh", "-ec", ENTER, "sh", str(root), str(work), *command),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        check=False, timeout=timeout_s,
    )  # fmt: skip
    return done.returncode, done.stdout


def arm64_root() -> Path:
    """Return a folder with a bare Debian and a venv of the lock; built when it is not in the cache.

    Takes some ten minutes. The packages of the venv are fetched by this host's pip.

    Raises:
        OSError: this host is no x86-64, has another Python, or runs no foreign programs.
        subprocess.CalledProcessError: something cannot be installed or built.
    """
    if platform.machine() != "x86_64":
        raise OSError(f"found {platform.machine()}, expected x86_64; there `make test` proves it")
    found = f"{sys.version_info.major}.{sys.version_info.minor}"
    if found != PYTHON:
        raise OSError(f"found Python {found}, expected {PYTHON}, as in {SUITE}")
    with build_lock() as building:
        install_on_this_host(*HOST_PACKAGES)
        _let_foreign_programs_run()
        root = cached("arm64", SUITE, PACKAGES, LOCK.read_text())
        if root.is_dir():
            return root
        new, wheels = building / "arm64", building / "work" / "wheels"
        subprocess.run(
            bound_family("mmdebstrap", "--quiet", "--architectures=arm64", "--variant=minbase",
                         f"--include={PACKAGES}", SUITE, str(new)),
            check=True, timeout=1800,
        )  # fmt: skip
        subprocess.run(
            [sys.executable, "-m", "pip", "--quiet", "download", "--no-deps", "--require-hashes",
             "--no-build-isolation", "--dest", str(wheels), "--requirement", str(LOCK),
             "--python-version", PYTHON,
             *(f"--platform=manylinux{age}_aarch64" for age in MANYLINUX)],
            check=True, timeout=900,
        )  # fmt: skip
        shutil.copy(LOCK, wheels)
        (wheels / "tools.lock").write_text(
            _entries(LOCK.read_text(), "packaging", "setuptools", "wheel")
        )
        pip = f"{VENV}/bin/pip --quiet install --no-index --find-links wheels --require-hashes"
        status, said = run_there(
            new, wheels.parent, "sh", "-ec",
            f"python3 -m venv {VENV}; {pip} -r wheels/tools.lock; "
            f"{pip} --no-deps --no-build-isolation -r wheels/{LOCK.name}",
            timeout_s=1800,
        )  # fmt: skip
        if status:
            raise OSError(f"pip install: {said.strip().splitlines()[-1]}")
        new.rename(root)
    return root


def build_wheel(root: Path, folder: Path) -> Path:
    """Compile the package for it and return the manylinux wheel.

    Args:
        root: as `arm64_root` returns it; its headers are used.
        folder: empty, for what is made on the way.
    """
    source = folder / "source"
    shutil.copytree(
        REPOSITORY / "spreadscan", source / "spreadscan",
        ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.c"),
    )  # fmt: skip
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, source)
    compiler = "aarch64-linux-gnu-gcc"
    environment = os.environ | {
        "CC": compiler,
        "LDSHARED": f"{compiler} -shared",
        "CFLAGS": f"-I{root}/usr/include/python{PYTHON} -I{root}/usr/include",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SETUPTOOLS_EXT_SUFFIX": f".cpython-{PYTHON.replace('.', '')}-aarch64-linux-gnu.so",
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
    }
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    subprocess.run(build, check=True, timeout=1800, env=environment, capture_output=True)
    [plain] = folder.glob("*.whl")
    repair = ["auditwheel", "repair", "--wheel-dir", folder / "repaired", plain]
    subprocess.run(repair, check=True, timeout=300, env=environment, capture_output=True)
    [wheel] = (folder / "repaired").glob("*.whl")
    return wheel


def _let_foreign_programs_run() -> None:
    if not (BINFMT / "register").exists():
        subprocess.run(
            ["mount", "-t", "binfmt_misc", "binfmt_misc", BINFMT],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    if not (BINFMT / "qemu-aarch64").exists():
        told = Path("/usr/lib/binfmt.d/qemu-aarch64.conf").read_bytes()
        (BINFMT / "register").write_bytes(told)


def _entries(lock: str, *names: str) -> str:
    """Return the entries of these packages, with the lines of their hashes."""
    kept, is_wanted = [], False
    for line in lock.splitlines(keepends=True):
        if line[0].isalnum():
            is_wanted = line.partition("==")[0] in names
        kept += [line] if is_wanted else []
    return "".join(kept)
