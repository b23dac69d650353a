"""Waiting for a condition, and programs of a few lines to supervise."""

import sys
import time

import pytest

from spreadscan.ops.pipeline import Part
from spreadscan.ops.reconcile import Desired

DEADLINE_S = 15.0


@pytest.fixture
def eventually():
    """Step until a condition holds; fail when it does not within the deadline."""

    def wait(condition, step=lambda: None):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, "the condition never held"
            step()
            time.sleep(0.005)

    return wait


@pytest.fixture
def program():
    """Make a part out of Python text; it is ready when it prints ``ready``."""

    def make(name, text, **desired):
        is_oneshot = desired.get("is_oneshot", False)
        return Part(
            desired=Desired(name=name, **desired),
            command=(sys.executable, "-c", text),
            ready_line=None if is_oneshot else "ready",
        )

    return make
