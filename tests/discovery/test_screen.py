"""Which rows take part, each exclusion counted by its reason."""

import pytest
from listing_cases import perpetual, spot

from spreadscan.config import ListingWord
from spreadscan.discovery.screen import screen
from spreadscan.exchanges import source_named
from spreadscan.model import ContractKind

FUTURES, SPOT = source_named("okx_futures"), source_named("okx_spot")
NOW_MS = 1_790_000_000_000


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
        ({"delisting_ms": NOW_MS - 1}, "delisting"),
        *(
            ({"kind": kind}, f"kind_{kind.value}")
            for kind in ContractKind
            if kind is not ContractKind.LINEAR_PERPETUAL
        ),
    ],
)
def test_row_that_takes_no_part_is_counted_by_its_reason(changes, reason):
    odd = perpetual(**({"exchange_symbol": "ODD"} | changes))

    screened = screen([perpetual(), odd], FUTURES, {}, NOW_MS)

    assert screened.excluded == {reason: 1}
    assert screened.reasons == {odd.exchange_symbol: reason}
    assert [row.exchange_symbol for row in screened.rows] == ["BTCUSDT"]
    assert screened.listed_count == 2


def test_spot_needs_no_settlement():
    assert len(screen([spot()], SPOT, {}, NOW_MS).rows) == 1


def test_delisting_beyond_the_notice_takes_part():
    assert len(screen([perpetual(delisting_ms=NOW_MS)], FUTURES, {}, NOW_MS).rows) == 1


@pytest.mark.parametrize(("verdict", "kept"), [("reject", 0), ("accept", 1)])
def test_operator_rejects_a_listing_by_name(verdict, kept):
    word = ListingWord(source="okx_futures", symbol="BTCUSDT", verdict=verdict, reason="halted")

    screened = screen([perpetual()], FUTURES, {"BTCUSDT": word}, NOW_MS)

    assert len(screened.rows) == kept
    assert screened.excluded == ({} if kept else {"rejected": 1})


def test_row_that_could_not_take_part_anyway_is_counted_by_that():
    word = ListingWord(source="okx_futures", symbol="BTCUSDT", verdict="reject", reason="halted")

    screened = screen([perpetual(is_trading=False)], FUTURES, {"BTCUSDT": word}, NOW_MS)

    assert screened.excluded == {"not_trading": 1}


def test_row_that_cannot_be_read_is_counted_and_named():
    screened = screen([perpetual(), perpetual("X", defect="found 'abc'")], FUTURES, {}, NOW_MS)

    assert screened.excluded == {"defective": 1}
    assert screened.defects == {"XUSDT": "found 'abc'"}
