"""Baselines: what is usual for a route, published, bounded and kept over restarts."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tracker_bench import Bench

from spreadscan.config import load_config
from spreadscan.errors import ConfigError
from spreadscan.model import SlotFlag
from spreadscan.ops.baselines_now import baselines_now
from spreadscan.ops.statistics import Usual
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.record_table import route_index
from spreadscan.shm.regions import attach_regions, create_regions, remove_regions
from spreadscan.tracker.baseline import BASELINE_NAME, Baselines
from spreadscan.tracker.episode import Route
from spreadscan.tracker.legs import LegReader, LivingPipeline
from spreadscan.tracker.windows import SpreadWindows

ROUTES = [Route("d", name, 0, number, 4, 1) for number, name in enumerate("abc")]
OVERRIDES = {
    "tracker.baseline_interval_s": 1.0,
    "tracker.baseline_window_h": 10 / 3600,
    "tracker.baseline_min_samples": 4,
}


@pytest.fixture
def bench(make_config, manual_clock):
    config = load_config(make_config(OVERRIDES))
    create_regions(config.shm)
    regions = attach_regions(config.shm, reads=(), writes=tuple(RegionKind), timeout_s=0)
    subject = Bench(config, regions, manual_clock)
    subject.data_dir.mkdir(parents=True)
    yield subject
    subject.neighbours.close()
    remove_regions(config.shm)


def published(bench, symbol_id=7):
    return bench.regions.baseline.read(route_index(bench.direction.direction_id, symbol_id))


def baselines_of(bench):
    return Baselines(bench, LegReader(bench, LivingPipeline(bench)))


def rounds(bench, baselines, spreads_bps, **more):
    for spread_bps in spreads_bps:
        bench.put_prices(spread_bps=spread_bps, **more)
        for _ in range(5):
            baselines.look()
            bench.clock.advance(0.2)


@given(
    st.lists(
        st.lists(st.floats(-1e4, 1e4, width=32) | st.just(float("nan")), min_size=3, max_size=3),
        min_size=1, max_size=30,
    )
)  # fmt: skip
def test_estimates_are_those_of_the_values_before_the_last_whatever_came(values):
    windows = SpreadWindows(ROUTES, 8)

    for row in values:
        windows.next_round()
        windows.put(0, np.array(row, np.float32))
        # Begun again, as after a reload: the look before in the same round does not count either.
        found = windows.put(0, np.array(row, np.float32))

    before = np.array(values[-8:-1], np.float32).reshape(-1, 3)
    for route in range(3):
        kept = before[np.isfinite(before[:, route]), route]
        assert found.samples[route] == len(kept)
        if len(kept):
            assert found.median_bps[route] == pytest.approx(np.median(kept), abs=1e-2)
            mad = np.median(np.abs(kept - np.median(kept)))
            assert found.mad_bps[route] == pytest.approx(mad, abs=1e-2)


def test_windows_follow_their_routes_by_name():
    windows = SpreadWindows(ROUTES, 4)
    windows.put(0, np.array([1.0, 2.0, 3.0]))

    moved = windows.taken_over([ROUTES[2]._replace(symbol_id=9), Route("d", "new", 0, 8, 4, 1)])

    assert moved.values[:, 0].tolist()[0] == 3.0
    assert np.isnan(moved.values[1]).all()


def test_rounds_in_which_nobody_looked_hold_nothing():
    windows = SpreadWindows(ROUTES[:1], 4)
    for value in (1.0, 2.0, 3.0, 4.0):
        windows.put(0, np.array([value]))
        windows.next_round()

    windows.forget_rounds(2)

    assert windows.values[0][np.isfinite(windows.values[0])].tolist() == [4.0]


def test_usual_spread_is_published_once_there_are_enough_looks(bench):
    baselines = baselines_of(bench)

    rounds(bench, baselines, [10.0, 12.0, 14.0, 12.0])
    early = published(bench)
    rounds(bench, baselines, [300.0, 12.0])
    later = published(bench)

    assert early["samples"] == 0
    assert later["samples"] == 5
    assert later["median_bps"] == pytest.approx(12.0, abs=1e-3)
    assert later["mad_bps"] == pytest.approx(2.0, abs=1e-3)
    assert bench.clock.monotonic_ns() - later["updated_ns"] < 2_000_000_000
    assert published(bench, 8)["samples"] == 0


def test_dislocation_is_not_compared_with_the_look_that_sees_it(bench):
    baselines = baselines_of(bench)
    rounds(bench, baselines, [10.0, 12.0, 14.0, 12.0, 10.0])
    before = published(bench)

    rounds(bench, baselines, [9_000.0])

    after = published(bench)
    assert (before["samples"], after["samples"]) == (4, 5)
    assert after["median_bps"] == pytest.approx(12.0, abs=1e-3)
    assert after["mad_bps"] == pytest.approx(2.0, abs=1e-3)


def test_looks_at_a_leg_that_cannot_be_believed_count_for_nothing(bench):
    baselines = baselines_of(bench)

    rounds(bench, baselines, [10.0] * 4)
    rounds(bench, baselines, [500.0] * 20, flags=SlotFlag.DISCONNECTED)

    assert published(bench)["samples"] == 0


def test_looks_at_a_leg_that_the_engine_calls_frozen_count_for_nothing(bench):
    baselines = baselines_of(bench)
    bench.freeze(bench.direction.spot_source)

    rounds(bench, baselines, [10.0] * 8)

    assert published(bench)["samples"] == 0


def test_window_is_bounded_and_forgets_what_is_older(bench):
    baselines = baselines_of(bench)

    rounds(bench, baselines, [10.0] * 12)
    rounds(bench, baselines, [50.0] * 10)

    assert published(bench)["samples"] == 9
    assert published(bench)["median_bps"] == pytest.approx(50.0, abs=1e-3)


def test_baselines_are_known_again_after_a_restart(bench):
    first = baselines_of(bench)
    rounds(bench, first, [10.0, 11.0, 12.0, 13.0, 14.0])
    first.close(10.0)

    second = baselines_of(bench)
    rounds(bench, second, [12.0, 12.0])

    assert published(bench)["samples"] == 6
    assert published(bench)["median_bps"] == pytest.approx(12.0, abs=1e-3)


def test_what_is_older_than_the_window_is_not_known_after_a_restart(bench):
    first = baselines_of(bench)
    rounds(bench, first, [10.0] * 6)
    first.close(10.0)
    bench.clock.advance(3600)

    rounds(bench, baselines_of(bench), [12.0])

    assert published(bench)["samples"] == 0


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not really", b"x" * 5000])
def test_damaged_file_is_told_and_begun_anew(bench, caplog, content):
    (bench.data_dir / BASELINE_NAME).write_bytes(content)

    baselines = baselines_of(bench)
    rounds(bench, baselines, [10.0] * 6)
    baselines.close(10.0)

    assert "baselines begin anew" in caplog.text
    assert published(bench)["samples"] == 5
    assert (bench.data_dir / BASELINE_NAME).read_bytes() != content


def test_route_that_leaves_the_universe_has_its_baseline_taken_back(bench):
    baselines = baselines_of(bench)
    rounds(bench, baselines, [10.0] * 6)
    before = published(bench)["samples"]
    bench.publish({8: "ETH-USDT"})
    bench.reload()

    baselines.look()

    assert before == 5
    assert published(bench)["samples"] == 0


def test_tracker_keeps_baselines_beside_its_episodes(bench):
    with contextlib.closing(bench.tracker()) as tracker:
        for _ in range(6):
            bench.put_prices(spread_bps=9.0)
            for _ in range(5):
                tracker.step()
                bench.clock.advance(0.2)

    assert published(bench)["median_bps"] == pytest.approx(9.0, abs=1e-3)


def test_operator_sees_what_is_usual_by_name_and_nothing_without_a_pipeline(bench):
    rounds(bench, baselines_of(bench), [10.0, 12.0, 14.0, 12.0, 90.0])

    shown = baselines_now(bench.config)
    remove_regions(bench.config.shm)

    assert shown == {
        (bench.direction.name, "BTC-USDT"): Usual(
            pytest.approx(12.0, abs=1e-3), pytest.approx(1.0, abs=1e-3), 4
        )
    }
    assert baselines_now(bench.config) == {}


@pytest.mark.parametrize("hours", [0.1, 0.5])
def test_window_with_too_few_looks_is_refused(make_config, hours):
    with pytest.raises(ConfigError, match="baseline_window_h"):
        load_config(make_config({"tracker.baseline_window_h": hours}))
