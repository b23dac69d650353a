"""Scenario files: what they may hold, and one clear line for what they may not."""

import pytest

from spreadscan.errors import ConfigError
from spreadscan.sim.faults import Fault
from spreadscan.sim.scenario import load_scenario
from spreadscan.sim.universe import Coin
from spreadscan.sim.world import Ticker

COIN = """
[[coin]]
name = "NEIROETH"
price_usd = 0.062
contract_coins = 10.0
[coin.listed]
bybit_spot = "NEIRO"
bybit_futures = { base = "1000NEIRO", coins = 1000 }
mexc_futures = { base = "NEIRO", base_name = "NEIROETH" }
"""


@pytest.fixture
def load(tmp_path):
    def read(text):
        file = tmp_path / "scenario.toml"
        file.write_text(text)
        return load_scenario(file, ("okx", "bybit", "mexc"), 12)

    return read


@pytest.fixture
def refused(load):
    """Load what must be refused and return (key, found, expected)."""

    def read(text):
        with pytest.raises(ConfigError) as refusal:
            load(text)
        error = refusal.value
        assert error.file.endswith("scenario.toml")
        assert "\n" not in str(error)
        return error.key, error.found, error.expected

    return read


def test_a_scenario_is_a_list_of_fault_tables(load):
    faults = load("""
        [[fault]]
        at_s = 1.5
        kind = "mute"
        source = "okx_spot"
        symbol = "BTC-USDT"
        for_s = 3

        [[fault]]
        at_s = 2
        kind = "429"
        source = "mexc"
    """).fault

    assert faults == (
        Fault(at_s=1.5, kind="mute", source="okx_spot", symbol="BTC-USDT", for_s=3.0),
        Fault(at_s=2.0, kind="429", source="mexc"),
    )
    assert (faults[0].end_s(), faults[1].end_s()) == (4.5, float("inf"))


def test_a_scenario_adds_coins_and_says_what_each_source_calls_them(load):
    (coin,) = load(COIN).coin

    assert coin.coin() == Coin("NEIROETH", 0.062, 10.0)
    assert coin.ticker("bybit_spot") == Ticker(base="NEIRO")
    assert coin.ticker("bybit_futures") == Ticker(base="1000NEIRO", coins=1000)
    assert coin.ticker("mexc_futures") == Ticker(base="NEIRO", base_name="NEIROETH")
    assert coin.ticker("okx_spot") is None


def test_a_contract_is_worth_some_dollars_when_nothing_is_said(load):
    (coin,) = load(COIN.replace("contract_coins = 10.0", "")).coin

    assert 1 <= coin.coin().contract_coins * coin.price_usd <= 100


def test_two_coins_may_share_a_ticker_at_different_sources(load):
    other = '[[coin]]\nname = "NEIRO"\nprice_usd = 0.001\nlisted = { okx_spot = "NEIRO" }'

    assert [coin.name for coin in load(COIN + other).coin] == ["NEIROETH", "NEIRO"]


def test_faults_may_be_about_added_coins(load):
    fault = '[[fault]]\nat_s = 0\nkind = "unknown"\nsource = "bybit"\nsymbol = "1000NEIROUSDT"'

    assert load(COIN + fault).fault[0].symbol == "1000NEIROUSDT"
    with pytest.raises(ConfigError, match=r"fault\[0\]\.symbol"):
        load(fault)


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ('[[fault]]\nat_s = 1\nkind = "flood"', "fault[0].kind", "'flood'"),
        ('[[fault]]\nkind = "drop"', "fault[0].at_s", "nothing"),
        ('[[fault]]\nat_s = -1\nkind = "drop"', "fault[0].at_s", "-1"),
        ('[[fault]]\nat_s = nan\nkind = "drop"', "fault[0].at_s", "nan"),
        ('[[fault]]\nat_s = 1\nkind = "drop"\nfor = 3', "fault[0].for", "an unknown key"),
        (
            '[[fault]]\nat_s = 1\nkind = "html"\nanswers = "some"',
            "fault[0].answers",
            "'some'",
        ),
        (
            '[[fault]]\nat_s = 1\nkind = "drop"\nsource = "kraken"',
            "fault[0].source",
            "'kraken'",
        ),
        ('[[fault]]\nat_s = 1\nkind = "mute"\nsource = "okx"', "fault[0].symbol", "none"),
        ('[[fault]]\nat_s = 1\nkind = "unknown"\nsource = "okx"', "fault[0].symbol", "none"),
        (
            '[[fault]]\nat_s = 1\nkind = "stall"\nsymbol = "NOPE"',
            "fault[0].symbol",
            "'NOPE'",
        ),
        ("[[faults]]\nat_s = 1", "faults", "an unknown key"),
        ("fault = [1]", "fault[0]", "1"),
    ],
)
def test_a_wrong_fault_is_refused_by_key_and_value(refused, text, key, found):
    assert refused(text)[:2] == (key, found)


