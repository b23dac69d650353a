"""Regions of a test's own, attached by name like any process does."""

from functools import partial

import pytest
from reads_by_hand import run_by_hand

from spreadscan.config import load_config
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions, create_regions


@pytest.fixture
def shm(make_config):
    return load_config(make_config({"shm.attach_timeout_s": 0.0})).shm


@pytest.fixture
def regions(shm):
    create_regions(shm)
    return attach_regions(shm, reads=(), writes=RegionKind, timeout_s=0)


@pytest.fixture
def by_hand(regions):
    """Run a scenario with connections on these regions whose reads are made by hand."""
    return partial(run_by_hand, regions)
