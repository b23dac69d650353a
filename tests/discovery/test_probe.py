"""One source against a server that speaks a script: reasons, refusals, limits, windows."""

import asyncio
import base64
import hashlib
import re

import msgspec
import orjson
import pytest
import websockets
from validation_cases import PATIENCE_S, Recorder, Script, until

from spreadscan.config import load_config
from spreadscan.discovery.validate import probe_settings, validate_source
from spreadscan.exchanges import Source, source_named
from spreadscan.exchanges._adapter import Heartbeat, Limits
from spreadscan.runtime.clock import SystemClock

SHORT_S, ENDLESS_S = 0.3, 600.0
"""Windows: one that a test can wait for, and one that must not be waited for."""
BID, ASK = [["10", "1"]], [["11", "1"]]
QUOTE = [("snapshot", BID, ASK)]
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
CLOSE_1008 = b"\x88\x02\x03\xf0"


@pytest.fixture
def ask(make_config):
    """Validate these symbols of a source against a script; return the validation.

    ``spec`` changes what the adapter declares, ``enough`` cancels the run when it is true of the
    counts; other keys are the market's.
    """

    def run(name, script, symbols, *, window_s, spec=None, enough=None, **keys):
        known = source_named(name)
        source = Source(known.adapter, known.market)
        source.spec = msgspec.structs.replace(source.spec, **(spec or {}))
        prefix = f"exchanges.{source.adapter.name}.{source.market.value}"
        config = load_config(
            make_config(
                {"discovery.validate_window_s": window_s, "feed.retry_base_ms": 20}
                | {f"{prefix}.{key}": value for key, value in keys.items()}
            )
        )

        async def body():
            async with websockets.serve(
                script.serve, "127.0.0.1", 0, process_request=script.greet
            ) as server:
                port = next(iter(server.sockets)).getsockname()[1]
                url = f"ws://127.0.0.1:{port}"
                market = msgspec.structs.replace(config.market(source), ws_url=url)
                legs = [(symbol, row, 1.0, 1.0) for row, symbol in enumerate(symbols)]
                report = Recorder()
                settings = probe_settings(config, SystemClock())
                task = asyncio.create_task(validate_source(source, market, legs, settings, report))
                if enough is None:
                    return await asyncio.wait_for(task, PATIENCE_S)
                await until(lambda: enough(report.counts.get(name, (0,))))
                task.cancel()
                await asyncio.wait([task])
                return None

        return asyncio.run(body())

    return run


def bybit_answer(frames):
    """Acknowledge, then send for each topic what *frames* says of its symbol."""

    def answer(tree):
        yield orjson.dumps({"success": True, "ret_msg": "", "req_id": tree["req_id"], "op": "x"})
        for topic in tree["args"]:
            symbol = topic.rpartition(".")[2]
            for kind, bids, asks in frames.get(symbol, ()):
                data = {"s": symbol, "b": bids, "a": asks, "u": 5, "seq": 1}
                yield orjson.dumps({"topic": topic, "ts": 1, "type": kind, "data": data, "cts": 1})

    return answer


def quoting(symbols):
    """Quote these at once; stay silent about all others."""
    return bybit_answer(dict.fromkeys(symbols, QUOTE))


def test_every_way_not_to_be_usable_has_its_reason(ask):
    frames = {
        "WHOLE": QUOTE,
        "EMPTY": [("snapshot", [], ASK)],
        "CROSSED": [("snapshot", ASK, BID)],
        "HEALED": [("snapshot", ASK, BID), ("snapshot", BID, ASK)],
        "NUMBER": [("snapshot", [["x", "1"]], ASK)],
        "PARTS": [("delta", BID, []), ("delta", [], ASK)],
        "HALF": [("delta", BID, []), ("delta", BID, [])],
        "REMOVED": [("delta", BID, []), ("delta", [["10", "0"]], []), ("delta", [], ASK)],
        "CROSSING": [("delta", ASK, []), ("delta", [], BID)],
    }
    script = Script(bybit_answer(frames))
    symbols = [*frames, "NOTHING"]

    found = ask("bybit_spot", script, symbols, window_s=0.5)

    assert found.received == {"WHOLE", "HEALED", "PARTS"}
    assert found.invalid == {
        "EMPTY": "one_sided",
        "CROSSED": "refused quote: crossed",
        "NUMBER": "refused quote: bad_number",
        "HALF": "one_sided",
        "REMOVED": "one_sided",
        "CROSSING": "refused quote: crossed",
        "NOTHING": "silent",
    }


