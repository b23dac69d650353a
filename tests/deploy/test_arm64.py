"""Leg A: the other architecture. The wheel is built for arm64, and the kernel passes its own tests
there. Emulated: nothing here is about speed, nor about the order of memory accesses.
"""

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from arm64 import arm64_root, build_wheel, run_there

pytestmark = [pytest.mark.deploy, pytest.mark.scenario("arm64"), pytest.mark.timeout(5400)]

REPOSITORY = Path(__file__).parents[2]
# One rounding for a product and a sum, where the kernel's formulas have two.
FUSED = re.compile(r"\tf(?:n?m(?:add|sub)|ml[as])\t")


@pytest.fixture(scope="module")
def root():
    return arm64_root()


@pytest.fixture(scope="module")
def wheel(root, workshop):
    return build_wheel(root, workshop / "build")


@pytest.fixture(scope="module")
def installed(root, workshop, wheel):
    """The tests beside the installed wheel; the package's source is not there."""
    there = workshop / "there"
    for name in ("tests", "config", "docs"):
        shutil.copytree(
            REPOSITORY / name, there / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(REPOSITORY / "pyproject.toml", there)
    shutil.copy(wheel, there)
    status, said = run_there(
        root, there, "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", "site",
        wheel.name, timeout_s=600,
    )  # fmt: skip
    assert status == 0, said
    return there


def test_wheel_is_for_every_usual_arm64(wheel):
    assert wheel.name.endswith("manylinux_2_17_aarch64.whl")


def test_no_module_rounds_a_product_and_a_sum_at_once(wheel, workshop):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(workshop / "unpacked")
    modules = list((workshop / "unpacked").rglob("*.so"))

    assert len(modules) == len(list((REPOSITORY / "spreadscan/kernel").glob("*.pyx")))
    for module in modules:
        code = subprocess.run(
            ["aarch64-linux-gnu-objdump", "-d", module], capture_output=True, text=True, check=True
        ).stdout
        assert "\tret\n" in code
        assert not FUSED.search(code), module.name


@pytest.mark.parametrize("suite", ["kernel"])
def test_kernel_passes_its_tests_there(root, installed, suite):
    status, said = run_there(
        root, installed, "python", "-m", "pytest", "-q", "-p", "no:cacheprovider",
        "--timeout=900", f"tests/{suite}", timeout_s=5000,
    )  # fmt: skip

    assert status == 0, said[-5000:]
