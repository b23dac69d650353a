"""Leg N: a bare Debian becomes the appliance, is broken in every way, and is bare again.

A story in order, over these files and within each: a test begins where the one before ended. The
simulated exchanges run beside the box, in its network; everything else is what a host would have.
"""

import pytest

__all__ = ["STORY"]

STORY = [pytest.mark.deploy, pytest.mark.scenario("box"), pytest.mark.timeout(1500)]
