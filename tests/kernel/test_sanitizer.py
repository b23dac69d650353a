"""The kernel's readers of frames under AddressSanitizer and UndefinedBehaviorSanitizer."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUITE = (
    "tests/kernel/test_extract.py",
    "tests/kernel/test_extract_properties.py",
    "tests/kernel/test_frame_parsers.py",
    "tests/kernel/test_frame_reader.py",
    "tests/kernel/test_listener.py",
    "tests/kernel/test_protobuf.py",
    "tests/exchanges/test_fuzz.py",
)
# What reads bytes that somebody else has sent; in between lies memory of picows.
MODULES = ("extract", "frame_reader", "listener")
FLAGS = (
    "-O1", "-g", "-std=gnu11", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all", "-shared", "-fPIC",
)  # fmt: skip


def runtime_library():
    """Path of gcc's libasan, which must be loaded before Python itself."""
    found = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not Path(found).is_absolute():
        pytest.skip("gcc comes without libasan here")
    return found


def sanitized_copy(folder):
    """A copy of the package whose MODULES are built with sanitizers."""
    package = folder / "spreadscan"
    shutil.copytree(
        ROOT / "spreadscan", package,
        ignore=shutil.ignore_patterns("__pycache__", *(f"{name}.*.so" for name in MODULES)),
    )  # fmt: skip
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "config", folder / "config")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    includes = (f"-I{package / 'kernel'}", f"-I{sysconfig.get_paths()['include']}")
    for name in MODULES:
        source, target = folder / f"{name}.c", package / "kernel" / f"{name}{suffix}"
        subprocess.run(
            [sys.executable, "-m", "cython", "-3", package / f"kernel/{name}.pyx", "-o", source],
            check=True, cwd=folder,
        )  # fmt: skip
        subprocess.run(["gcc", *FLAGS, *includes, source, "-o", target], check=True)
    return folder


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc on this machine")
def test_fuzz_suite_passes_under_the_sanitizers(tmp_path):
    folder = sanitized_copy(tmp_path)
    environment = os.environ | {
        "LD_PRELOAD": runtime_library(),
        # Python itself keeps some memory for ever; its allocator would hide ends of objects.
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(folder),
    }

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-qs", "-p", "no:cacheprovider", "--timeout=1800", *SUITE],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-4_000:]
    assert " passed" in done.stdout
