"""Lists of cores, as the kernel writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spreadscan.core_list import format_cores, parse_cores


@pytest.mark.parametrize(
    ("text", "cores"),
    [("", ()), ("3", (3,)), ("0-2,7", (0, 1, 2, 7)), ("5,1-2,2", (1, 2, 5))],
)
def test_list_is_read(text, cores):
    assert parse_cores(text) == cores


@pytest.mark.parametrize("text", [",", "1-", "-1", "2-1", "a", "0-99999999", "1 2"])
def test_what_is_no_list_is_refused(text):
    with pytest.raises(ValueError, match="is no core and no range"):
        parse_cores(text)


@given(st.sets(st.integers(0, 200)))
def test_written_list_is_read_back(cores):
    assert parse_cores(format_cores(tuple(cores))) == tuple(sorted(cores))
