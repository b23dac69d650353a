"""A tracker's surroundings on real regions."""

import pytest
from tracker_bench import Bench

from spreadscan.config import load_config
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions, create_regions, remove_regions


@pytest.fixture
def bench(make_config, manual_clock):
    config = load_config(make_config({"tracker.max_life_s": 60.0}))
    create_regions(config.shm)
    regions = attach_regions(config.shm, reads=(), writes=tuple(RegionKind), timeout_s=0)
    subject = Bench(config, regions, manual_clock)
    yield subject
    subject.neighbours.close()
    remove_regions(config.shm)
