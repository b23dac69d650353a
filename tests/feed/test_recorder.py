"""A recording holds what came, in bounded room, whatever happens to its writer."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from universe_cases import universe

from spreadscan.cli.decode import frame_of_line
from spreadscan.config import load_config
from spreadscan.errors import ConfigError
from spreadscan.feed.recorder import Recorder
from spreadscan.kernel.tap import FRAME
from spreadscan.rawlog import End, Head, Lost, line_of, read_lines, segments_in
from spreadscan.runtime.clock import SystemClock
from spreadscan.universe import load_universe

SOURCE = "okx_spot"
PATIENCE_S = 20.0


def until(condition):
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "the condition never held"
        time.sleep(0.01)


class Site:
    """One source's recordings in a folder of the test's own."""

    def __init__(self, config):
        self.config = config
        self.root = config.path(config.record.dir)
        self.folder = self.root / SOURCE

    def recorder(self, generation=1, clock=None):
        return Recorder(
            self.config,
            SOURCE,
            universe(generation),
            clock or SystemClock(),
            logging.getLogger("recorder"),
        )

    def segments(self):
        return [file for _, file in segments_in(self.folder)]

    def lines(self):
        return [line for file in self.segments() for line in read_lines(file)]

    def frames(self):
        return [line.content for line in self.lines() if isinstance(line.content, bytes)]


@pytest.fixture
def make_site(make_config):
    def make(**settings):
        overrides = {f"record.{key}": value for key, value in settings.items()}
        shared = {"record.enabled": True, "record.dir": "record", "record.min_free_mib": 0}
        return Site(load_config(make_config(shared | overrides)))

    return make


def put(recorder, *frames):
    for frame in frames:
        assert recorder.tap.put(FRAME, time.monotonic_ns(), frame)


def test_frames_come_back_as_they_were_with_their_times(make_site):
    site = make_site()
    recorder = site.recorder()
    before_ns = time.time_ns()

    put(recorder, b'{"a":1}', b"\n\x00\xff", b"12ab", b" x ")
    recorder.stop()

    head, *lines, end = site.lines()
    assert isinstance(head.content, Head)
    assert (head.content.source, head.content.serial) == (SOURCE, 0)
    assert [line.content for line in lines] == [b'{"a":1}', b"\n\x00\xff", b"12ab", b" x "]
    assert all(before_ns - 10**9 < line.time_ns < time.time_ns() + 10**9 for line in lines)
    assert end.content == End()
    assert (recorder.trouble, recorder.lost_count, recorder.recorded_count) == ("", 0, 6)


def test_universe_and_configuration_are_kept_beside_the_frames(make_site):
    site = make_site()

    site.recorder(generation=41).stop()

    (head, *_) = site.lines()
    assert load_universe(site.root / "universe" / head.content.universe).generation == 41
    assert load_config(site.root / "config" / "config.toml").engine == site.config.engine


def test_new_universe_begins_a_segment_of_its_own(make_site):
    site = make_site()
    recorder = site.recorder(generation=1)

    put(recorder, b"old")
    recorder.adopt(universe(2))
    put(recorder, b"new")
    recorder.stop()

    first, second = (list(read_lines(file)) for file in site.segments())
    assert [line.content for line in first[1:]] == [b"old"]
    assert [line.content for line in second[1:]] == [b"new", End()]
    assert first[0].content.session == second[0].content.session
    assert [part[0].content.universe[:2] for part in (first, second)] == ["1-", "2-"]


def test_segments_end_by_age(make_site, manual_clock):
    site = make_site(segment_s=60.0)
    recorder = site.recorder(clock=manual_clock)
    until(lambda: len(site.segments()) == 1)

    manual_clock.advance(61)
    until(lambda: len(site.segments()) == 2)
    recorder.stop()

    assert len(site.segments()) == 2


def test_segments_end_by_size_and_the_oldest_make_room(make_site):
    site = make_site(segment_mib=1, max_mib=3)
    recorder = site.recorder()
    noise = [os.urandom(40_000) for _ in range(10)]

    for _ in range(40):
        # Hex of noise packs to little less than the noise.
        put(recorder, *noise[:5])
        put(recorder, *noise[5:])
        until(lambda: recorder.tap.waiting_bytes < 1 << 20)
        noise = [os.urandom(40_000) for _ in range(10)]
    recorder.stop()

    serials = [name.serial for name, _ in segments_in(site.folder)]
    assert recorder.trouble == ""
    assert serials[0] > 0
    assert serials == list(range(serials[0], serials[-1] + 1))
    assert sum(file.stat().st_size for file in site.segments()) <= 4 << 20
    assert all(not isinstance(line.content, Lost) for line in site.lines())


def test_universe_that_no_segment_names_goes_with_the_last_that_did(make_site):
    site = make_site(segment_mib=1, max_mib=2)
    site.recorder(generation=1).stop()
    (old,) = (site.root / "universe").iterdir()
    os.utime(old, (1, 1))
    recorder = site.recorder(generation=2)

    while old.exists():
        put(recorder, *(os.urandom(100_000) for _ in range(5)))
        until(lambda: recorder.tap.waiting_bytes == 0)
        assert len(site.segments()) < 5
    recorder.stop()

    assert [kept.name[:2] for kept in (site.root / "universe").iterdir()] == ["2-"]


def test_next_run_goes_on_numbering_and_is_another_session(make_site):
    site = make_site()
    for frame in (b"first", b"second"):
        recorder = site.recorder()
        put(recorder, frame)
        recorder.stop()

    heads = [line.content for line in site.lines() if isinstance(line.content, Head)]

    assert [head.serial for head in heads] == [0, 1]
    assert heads[0].session != heads[1].session
    assert heads[0].boot_id == heads[1].boot_id


def test_full_disk_ends_the_recording_loudly_and_nothing_else(make_site, caplog):
    site = make_site(min_free_mib=10**9)
    recorder = site.recorder()

    until(lambda: recorder.check() or recorder.trouble)

    assert "MiB left, less than the 1000000000 MiB of record.min_free_mib" in recorder.trouble
    assert recorder.tap is None
    assert "recording stopped, feeding goes on" in caplog.text
    recorder.stop()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB, where mounting is allowed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", folder], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip(f"mounting a tmpfs needs privileges: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.parametrize("min_free_mib", [1, 0])
def test_recording_goes_on_by_itself_once_a_full_disk_has_room_again(
    make_site, small_disk, manual_clock, caplog, min_free_mib
):
    site = make_site(dir=str(small_disk / "record"), min_free_mib=min_free_mib)
    recorder = site.recorder(generation=1, clock=manual_clock)
    put(recorder, b"before")
    until(lambda: recorder.tap.waiting_bytes == 0)
    manual_clock.advance(2)
    until(lambda: site.frames() == [b"before"])

    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    while not recorder.trouble:
        put(recorder, os.urandom(10_000))
        recorder.check()
        time.sleep(0.01)
    assert recorder.tap is None
    recorder.adopt(universe(2))

    # Tried, in vain, and without a line for every time.
    for wait_s in (31, 61, 121):
        manual_clock.advance(wait_s - 2)
        recorder.check()
        assert recorder.tap is None
        manual_clock.advance(2)
        recorder.check()
        assert recorder.tap is not None
        assert recorder.trouble
        until(lambda: recorder.check() or recorder.tap is None)
    assert caplog.text.count("recording stopped") == 1

    filler.unlink()
    manual_clock.advance(241)
    until(lambda: recorder.check() or not recorder.trouble)
    put(recorder, b"after")
    recorder.stop()

    assert "recording again" in caplog.text
    frames = site.frames()
    assert (frames[0], frames[-1]) == (b"before", b"after")
    heads = [line.content for line in site.lines() if isinstance(line.content, Head)]
    assert [head.universe[:2] for head in heads] == ["1-", "2-"]
    assert heads[0].session != heads[1].session
    assert recorder.recorded_count > 4


def test_folder_that_cannot_be_written_ends_the_recording_only(make_site):
    site = make_site()
    site.root.parent.mkdir(parents=True, exist_ok=True)
    site.root.write_text("in the way", encoding="utf-8")
    recorder = site.recorder()

    until(lambda: recorder.check() or recorder.trouble)

    assert recorder.tap is None
    recorder.stop()


KILLED = """
import logging, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from universe_cases import universe
from spreadscan.config import load_config
from spreadscan.feed.recorder import Recorder
from spreadscan.kernel.tap import FRAME
from spreadscan.runtime.clock import SystemClock
recorder = Recorder(load_config(Path(sys.argv[1])), "okx_spot", universe(1), SystemClock(),
                    logging.getLogger())
