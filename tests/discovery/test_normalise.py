"""Which rows take part, and in which units."""

import pytest

from spreadscan.discovery.normalise import normalise, spot_bases_of
from spreadscan.model import ContractKind, Market, RawInstrument


def perpetual(base="BTC", **changes):
    fields = {
        "exchange_symbol": f"{base}USDT",
        "base": base,
        "quote": "USDT",
        "settle": "USDT",
        "kind": ContractKind.LINEAR_PERPETUAL,
        "status": "TRADING",
        "is_trading": True,
        "tick_size": 0.5,
        "qty_step": 2.0,
        "min_qty": 4.0,
        "min_notional": 5.0,
    }
    return RawInstrument(**(fields | changes))


def spot(base="BTC", **changes):
    return perpetual(base, **({"kind": ContractKind.SPOT, "settle": ""} | changes))


def test_contract_sizes_and_multipliers_become_single_coins():
    rows = [perpetual("1000PEPE"), perpetual("BTC", contract_size=0.01)]

    legs = normalise(rows, Market.FUTURES, {"PEPE", "BTC"})

    pepe, btc = legs.by_name["PEPE-USDT"], legs.by_name["BTC-USDT"]
    assert (pepe.price_multiplier, pepe.contract_size) == (1000.0, 1.0)
    assert (pepe.tick_size, pepe.qty_step, pepe.min_qty) == (0.0005, 2000.0, 4000.0)
    assert (btc.price_multiplier, btc.contract_size) == (1.0, 0.01)
    assert (btc.tick_size, btc.qty_step, btc.min_qty) == (0.5, 0.02, 0.04)
    assert (pepe.min_notional, btc.min_notional) == (5.0, 5.0)
    assert legs.scaled == ("PEPE-USDT",)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"quote": "USDC"}, "other_quote"),
        ({"settle": "USDC"}, "other_settlement"),
        ({"is_trading": False}, "not_trading"),
        ({"base": ""}, "no_base"),
        ({"contract_size": 0.0}, "no_contract_size"),
        ({"contract_size": float("nan")}, "no_contract_size"),
        ({"exchange_symbol": "A" * 49}, "name_too_long"),
        ({"exchange_symbol": "币" * 17}, "name_too_long"),
        *(
            ({"kind": kind}, f"kind_{kind.value}")
            for kind in ContractKind
            if kind is not ContractKind.LINEAR_PERPETUAL
        ),
    ],
)
def test_row_that_takes_no_part_is_counted_by_its_reason(changes, reason):
    legs = normalise([perpetual(), perpetual(**changes)], Market.FUTURES, {"BTC"})

    assert legs.excluded == {reason: 1}
    assert (set(legs.by_name), legs.listed_count) == ({"BTC-USDT"}, 2)


def test_spot_needs_no_settlement():
    assert set(normalise([spot()], Market.SPOT, {"BTC"}).by_name) == {"BTC-USDT"}


@pytest.mark.parametrize("turn", [1, -1])
def test_plain_name_wins_over_a_scaled_one_in_either_order(turn):
    rows = [perpetual("1000PEPE"), perpetual("PEPE")][::turn]

    legs = normalise(rows, Market.FUTURES, {"PEPE"})

    assert legs.by_name["PEPE-USDT"].exchange_symbol == "PEPEUSDT"
    assert legs.excluded == {"duplicate": 1}
    assert legs.scaled == ()


def test_every_spot_base_counts_whatever_its_quote_and_state():
    rows = [spot("A", quote="EUR"), spot("B", is_trading=False), perpetual("C"), spot("")]

    assert spot_bases_of([rows, [spot("D")]]) == {"A", "B", "D"}
