"""Recordings through the real endpoints: verbatim, in order, at their pace."""

import asyncio
from pathlib import Path

import pytest

from spreadscan.errors import ConfigError
from spreadscan.sim.process import SYSTEM_CLOCK
from spreadscan.sim.replay import ReplaySettings
from spreadscan.sim.simulation import Simulation

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "frames"
BACK_TO_BACK = ReplaySettings(speed=0.0)


def spot_frame(number, symbol="BTCUSDT", bid=61685.0):
    """A frame whose order of keys and spacing no encoder of ours would write."""
    return (
        f'{{"stream": "{symbol.lower()}@bookTicker", "data":{{"s":"{symbol}","u":{number},'
        f'"b":"{bid + number}","B":"1.5","a":"{bid + number + 1}","A":"2"}}}}'
    )


@pytest.fixture
def write(tmp_path):
    """Write frames 10 ms apart as a recording."""

    def to_file(frames):
        file = tmp_path / "recorded.rawlog"
        lines = [f"{1_723_161_600_000_000_000 + n * 10_000_000} {f}" for n, f in enumerate(frames)]
        file.write_text("\n".join(lines) + "\n")
        return file

    return to_file


@pytest.fixture
def playing(settings, reader):
    """Run an async body with a client of one source while a recording is played on it."""

    def run(body, file, *, source="binance_spot", replay=BACK_TO_BACK):
        said = []

        async def life():
            simulation = Simulation(
                settings(recordings=((source, file),), replay=replay),
                SYSTEM_CLOCK,
                say=said.append,
            )
            await simulation.listen()
            stop = asyncio.Event()
            running = asyncio.create_task(simulation.run(stop))
            try:
                await body(simulation)
            finally:
                stop.set()
                await asyncio.wait_for(running, 5)
                await simulation.close()

        asyncio.run(life())
        return said

    return run


def test_a_replay_delivers_the_recorded_frames_verbatim_and_in_order(playing, write, reader, until):
    frames = [spot_frame(number) for number in range(1000)]
    received = []

    async def body(simulation):
        async with reader.connect(simulation, "binance_spot") as socket:
            client = reader(socket)
            request = {"method": "SUBSCRIBE", "params": ["btcusdt@bookTicker"], "id": 1}
            await client.send(request)
            assert await client.json() == {"result": None, "id": 1}
            received.extend([await client.text() for _ in frames])
            await until(lambda: simulation.report()["replays"][0]["played"] == 1000)

    said = playing(body, write(frames))

    assert received == frames
    assert said == ["replay of binance_spot ended: 1000 frames of recorded.rawlog"]


def test_a_replay_waits_for_its_first_listener(playing, write, reader):
    async def body(simulation):
        async with reader.connect(simulation, "binance_spot/ws/ethusdt@bookTicker") as socket:
            await reader(socket).text()  # the world goes on without it
        assert simulation.report()["replays"][0]["played"] == 0

    playing(body, write([spot_frame(1)]))


def test_a_replay_keeps_its_own_pace_times_the_speed(playing, write, reader):
    loop_times = []

    async def body(simulation):
        async with reader.connect(simulation, "binance_spot/ws/btcusdt@bookTicker") as socket:
            for _ in range(21):
                await reader(socket).text()
                loop_times.append(asyncio.get_running_loop().time())

    playing(body, write([spot_frame(n) for n in range(21)]), replay=ReplaySettings(speed=2.0))

    # 200 ms were recorded; arrival can be late, never early.
    assert loop_times[-1] - loop_times[0] >= 0.095


def test_the_other_sources_of_a_replayed_coin_stay_near_the_recording(playing, write, reader):
    async def body(simulation):
        row = simulation.row("binance_spot", "BTCUSDT")
        other = simulation.row("okx_futures", "BTC-USDT-SWAP")
        async with reader.connect(simulation, "binance_spot/ws/btcusdt@bookTicker") as socket:
            for _ in range(5):
                await reader(socket).text()
            mids = simulation.market.true_mids()

        assert mids[row] == pytest.approx(50_000, rel=0.02)
        assert mids[other] == pytest.approx(mids[row], rel=0.02)

    playing(body, write([spot_frame(n, bid=50_000.0) for n in range(5)]))


