"""The tap hands everything on in order, never waits, and says what it had no room for."""

import struct
import threading
import time

import pytest

from spreadscan.kernel.tap import CAPACITY_BYTES, FRAME, MARK, NOTE, Tap

WALL_NS = 1_700_000_000_000_000_000


@pytest.fixture
def tap():
    return Tap()


def drained(tap):
    found = b""
    while lines := tap.drain(0):
        found += lines
    return found


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        (b'{"s":"BTCUSDT"}', b'{"s":"BTCUSDT"}'),
        ('{"s":"币安人生USDT"}'.encode(), '{"s":"币安人生USDT"}'.encode()),
        (b"pong", b"pong"),
        (b"\n\x03abc", b"0a03616263"),
        (b'{\n"a":1}', b"7b0a2261223a317d"),
        (b"{} ", b"7b7d20"),
        (b"12ab", b"31326162"),
    ],
)
def test_frame_stands_in_its_line_as_it_came_or_in_hex(tap, payload, shown):
    tap.put(FRAME, 5, payload)

    assert tap.drain(WALL_NS) == b"1700000000000000005 " + shown + b"\n"


def test_marks_are_lines_in_their_place(tap):
    tap.put(FRAME, 1, b"before")
    tap.put(MARK, 2, struct.pack("<HH", 1023, 2))
    tap.put(FRAME, 3, b"behind")

    assert tap.drain(0) == (
        b'1 before\n2 {"spreadscan":"mark","symbol_id":1023,"flag":2}\n3 behind\n'
    )


def test_note_is_taken_between_what_came_before_and_after_it(tap):
    for kind, payload in ((FRAME, b"before"), (NOTE, b"a note"), (FRAME, b"behind")):
        tap.put(kind, 7, payload)

    found = [tap.take_note(), tap.drain(0), tap.drain(0), tap.take_note(), tap.drain(0)]

    assert found == [None, b"7 before\n", b"", (7, b"a note"), b"7 behind\n"]
    assert (tap.take_note(), tap.waiting_bytes) == (None, 0)


def test_empty_message_leaves_no_line(tap):
    tap.put(FRAME, 1, b"")

    assert tap.drain(0) == b""
    assert tap.waiting_bytes == 0


def test_frame_without_room_is_dropped_and_the_next_entry_says_so(tap):
    frame = b"x" * 100_000
    while tap.put(FRAME, 1, frame):
        pass
    tap.put(FRAME, 2, frame)
    taken = tap.taken_count

    assert tap.lost_count == 2
    assert CAPACITY_BYTES - 200_000 < tap.waiting_bytes <= CAPACITY_BYTES
    assert tap.put(NOTE, 3, b"notes have room of their own")
    assert tap.put(MARK, 4, struct.pack("<HH", 7, 2))
    assert drained(tap).count(b"\n") == CAPACITY_BYTES // 100_024
    assert tap.put(FRAME, 5, b"again")
    assert tap.taken_count == taken + 3
    assert tap.take_note() == (3, b"notes have room of their own")
    assert drained(tap).splitlines() == [
        b'4 {"spreadscan":"lost","count":2}',
        b'4 {"spreadscan":"mark","symbol_id":7,"flag":2}',
        b"5 again",
    ]


def test_loss_is_told_before_the_first_entry_behind_it(tap):
    while tap.put(FRAME, 1, b"x" * 100_000):
        pass
    drained(tap)

    tap.put(FRAME, 9, b"again")

    assert tap.drain(0) == b'9 {"spreadscan":"lost","count":1}\n9 again\n'


def test_frame_larger_than_a_batch_comes_whole(tap):
    tap.put(FRAME, 1, b"\n" * 1_000_000)

    assert tap.drain(0) == b"1 " + b"0a" * 1_000_000 + b"\n"


def test_what_is_no_entry_is_refused(tap):
    with pytest.raises(ValueError, match="kind 3"):
        tap.put(3, 1, b"x")
    with pytest.raises(ValueError, match="a mark of 1 bytes"):
        tap.put(MARK, 1, b"x")


def test_every_entry_comes_out_once_and_in_order_while_another_thread_writes():
    # Several laps of the ring, with entries of all sizes across its end.
    tap, count, found = Tap(), 10_000, []
    is_done = threading.Event()

    def write():
        for number in range(count):
            payload = b"%d-%s" % (number, b"y" * (number * 37 % 8_000))
            while not tap.put(FRAME, number, payload):
                time.sleep(0)
        is_done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not is_done.is_set() or tap.waiting_bytes:
        for line in tap.drain(0).splitlines():
            stamp, _, payload = line.partition(b" ")
            if not payload.startswith(b'{"spreadscan"'):
                number, _, filling = payload.partition(b"-")
                assert stamp == number
                assert len(filling) == int(number) * 37 % 8_000
                found.append(int(number))
    writer.join()

    assert found == list(range(count))
