"""Every symbol is on exactly one connection, and no connection holds too many."""

import json
import random

from hypothesis import given
from hypothesis import strategies as st

from spreadscan.manners.shards import batches, expected_rates, plan_shards


def legs_of(ids):
    return [(f"COIN{symbol_id}USDT", symbol_id) for symbol_id in ids]


@given(st.sets(st.integers(0, 1023), max_size=400), st.integers(1, 500))
def test_every_leg_is_in_exactly_one_shard_within_the_limit(ids, limit):
    legs = legs_of(ids)

    shards = plan_shards(legs, limit)

    assert sorted(leg for shard in shards for leg in shard) == sorted(legs)
    assert len(shards) == -(-len(legs) // limit)
    sizes = {len(shard) for shard in shards}
    assert max(sizes, default=0) <= limit
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert 0 not in sizes


@given(st.sets(st.integers(0, 1023), min_size=1), st.integers(1, 100), st.integers(0, 999))
def test_plan_does_not_depend_on_the_order_of_the_legs(ids, limit, seed):
    legs = legs_of(ids)
    shuffled = random.Random(seed).sample(legs, len(legs))

    assert plan_shards(shuffled, limit) == plan_shards(legs, limit)


@given(st.sets(st.integers(0, 1023), max_size=400), st.integers(1, 300), st.integers(40, 21_000))
def test_no_shard_holds_more_bytes_of_topics_than_the_limit(ids, limit, limit_bytes):
    legs = legs_of(ids)

    shards = plan_shards(legs, limit, "orderbook.1.{}".format, limit_bytes)

    assert sorted(leg for shard in shards for leg in shard) == sorted(legs)
    for shard in shards:
        texts = [f"orderbook.1.{symbol}" for symbol, _ in shard]
        assert len(shard) <= limit
        assert len(json.dumps(texts, separators=(",", ":"))) - 2 <= limit_bytes
    assert max(map(len, shards), default=0) - min(map(len, shards), default=0) <= 1


def test_limit_of_bytes_that_all_fit_changes_nothing():
    legs = legs_of(range(300))

    assert plan_shards(legs, 300, str, 21_000) == plan_shards(legs, 300)


def test_topic_longer_than_the_limit_has_a_connection_of_its_own():
    assert [len(shard) for shard in plan_shards(legs_of(range(4)), 100, str, 5)] == [1, 1, 1, 1]


def test_liquid_symbols_are_dealt_to_different_connections():
    shards = plan_shards(legs_of(range(9)), 3)

    assert [shard[0][1] for shard in shards] == [0, 1, 2]


@given(st.dictionaries(st.integers(0, 300), st.floats(0, 1000), min_size=1), st.integers(1, 40))
def test_load_is_balanced_as_far_as_the_busiest_leg_and_the_limit_allow(rates_by_id, limit):
    legs = legs_of(rates_by_id)
    rates = {symbol: rates_by_id[symbol_id] for symbol, symbol_id in legs}

    shards = plan_shards(legs, limit, rates=rates)

    assert sorted(leg for shard in shards for leg in shard) == sorted(legs)
    assert len(shards) == -(-len(legs) // limit)
    loads = [(sum(rates[symbol] for symbol, _ in shard), len(shard)) for shard in shards]
    roomy = [load for load, size in loads if size < limit]
    lightest = min(roomy, default=float("inf"))
    assert max(load for load, _ in loads) <= lightest + max(rates.values()) + 1e-6


def test_leg_without_a_rate_counts_as_a_usual_one():
    legs = legs_of(range(4))

    shards = plan_shards(legs, 3, rates={"COIN0USDT": 9.0, "COIN1USDT": 1.0})

    assert [[symbol_id for _, symbol_id in shard] for shard in shards] == [[0, 1], [2, 3]]


def test_source_without_symbols_needs_no_connection():
    assert plan_shards([], 100) == []


@given(st.lists(st.integers()), st.integers(1, 30))
def test_batches_keep_order_and_size(items, size):
    found = list(batches(items, size))

    assert [item for batch in found for item in batch] == items
    assert all(len(batch) == size for batch in found[:-1])
    assert all(0 < len(batch) <= size for batch in found)


@given(st.lists(st.integers(1, 50), min_size=1), st.integers(1, 30), st.integers(60, 200))
def test_batches_that_do_not_fit_are_halved_until_they_do(items, size, most):
    found = list(batches(items, size, lambda batch: sum(batch) <= most))

    assert [item for batch in found for item in batch] == items
    assert all(len(batch) <= size and sum(batch) <= most for batch in found)


def test_single_item_that_does_not_fit_is_a_batch_of_its_own():
    assert list(batches([1, 99, 2], 3, lambda batch: sum(batch) < 10)) == [[1], [99], [2]]


def test_busier_coins_are_expected_to_quote_more_often_but_not_in_proportion():
    rates = expected_rates({"BTC": 1e10, "COIN": 1e6, "DEAD": 0.0})

    assert rates["BTC"] / rates["COIN"] == 100.0
    assert rates["DEAD"] == 1.0


def test_busy_coins_are_spread_over_connections():
    legs = [(f"S{number}", number) for number in range(40)]
    rates = expected_rates({symbol: 10.0 ** (10 - number / 5) for symbol, number in legs})

    shards = plan_shards(legs, 10, rates=rates)

    loads = sorted(sum(rates[symbol] for symbol, _ in shard) for shard in shards)
    assert loads[-1] <= 1.5 * loads[0]
    assert all(len(shard) <= 10 for shard in shards)
    assert plan_shards(legs, 10, rates=rates) == shards