def test_frames_of_unlisted_symbols_and_acknowledgements_are_skipped_and_counted(
    playing, write, reader, until
):
    wanted = spot_frame(7)
    frames = ['{"result":null,"id":1}', spot_frame(3, symbol="NOPEUSDT"), wanted]

    async def body(simulation):
        async with reader.connect(simulation, "binance_spot/ws/btcusdt@bookTicker") as socket:
            assert await reader(socket).text() == wanted
            await until(lambda: simulation.players[0].recording.skipped == 2)

    said = playing(body, write(frames))

    assert said == ["replay of binance_spot ended: 1 frames of recorded.rawlog, 2 skipped"]


def test_okx_sends_the_last_recorded_book_to_a_late_subscriber(playing, write, reader):
    frame = (
        '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT"},"data":[{"asks":[["5.2","1","0","1"]],'
        '"bids":[["5.1","2","0","1"]],"ts":"1","seqId":9}]}'
    )
    request = {"op": "subscribe", "args": [{"channel": "bbo-tbt", "instId": "BTC-USDT"}]}

    async def body(simulation):
        for _ in range(2):
            async with reader.connect(simulation, "okx_spot") as socket:
                client = reader(socket)
                await client.send(request)
                assert (await client.json())["event"] == "subscribe"
                assert await client.text() == frame

    playing(body, write([frame]), source="okx_spot")


def test_a_looping_replay_begins_again_on_fresh_connections(playing, write, reader):
    frames = [spot_frame(number) for number in range(3)]

    async def body(simulation):
        for _ in range(3):
            async with reader.connect(simulation, "binance_spot/ws/btcusdt@bookTicker") as socket:
                client = reader(socket)
                assert [await client.text() for _ in frames] == frames
                assert await client.closed() == (1012, "recording starts again")

    playing(body, write(frames), replay=ReplaySettings(speed=0.0, is_looping=True))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no quote of a listed symbol"),
        ('1 {"result":null,"id":1}\n', "no quote of a listed symbol"),
        ('abc {"s":1}\n', "line 1"),
        ("12345\n", "line 1"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_by_name(settings, clock, tmp_path, text, found):
    file = tmp_path / "bad.rawlog"
    file.write_text(text)

    with pytest.raises(ConfigError, match=found) as refusal:
        Simulation(settings(recordings=(("binance_spot", file),)), clock.sim_clock())

    assert str(file) in str(refusal.value)


def test_a_recording_that_is_absent_or_for_an_unknown_source_is_refused(settings, clock, tmp_path):
    absent = tmp_path / "absent.rawlog"

    for source, found in (("binance_spot", "No such file"), ("kraken_spot", "kraken_spot")):
        with pytest.raises(ConfigError, match=found):
            Simulation(settings(recordings=((source, absent),)), clock.sim_clock())


def test_frames_recorded_in_hex_go_out_as_binary(playing, write, reader):
    raw = spot_frame(1).encode()

    async def body(simulation):
        async with reader.connect(simulation, "binance_spot/ws/btcusdt@bookTicker") as socket:
            assert await reader(socket).text() == raw

    playing(body, write([raw.hex()]))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("binance_spot", "binance_spot.btcusdt.2024-08-09.rawlog"),
        ("binance_futures", "binance_futures.btcusdt.2024-08-08.rawlog"),
    ],
)
def test_a_real_recording_arrives_complete(playing, reader, source, name):
    file = RECORDED / name
    if not file.exists():
        pytest.skip(f"{file} is not on this machine")
    frames = [line.partition(" ")[2] for line in file.read_text().splitlines()]
    received = []

    async def body(simulation):
        async with reader.connect(simulation, f"{source}/stream?streams=btcusdt@bookTicker") as it:
            received.extend([await reader(it).text() for _ in frames])

    playing(body, file, source=source)

    assert len(frames) == 20_000
    assert received == frames