number = 0
while True:
    recorder.tap.put(FRAME, time.monotonic_ns(), b'{"number":%d}' % number)
    number += 1
    time.sleep(0.0001)
"""


def test_killed_writer_leaves_whole_lines_in_order(make_site, request):
    site = make_site()
    folder = str(request.config.rootpath / "tests")
    process = subprocess.Popen([sys.executable, "-c", KILLED, site.config.file, folder])
    try:
        until(lambda: len(site.frames()) > 100)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

    frames = site.frames()

    assert frames == [b'{"number":%d}' % number for number in range(len(frames))]
    assert site.lines()[-1].content == Lost(count=0)


def test_segment_cut_anywhere_gives_whole_lines_up_to_there(make_site, tmp_path):
    site = make_site()
    recorder = site.recorder()
    put(recorder, *(b'{"number":%d}' % number for number in range(2_000)))
    recorder.stop()
    (file,) = site.segments()
    whole = file.read_bytes()
    cut = tmp_path / file.name

    for length in range(0, len(whole), 97):
        cut.write_bytes(whole[:length])
        found = [line.content for line in read_lines(cut)]
        frames = [content for content in found if isinstance(content, bytes)]
        assert frames == [b'{"number":%d}' % number for number in range(len(frames))]
        assert found[-1] == Lost(count=0)


def test_recordings_of_simulated_exchanges_have_a_folder_of_their_own(make_site):
    config = make_site().config

    assert load_config(Path(config.file), is_sim=True).record.dir == "record/sim"


def test_room_for_less_than_two_segments_is_refused(make_site):
    with pytest.raises(ConfigError, match=r"record\.max_mib: found 63, expected at least two of"):
        make_site(segment_mib=32, max_mib=63)


def test_note_is_a_line_that_decode_knows_from_a_frame():
    line = line_of(1_700_000_000_000_000_000, Lost(count=3))

    assert frame_of_line(line) == b'{"spreadscan":"lost","count":3}'
