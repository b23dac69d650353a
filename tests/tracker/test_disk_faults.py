"""The real tracker process on disks in trouble: full, read-only, failing to sync, or very slow."""

import contextlib
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from tracker_host import Engine, Host, until

from spreadscan.shm.counters import TrackerCounter
from spreadscan.tracker.parts import ledger_parts

HERE = Path(__file__).parent
OVERRIDES = {"tracker.snapshot_interval_ms": 20, "engine.max_leg_age_ms": 3_600_000}
DISK_BYTES = 3 * 1024 * 1024


def mount(*words):
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path):
    """A filesystem of a few megabytes of the test's own."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mount("-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)):
        pytest.skip("mounting a filesystem needs privileges that this user does not have")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="session")
def slow_disk_library(tmp_path_factory):
    library = tmp_path_factory.mktemp("shim") / "slow_disk.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    source = HERE / "slow_disk.c"
    subprocess.run(["gcc", *flags, "-o", library, source, "-ldl"], check=True)
    return library


@pytest.fixture
def make_host(make_config):
    hosts = []

    def make(**more):
        hosts.append(Host(make_config(OVERRIDES | more)))
        return hosts[-1]

    yield make
    for host in hosts:
        host.close()


def is_degraded(host):
    return host.health().status.startswith("degraded")


def goes_on(host, engine, signals=20):
    """Push signals; await that they are applied and that looks are taken meanwhile."""
    before = host.health().counters
    for _ in range(signals):
        engine.push()
    until(
        lambda: host.counter(TrackerCounter.SIGNALS) >= before[TrackerCounter.SIGNALS] + signals,
        "the ring is drained into memory",
    )
    until(
        lambda: host.counter(TrackerCounter.TICKS) > before[TrackerCounter.TICKS] + 5,
        "looks are taken",
    )


def assert_ledger_is_what_the_engine_did(host, engine):
    until(lambda: host.health().status == "storing", "storing again")
    until(lambda: engine.ring.ring.depth == 0, "everything is stored")
    found = host.episodes()
    ended = sorted(row[1:4] for row in found if row[3] is not None)
    assert ended == sorted(engine.ended)
    assert {row[1:3] for row in found if row[3] is None} == {
        (f"COIN{symbol_id}-USDT", opened_ns) for symbol_id, opened_ns in engine.open.items()
    }


def test_full_and_then_read_only_disk_degrades_loudly_and_costs_no_episode(make_host, small_disk):
    host = make_host(**{"tracker.data_dir": str(small_disk / "data")})
    engine = Engine(host.regions, host.direction, random.Random(5))
    host.start()
    goes_on(host, engine)
    ballast = small_disk / "ballast"

    with ballast.open("wb") as target:
        while os.write(target.fileno(), b"x" * 4096) == 4096:
            if not os.statvfs(small_disk).f_bavail:
                break
    goes_on(host, engine, 40)
    until(lambda: is_degraded(host) or engine.push(), "the full disk is noticed")
    full = host.health().status
    goes_on(host, engine)
    # The ledger is let go between two attempts; only then can its disk be made read-only.
    until(lambda: mount("-o", "remount,ro", str(small_disk)), "the disk is read-only")
    failed = host.counter(TrackerCounter.COMMITS_FAILED)
    until(lambda: host.counter(TrackerCounter.COMMITS_FAILED) > failed, "it was tried again")
    goes_on(host, engine)
    backlog = engine.ring.ring.depth
    assert mount("-o", "remount,rw", str(small_disk))
    ballast.unlink()

    assert_ledger_is_what_the_engine_did(host, engine)
    assert "full" in full
    assert backlog > 0


def test_folder_that_is_moved_away_and_back_under_a_tracker_costs_no_episode(make_host):
    host = make_host()
    engine = Engine(host.regions, host.direction, random.Random(8))
    host.start()
    goes_on(host, engine)
    elsewhere = host.data_dir.with_name("elsewhere")

    host.data_dir.rename(elsewhere)
    until(lambda: is_degraded(host) or engine.push(), "the folder is missed")
    goes_on(host, engine)
    said = host.health().status
    elsewhere.rename(host.data_dir)

    assert_ledger_is_what_the_engine_did(host, engine)
    assert "degraded" in said
    assert len(ledger_parts(host.data_dir)) == 2


def fill(disk):
    """Leave no room on a disk; return what takes it."""
    ballast = disk / "ballast"
    with ballast.open("wb") as target, contextlib.suppress(OSError):
        while os.statvfs(disk).f_bavail:
            os.write(target.fileno(), b"x" * 4096)
    return ballast


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize("trouble", ["read-only", "full"])
def test_tracker_that_starts_on_a_disk_in_trouble_goes_on_in_memory_with_what_was_open(
    make_host, small_disk, how, trouble
):
    host = make_host(**{"tracker.data_dir": str(small_disk)})
    engine = Engine(host.regions, host.direction, random.Random(6))
    child = host.start()
    goes_on(host, engine)
    child.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
    child.wait()
    engine.push()
    was_open = host.open_ids()
    (small_disk / "ledger-000009-2025-01-01.sqlite3.new").write_bytes(b"never finished")
    ballast = fill(small_disk) if trouble == "full" else None
    if ballast is None:
        assert mount("-o", "remount,ro", str(small_disk))

    host.start()
    until(lambda: is_degraded(host) or engine.push(), "the disk is noticed")
    goes_on(host, engine)
    in_memory = host.counter(TrackerCounter.EPISODES_OPEN)
    if ballast is None:
        assert mount("-o", "remount,rw", str(small_disk))
    else:
        ballast.unlink()

    assert in_memory == len(engine.open)
    assert_ledger_is_what_the_engine_did(host, engine)
    assert was_open <= {row[0] for row in host.episodes()}


def test_tracker_without_any_ledger_waits_for_a_disk_that_can_be_written(make_host, small_disk):
    host = make_host(**{"tracker.data_dir": str(small_disk)})
    engine = Engine(host.regions, host.direction, random.Random(6))
    engine.push()
    assert mount("-o", "remount,ro", str(small_disk))
    refused = host.run_once()
    assert mount("-o", "remount,rw", str(small_disk))

    host.start()

    assert refused.returncode == 75
    assert "expected a ledger that can be written" in refused.stderr
    assert_ledger_is_what_the_engine_did(host, engine)


@pytest.fixture
def trouble(tmp_path, slow_disk_library):
    """A file that says what syncing does, and the environment that obeys it."""
    file = tmp_path / "trouble"
    return file, {"LD_PRELOAD": str(slow_disk_library), "SLOW_DISK_FILE": str(file)}


def test_failed_sync_is_not_believed_and_another_part_is_begun(make_host, trouble):
    file, environment = trouble
    host = make_host()
    engine = Engine(host.regions, host.direction, random.Random(7))
    host.start(environment)
    goes_on(host, engine)

    file.write_text("fail")
    until(lambda: is_degraded(host) or engine.push(), "the failed sync is noticed")
    goes_on(host, engine)
    file.unlink()

    assert_ledger_is_what_the_engine_did(host, engine)
    assert len(ledger_parts(host.data_dir)) == 2


@pytest.mark.parametrize("ends", ["answers", "kill", "stop"])
def test_sync_of_thirty_seconds_holds_up_neither_looks_nor_the_ring(make_host, trouble, ends):
    file, environment = trouble
    host = make_host(**{"runtime.stop_timeout_s": 2.0})
    engine = Engine(host.regions, host.direction, random.Random(8))
    child = host.start(environment)
    goes_on(host, engine)

    file.write_text("30000")
    goes_on(host, engine, 50)
    until(lambda: is_degraded(host), "the slow disk is told")
    status = host.health().status
    goes_on(host, engine, 50)
    backlog = engine.ring.ring.depth
    if ends != "answers":
        child.send_signal(signal.SIGKILL if ends == "kill" else signal.SIGTERM)
        # Told to stop, it waits for the disk as long as it may, and leaves the rest in the ring.
        assert child.wait(timeout=20) == (-signal.SIGKILL if ends == "kill" else 0)
        engine.push()
    file.unlink()
    if ends != "answers":
        host.start()

    assert "the disk has not answered for" in status
    assert backlog >= 50
    assert_ledger_is_what_the_engine_did(host, engine)
