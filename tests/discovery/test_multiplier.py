"""A scaled name is a known coin in thousands only when the listings say so."""

import pytest

from spreadscan.discovery.multiplier import split_multiplier


@pytest.mark.parametrize(
    ("base", "coin", "factor"),
    [
        ("1000PEPE", "PEPE", 1000.0),
        ("10000SATS", "SATS", 10_000.0),
        ("1000000MOG", "MOG", 1_000_000.0),
        ("1MBABYDOGE", "BABYDOGE", 1_000_000.0),
        ("SHIB1000", "SHIB", 1000.0),
        ("1000X", "X", 1000.0),
        ("1000币安", "币安", 1000.0),
    ],
)
def test_factor_is_taken_off_a_coin_that_is_listed_on_spot(base, coin, factor):
    assert split_multiplier(base, {coin, "BTC"}) == (coin, factor)
    assert split_multiplier(base, {"BTC"}) == (base, 1.0)


def test_scaled_name_that_is_itself_on_spot_stays():
    assert split_multiplier("1000CAT", {"CAT", "1000CAT"}) == ("1000CAT", 1.0)


@pytest.mark.parametrize("base", ["1INCH", "100X", "1000", "2000PEPE", "MPEPE", "10000000PEPE", ""])
def test_other_names_stay_even_when_their_end_is_a_coin(base):
    bases = {"INCH", "X", "PEPE", "0PEPE", "00X", ""}

    assert split_multiplier(base, bases) == (base, 1.0)