def binance_answer(tree):
    """Refuse the whole request, and nobody by name, when it holds the bad one; else quote."""
    streams = tree["params"]
    if "bad@bookTicker" in streams:
        yield orjson.dumps({"code": 2, "msg": "Invalid\x1b[31m request", "id": tree["id"]})
        return
    yield orjson.dumps({"result": None, "id": tree["id"]})
    for stream in streams:
        symbol = stream.partition("@")[0].upper()
        data = {"e": "bookTicker", "u": 1, "s": symbol, "b": "1", "B": "1", "a": "2", "A": "1"}
        yield orjson.dumps({"stream": stream, "data": data})


def test_refusal_that_names_nobody_is_halved_until_the_bad_symbol_stands_alone(ask):
    symbols = ["A", "B", "C", "BAD", "D", "E", "F", "G"]
    script = Script(binance_answer)

    found = ask("binance_futures", script, symbols, window_s=ENDLESS_S, messages_per_s=10.0)

    assert found.received == set(symbols) - {"BAD"}
    assert found.invalid == {"BAD": "refused: 2: Invalid [31m request"}, "no escape goes through"
    assert sorted(len(tree["params"]) for tree in script.requests) == [1, 1, 2, 2, 4, 4, 8]


def test_shard_that_is_turned_away_does_not_count_as_silent(ask):
    script = Script(
        quoting("ABCD"),
        admit=lambda number: None if number == 1 else (403, {"Retry-After": "9999"}),
    )

    found = ask("bybit_spot", script, "ABCD", window_s=ENDLESS_S, topics_per_connection=2)

    assert found.received == {"A", "C"}
    reason = "unreached: refused with status 403, Retry-After 9999 s"
    assert found.invalid == {"B": reason, "D": reason}
    assert script.handshakes == 2


def test_refused_handshakes_without_a_time_are_spaced_and_end_with_the_window(ask):
    script = Script(bybit_answer({}), admit=lambda _number: (503, {}))

    found = ask("bybit_spot", script, "ABCD", window_s=SHORT_S, topics_per_connection=1)

    assert "refused with status 503" in found.failure
    assert 2 <= script.handshakes <= 5, "20, 40, 80, 160 ms, by one connection and not by four"


def test_handshake_refused_as_too_much_is_not_tried_again_within_the_window(ask):
    script = Script(bybit_answer({}), admit=lambda _number: (403, {}))

    found = ask("bybit_spot", script, "ABCD", window_s=ENDLESS_S / 2, topics_per_connection=1)

    assert "refused with status 403" in found.failure
    assert script.handshakes == 1, "ten minutes, where the exchange names no time"


@pytest.mark.parametrize(
    "slow",
    [
        # Nine tenths of two: one request at once, and the second in an hour.
        {"spec": {"limits": Limits(requests_per_hour=2)}},
        {"messages_per_s": 0.01},
    ],
    ids=["an hour", "a second"],
)
def test_second_request_waits_for_its_turn(ask, slow):
    script = Script(quoting("AB"))

    ask(
        "bybit_spot",
        script,
        "AB",
        window_s=ENDLESS_S,
        topics_per_message=1,
        enough=lambda counts: counts[0] == 1,
        **slow,
    )

    assert len(script.requests) == 1


def test_connects_are_apart_however_long_a_handshake_takes(ask):
    # The exchange may count at any moment between the request and its answer.
    script = Script(binance_answer, greet_s=0.2)
    limits = {"connects_per_window": 1, "connects_window_s": 0.3, "topics_per_connection": 1}

    ask("binance_futures", script, "AB", window_s=ENDLESS_S, **limits)

    first, second = script.arrived_s
    assert second - first >= 0.2 + 0.3