@pytest.mark.parametrize(
    ("old", "new", "key", "found"),
    [
        ("0.062", "0", "coin[0].price_usd", "0"),
        ("0.062", "-0.5", "coin[0].price_usd", "-0.5"),
        ("0.062", "inf", "coin[0].price_usd", "inf"),
        ("0.062", '"cheap"', "coin[0].price_usd", "'cheap'"),
        ("0.062", "1e-9", "coin[0].listed.bybit_spot", "a price of 1e-09"),
        ("price_usd = 0.062", "", "coin[0].price_usd", "nothing"),
        ("= 10.0", "= 0", "coin[0].contract_coins", "0"),
        ("contract_coins", "contract", "coin[0].contract", "an unknown key"),
        ("bybit_spot", "kraken_spot", "coin[0].listed.kraken_spot", "no such source"),
        ("bybit_spot", "binance_spot", "coin[0].listed.binance_spot", "no such source"),
        ("bybit_spot", "bybit", "coin[0].listed.bybit", "no such source"),
        ('spot = "NEIRO"', 'spot = "BTC"', "coin[0].listed.bybit_spot", "'BTC'"),
        ('spot = "NEIRO"', 'spot = "neiro"', "coin[0].listed.bybit_spot", "'neiro'"),
        ('spot = "NEIRO"', 'spot = ""', "coin[0].listed.bybit_spot", "''"),
        ('spot = "NEIRO"', "spot = 3", "coin[0].listed.bybit_spot", "3"),
        ("coins = 1000", "coins = 0", "coin[0].listed.bybit_futures.coins", "0"),
        ("coins = 1000", "coin = 5", "coin[0].listed.bybit_futures.coin", "an unknown key"),
        ('name = "NEIROETH"\np', 'name = "BTC"\np', "coin[0].name", "'BTC'"),
        (COIN[COIN.index("bybit_spot") :], "", "coin[0].listed", "{}"),
    ],
)
def test_a_wrong_coin_is_refused_by_key_and_value(refused, old, new, key, found):
    text = COIN.replace(old, new, 1)
    assert text != COIN

    assert refused(text)[:2] == (key, found)


def test_an_unknown_source_is_answered_with_those_that_there_are(refused):
    expected = refused(COIN.replace("bybit_spot", "kraken_spot"))[2]

    assert "bybit_spot" in expected
    assert "mexc_futures" in expected
    assert "binance" not in expected, "it is not simulated here"


def test_the_second_coin_with_a_ticker_at_one_source_is_refused(refused):
    other = '[[coin]]\nname = "NEIRO"\nprice_usd = 0.001\nlisted = { mexc_futures = "NEIRO" }'

    key, found, expected = refused(COIN + other)

    assert (key, found) == ("coin[1].listed.mexc_futures", "'NEIRO'")
    assert "NEIROETH" in expected


@pytest.mark.parametrize("text", ["[[fault", 'name = "\x00"'])
def test_what_is_no_toml_is_refused(refused, text):
    assert refused(text)[2] == "TOML"


def test_a_scenario_that_is_absent_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        load_scenario(tmp_path / "absent.toml", ("okx",), 12)
