"""What faults do to quotes; no sockets."""

import itertools

import pytest

from spreadscan.sim.faults import Disturbance, Fault

LISTED = [("okx_spot", "BTC-USDT"), ("okx_spot", "ETH-USDT"), ("mexc_spot", "BTCUSDT")]


@pytest.fixture
def disturbed():
    """A disturbance with these faults under way."""

    def build(*faults, seed=1):
        disturbance = Disturbance(LISTED, seed)
        disturbance.change([Fault(at_s=0.0, **fault) for fault in faults])
        return disturbance

    return build


def sent(disturbance, row, frames):
    """All frames that go out instead of these, in order."""
    return [out.frame for frame in frames for out in disturbance.outgoing(row, "", frame)]


def test_a_fault_of_an_exchange_hits_its_sources_and_no_other(disturbed):
    disturbance = disturbed({"kind": "stall", "source": "okx"})

    assert [sent(disturbance, row, ["quote"]) for row in range(3)] == [[], [], ["quote"]]


@pytest.mark.parametrize("kind", ["mute", "unknown", "delist"])
def test_a_muted_symbol_is_silent_and_its_neighbours_speak(disturbed, kind):
    disturbance = disturbed({"kind": kind, "source": "okx_spot", "symbol": "BTC-USDT"})

    assert [sent(disturbance, row, ["quote"]) for row in range(3)] == [[], ["quote"], ["quote"]]


def test_duplicates_follow_their_original(disturbed):
    frames = [str(number) for number in range(1000)]

    out = sent(disturbed({"kind": "duplicate", "share": 0.2}), 0, frames)

    assert 150 < len(out) - len(frames) < 250
    assert [int(frame) for frame in out] == sorted(int(frame) for frame in out)
    assert sorted(set(map(int, out))) == list(range(1000))


def test_a_reordered_quote_comes_right_after_the_next_one(disturbed):
    frames = [str(number) for number in range(1000)]

    out = [int(frame) for frame in sent(disturbed({"kind": "reorder", "share": 0.3}), 0, frames)]

    swaps = sum(before > after for before, after in itertools.pairwise(out))
    assert swaps > 100
    assert max(abs(found - place) for place, found in enumerate(out)) <= 1
    assert len(out) >= 999, "no more than the last one is held back"


def test_each_symbol_is_reordered_by_itself(disturbed):
    disturbance = disturbed({"kind": "reorder", "share": 1.0})

    assert sent(disturbance, 0, ["a"]) == []
    assert sent(disturbance, 1, ["x"]) == []
    assert sent(disturbance, 0, ["b"]) == ["b", "a"]
    assert sent(disturbance, 1, ["y"]) == ["y", "x"]


def test_delays_add_up(disturbed):
    fault = {"kind": "delay", "delay_ms": 250.0}

    assert disturbed(fault, fault).outgoing(0, "", "quote") == [(0.5, "quote")]


@pytest.mark.parametrize("frame", ['{"a":1,"b":[2]}', bytes(range(40))])
def test_garbage_comes_before_the_quote_and_is_never_that_quote(disturbed, frame):
    disturbance = disturbed({"kind": "garbage", "share": 1.0})

    pairs = [disturbance.outgoing(0, "", frame) for _ in range(500)]

    assert all(len(pair) == 2 and pair[1].frame == frame for pair in pairs)
    assert all(pair[0].frame != frame for pair in pairs)
    assert len({pair[0].frame for pair in pairs}) > 200
    assert {type(pair[0].frame) for pair in pairs} == {str, bytes}


def test_the_same_seed_disturbs_in_the_same_way(disturbed):
    frames = ["quote"] * 200
    faults = ({"kind": "garbage", "share": 0.5}, {"kind": "duplicate", "share": 0.5})

    first, second, other = (sent(disturbed(*faults, seed=seed), 0, frames) for seed in (3, 3, 4))

    assert first == second != other


def test_a_fault_that_is_over_leaves_nothing_behind(disturbed):
    disturbance = disturbed({"kind": "reorder", "share": 1.0}, {"kind": "skew", "skew_ms": -400})
    assert sent(disturbance, 0, ["old"]) == []
    assert disturbance.skew_ms == [-400] * 3

    disturbance.change([])

    assert disturbance.skew_ms == [0] * 3
    assert not disturbance.touches(0)
    assert sent(disturbance, 0, ["new"]) == ["new"]
