"""The control block: values first, generation last."""

import multiprocessing
import time

import pytest

from spreadscan.shm.control import ControlReader, ControlState, ControlWriter
from spreadscan.shm.layout import Control, RegionKind
from spreadscan.shm.regions import attach_regions

SPAWN = multiprocessing.get_context("spawn")
COMMANDS = 250_000


def test_new_block_asks_for_nothing(regions):
    assert ControlReader(regions.control).state() == ControlState(
        generation=0,
        shutdown_waves=0,
        is_killed=False,
        is_paused=False,
        paused_sources=0,
        paused_directions=0,
        config_generation=0,
    )


def test_each_command_raises_the_generation_and_keeps_what_it_does_not_name(regions):
    writer, reader = ControlWriter(regions.control), ControlReader(regions.control)

    numbers = [
        writer.command(PAUSE_ALL=1),
        writer.command(PAUSED_SOURCES=0b101, PAUSED_DIRECTIONS=2**63),
        writer.command(PAUSE_ALL=0, KILL=1, SHUTDOWN=1, CONFIG_GENERATION=9),
    ]

    assert numbers == [1, 2, 3]
    assert reader.generation() == 3
    assert reader.state() == ControlState(
        generation=3,
        shutdown_waves=1,
        is_killed=True,
        kills=1,
        is_paused=False,
        paused_sources=0b101,
        paused_directions=2**63,
        config_generation=9,
    )


def test_each_kill_is_counted_once_however_often_it_is_said(regions):
    writer = ControlWriter(regions.control)
    counts = []
    for kill in (1, 1, 0, 0, 1):
        writer.command(KILL=kill)
        counts.append(regions.control.mapping.load_word(Control.KILLS))

    assert counts == [1, 1, 1, 1, 2]


def test_word_that_does_not_exist_is_refused_and_nothing_is_asked(regions):
    with pytest.raises(AttributeError):
        ControlWriter(regions.control).command(PAUSE_EVERYBODY=1)

    assert ControlReader(regions.control).generation() == 0


def command_often(shm):
    """Body of the operator's process: three words and the generation, all of one number."""
    regions = attach_regions(shm, reads=(), writes=[RegionKind.CONTROL], timeout_s=0)
    writer = ControlWriter(regions.control)
    for number in range(1, COMMANDS + 1):
        writer.command(CONFIG_GENERATION=number, PAUSED_DIRECTIONS=number, PAUSED_SOURCES=number)


def test_a_million_stores_never_show_a_generation_before_its_values(shm, regions):
    reader = ControlReader(
        attach_regions(shm, reads=[RegionKind.CONTROL], writes=(), timeout_s=0).control
    )
    operator = SPAWN.Process(target=command_often, args=(shm,))
    operator.start()
    seen = set()

    deadline_s = time.monotonic() + 60
    last = 0
    while last < COMMANDS:
        generation = reader.generation()
        state = reader.state()
        # Values may already be those of a later command, never those of an earlier one.
        values = (state.config_generation, state.paused_directions, state.paused_sources)
        assert min(values) >= generation >= last
        last = generation
        seen.add(generation)
        assert time.monotonic() < deadline_s
    operator.join(30)

    assert operator.exitcode == 0
    # Enough to have raced at all; how often the two met is the scheduler's business.
    assert len(seen) >= 3