def test_messages_keep_to_the_exchanges_size(ask):
    script = Script(quoting("ABCDEFGH"))
    limits = Limits(message_bytes=85)

    found = ask("bybit_spot", script, "ABCDEFGH", window_s=ENDLESS_S, spec={"limits": limits})

    assert found.received == set("ABCDEFGH")
    assert max(script.sizes) <= 85
    assert any(len(tree["args"]) > 1 for tree in script.requests)


def test_topics_of_a_connection_keep_to_the_exchanges_size(ask):
    # A topic is orderbook.1.A, with quotes and comma 16 bytes.
    script = Script(quoting("ABCDE"))
    limits = Limits(topic_bytes_per_connection=32)

    found = ask("bybit_spot", script, "ABCDE", window_s=ENDLESS_S, spec={"limits": limits})

    assert (found.received, found.connections) == (set("ABCDE"), 3)


def test_heartbeats_are_sent_while_waiting(ask):
    script = Script(quoting("A"))
    heartbeat = Heartbeat(payload='{"req_id":"","args":[]}', interval_s=0.05)

    ask("bybit_spot", script, "AB", window_s=SHORT_S, spec={"heartbeat": heartbeat})

    assert script.requests[1:3] == [{"req_id": "", "args": []}] * 2


def test_window_begins_when_the_last_message_has_been_sent(ask):
    # Half a second from message to message: counted from the first, the window would be over.
    script = Script(quoting("BC"))
    limits = {"topics_per_message": 1, "messages_per_s": 2.0}

    found = ask("bybit_spot", script, "ABC", window_s=SHORT_S, **limits)

    assert found.received == {"B", "C"}
    assert found.invalid == {"A": "silent"}


def test_window_ends_although_the_pace_is_slow(ask):
    # A message in a hundred seconds: what the pace allows for must not be waited for.
    found = ask("bybit_spot", Script(quoting("A")), "AB", window_s=SHORT_S, messages_per_s=0.01)

    assert found.invalid == {"B": "silent"}


def test_connections_that_are_cut_short_still_lead_through_all_requests(ask):
    def answer(tree):
        yield from quoting("D")(tree)
        yield None

    found = ask("bybit_spot", Script(answer), "ABCD", window_s=0.5, topics_per_message=1)

    assert found.received == {"D"}
    assert found.connections >= 4


def test_halves_of_two_connections_make_no_quote(ask):
    parts = iter(([("delta", BID, [])], [("delta", [], ASK)]))

    def answer(tree):
        frames = {"WHOLE": QUOTE, "PARTS": next(parts, [])}
        yield from bybit_answer(frames)(tree)
        yield None

    found = ask("bybit_spot", Script(answer), ["WHOLE", "PARTS"], window_s=0.5)

    assert found.connections > 2
    assert found.invalid["PARTS"].startswith("one_sided")


def test_server_that_closes_with_its_answer_is_given_up(make_config):
    # Nothing can be sent before the end, so that the window itself never begins.
    async def serve(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)sec-websocket-key: (\S+)", request)[1]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + CLOSE_1008
        )
        writer.close()

    found = asyncio.run(validation_of_raw_server(make_config, serve))

    assert "connection ended: received 1008" in found.failure
    assert found.connections > 1


async def validation_of_raw_server(make_config, serve):
    """Validate one symbol against a server that writes its own bytes."""
    config = load_config(
        make_config({"discovery.validate_window_s": 0.2, "feed.retry_base_ms": 20})
    )
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        source = source_named("bybit_spot")
        market = msgspec.structs.replace(config.market(source), ws_url=f"ws://127.0.0.1:{port}")
        settings = probe_settings(config, SystemClock())
        legs = [("BTCUSDT", 0, 1.0, 1.0)]
        validating = validate_source(source, market, legs, settings, Recorder())
        return await asyncio.wait_for(validating, PATIENCE_S)


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"\xff\xfe\x00nonsense\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: ws://[\r\n\r\n"],
)
def test_server_that_is_no_websocket_is_a_failure_and_no_crash(make_config, nonsense):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(nonsense)
        writer.close()

    found = asyncio.run(validation_of_raw_server(make_config, serve))

    assert "cannot connect" in found.failure
    assert found.invalid == {}
