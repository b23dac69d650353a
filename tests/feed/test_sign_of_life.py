"""A socket that does not answer is dead in ten seconds, however quiet it was; no other one is."""

import time

import orjson
import pytest

from spreadscan.feed.sign_of_life import LOOK_S, SignOfLife, Step

BEGIN_S = 1_000.0
WAIT, ASK, GIVE_UP = Step


class Line:
    """A connection as its watcher sees it, on a clock of the test's own."""

    def __init__(self):
        self.now_s = self.last_frame_s = BEGIN_S
        self.life = SignOfLife(BEGIN_S, ask_after_s=3.0, dead_after_s=8.0)

    def silent_for(self, seconds, *, is_answering=True, answers=False, sends=True):
        """Let time pass; return when what was to be done, in seconds since the last frame."""
        found = []
        for _ in range(round(seconds / LOOK_S)):
            self.now_s += LOOK_S
            step = self.life.look(self.now_s, self.last_frame_s, is_answering=is_answering)
            if step is not WAIT:
                found.append((self.now_s - self.last_frame_s, step))
            if step is ASK and sends:
                self.life.asked(self.now_s)
                if answers:
                    self.last_frame_s = self.now_s + 0.1
            if step is GIVE_UP:
                break
        return found


def test_silent_connection_is_asked_once_and_then_given_up():
    assert Line().silent_for(60) == [(3.0, ASK), (8.0, GIVE_UP)]


def test_connection_that_answers_is_asked_again_and_never_given_up():
    found = Line().silent_for(3600, answers=True)

    assert {step for _, step in found} == {ASK}
    assert len(found) > 1000


def test_exchange_that_is_not_known_to_answer_is_asked_and_never_given_up():
    assert Line().silent_for(60, is_answering=False) == [(3.0, ASK)]


def test_question_that_had_to_wait_for_its_turn_has_its_time_to_be_answered():
    line = Line()
    assert line.silent_for(7.5, sends=False)[0] == (3.0, ASK)

    line.life.asked(line.now_s)

    ((after_s, step),) = line.silent_for(60)
    assert (after_s, step) == (11.0, GIVE_UP)


def test_wait_for_the_turn_of_a_question_is_no_pause_of_ours():
    line = Line()
    assert line.silent_for(3, sends=False) == [(3.0, ASK)]

    # Nobody looks meanwhile.
    line.now_s += 5
    line.life.asked(line.now_s)

    assert line.silent_for(60) == [(11.5, GIVE_UP)]


def test_pause_of_ours_is_no_silence_of_the_exchange():
    line = Line()
    assert line.silent_for(5) == [(3.0, ASK)]

    line.now_s += 30

    assert line.silent_for(60) == [(38.5, ASK), (43.5, GIVE_UP)]


def binance(request):
    yield orjson.dumps({"result": None, "id": request["id"]})
    for topic in request["params"]:
        name = topic.partition("@")[0].upper()
        yield orjson.dumps({"u": 1, "s": name, "b": "1.5", "B": "2", "a": "1.6", "A": "3"})


def okx(request):
    for arg in request["args"]:
        yield orjson.dumps({"event": "subscribe", "arg": arg})
        book = {"asks": [["2", "1", "0", "1"]], "bids": [["1", "1", "0", "1"]], "ts": "1"}
        yield orjson.dumps({"arg": arg, "data": [book]})


@pytest.mark.parametrize(
    ("name", "symbols", "answer"),
    [
        ("binance_spot", ["AUSDT", "BUSDT"], binance),  # answers pings of the protocol
        ("okx_spot", ["A-USDT", "B-USDT"], okx),  # pings are texts
    ],
)
def test_socket_that_does_not_answer_is_dropped_and_a_quiet_one_that_does_is_kept(
    make_feed, loopback, caplog, name, symbols, answer
):
    feed = make_feed(
        name,
        symbols,
        keeps_the_pace=True,
        topics_per_connection=1,
        settings={"feed.connection_silence_s": 3.0},
    )

    class Quiet(loopback):
        """Quotes every symbol once."""

        async def serve(self, connection):
            self.connections.append(connection)
            async for message in connection:
                for reply in ["pong"] if message == "ping" else answer(orjson.loads(message)):
                    await connection.send(reply, text=True)

    exchange = Quiet(None)
    times_s = []

    def freeze():
        """Let one socket be open and read by nobody, once the exchange is known to answer."""
        if not feed.shared.is_answering:
            return False
        exchange.connections[0].transport.pause_reading()
        times_s.append(time.monotonic())
        return True

    def is_dropped():
        times_s.append(time.monotonic())
        return "no answer" in caplog.text

    feed.run(
        exchange,
        lambda: len(feed.live()) == len(exchange.connections) == 2,
        freeze,
        is_dropped,
        lambda: len(feed.live()) == 2 and len(exchange.connections) == 3,
    )

    assert caplog.text.count("dropping the connection") == 1
    # A busy machine may count the silence anew; without an answer asked for it is 45 s.
    assert times_s[-1] - times_s[0] < 10.0
