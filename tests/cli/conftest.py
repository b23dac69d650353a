"""What the tests of the operator's tool stand on."""

import pytest
from ctl_cases import Site


@pytest.fixture
def site(make_config):
    """A configuration of the test's own, its regions, and a universe of two coins."""
    site = Site(make_config({}), make_config)
    site.publish(1, "A", "B")
    yield site
    site.close()
