"""Another configuration under running programs: thresholds and limits count without a restart."""

import pytest
from program_cases import Programs, until, write_small_universe

from spreadscan.runtime.in_force import config_in_force
from spreadscan.shm.control import ControlWriter
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.regions import attach_regions, create_regions

ENGINE, TRACKER = "spread-engine", "spread-tracker"


@pytest.fixture
def programs(make_config):
    programs = Programs(make_config({}))
    write_small_universe(programs.config)
    create_regions(programs.config.shm)
    yield programs
    programs.close()


@pytest.fixture
def operator(programs):
    regions = attach_regions(
        programs.config.shm, reads=(), writes=[RegionKind.CONTROL], timeout_s=0
    )
    return ControlWriter(regions.control)


def in_force(programs, name):
    return config_in_force(programs.config.path(programs.config.runtime.run_dir), name)


def reload(programs, operator, name):
    generation = operator.ask_for_reload()
    until(lambda: programs.slot(name).obeyed_generation == generation, "obedience")


@pytest.mark.parametrize("name", [ENGINE, TRACKER])
def test_program_says_what_it_goes_by_and_forgets_it_when_it_ends(programs, name):
    process = programs.start(name)
    until(lambda: programs.slot(name).universe_generation, "the loop")

    assert in_force(programs, name) == programs.config
    programs.finish(process)
    assert in_force(programs, name) is None


def test_engine_takes_over_thresholds_wait_mode_and_log_level(programs, operator, make_config):
    process = programs.start(ENGINE)
    until(lambda: programs.slot(ENGINE).universe_generation, "the loop")
    make_config({"engine.wait": "eventfd", "engine.open_net_bps": 40.0, "feed.retry_cap_s": 7.0,
                 "runtime.log_level": "error"})  # fmt: skip

    reload(programs, operator, ENGINE)
    found = in_force(programs, ENGINE)
    _, errors, _ = programs.finish(process)

    assert programs.config.engine.open_net_bps == 5.0
    assert (found.engine.wait, found.engine.open_net_bps) == ("eventfd", 40.0)
    assert found.feed == programs.config.feed
    assert "universe 1 loaded" not in errors


def test_configuration_that_cannot_be_used_is_kept_out_until_it_is_mended(
    programs, operator, make_config
):
    process = programs.start(TRACKER)
    until(lambda: programs.slot(TRACKER).universe_generation, "the loop")
    make_config({"tracker.max_life_s": -1.0})

    operator.ask_for_reload()
    until(lambda: programs.slot(TRACKER).status.startswith("configuration kept: "), "the refusal")
    refused, kept = programs.slot(TRACKER), in_force(programs, TRACKER)
    make_config({"tracker.max_life_s": 30.0})
    reload(programs, operator, TRACKER)
    mended, status = in_force(programs, TRACKER), programs.slot(TRACKER).status
    _, errors, _ = programs.finish(process)

    assert "tracker.max_life_s" in errors
    assert (refused.obeyed_generation, kept) == (0, programs.config)
    assert mended.tracker.max_life_s == 30.0
    assert not status.startswith("configuration")
