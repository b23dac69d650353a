"""The drawing agrees with what is installed and with itself."""

import tomllib
from pathlib import Path

import pytest

from spreadscan.exchanges import sources
from spreadscan.shm.layout import HEALTH_SLOTS, RegionKind
from spreadscan.topology import feed_name, program_named, programs

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_every_program_is_a_console_script_and_no_other_is():
    scripts = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["scripts"]

    installed = {
        name for name, target in scripts.items() if target.startswith("spreadscan.cli.pro")
    }

    assert installed == set(programs())


def test_health_slots_are_unique_and_within_the_region():
    slots = [row.health_slot for row in programs().values() if row.health_slot is not None]

    assert len(slots) == len(set(slots))
    assert all(0 <= slot < HEALTH_SLOTS for slot in slots)


def test_a_feed_has_the_slot_of_its_source():
    for source in sources().values():
        assert program_named(feed_name(source.name)).health_slot == source.source_id
        assert program_named(feed_name(source.name)).source == source.name


def test_programs_come_after_what_they_start_after():
    seen = set()

    for row in programs().values():
        assert seen.issuperset(row.starts_after), row.name
        seen.add(row.name)


def test_only_long_running_programs_hold_a_slot_and_a_watchdog():
    for row in programs().values():
        assert row.is_oneshot == (row.health_slot is None), row.name
        assert row.is_oneshot == (row.watchdog_s is None), row.name


def test_prices_are_written_by_feeds_and_retired_by_the_engine():
    writers = {row.name for row in programs().values() if RegionKind.PRICES in row.writes}

    assert writers == {feed_name(name) for name in sources()} | {"shm-init", "spread-engine"}


def test_unknown_program_is_a_key_error():
    with pytest.raises(KeyError):
        program_named("spread-engin")
