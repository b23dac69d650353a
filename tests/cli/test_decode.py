"""`spreadscan decode`: one JSON line for each line, with a feed's own values."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from protobuf_reference import ticker_frame
from typer.testing import CliRunner

from spreadscan.cli.decode import frame_of_line
from spreadscan.cli.main import app
from spreadscan.directions import DirectionRecord
from spreadscan.errors import EXIT_CONFIG, EXIT_USAGE
from spreadscan.model import Instrument
from spreadscan.symbols import SymbolRecord
from spreadscan.universe import Universe, write_universe

ROOT = Path(__file__).parents[2]
FRAMES = ROOT / "../shared/data/frames"

QUOTE = '{"u":7,"s":"BTCUSDT","b":"61685.99","B":"1.25869000","a":"61686.0","A":"2.44816"}'
SWAP = (
    '{"arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"},"data":[{"asks":[["77766.8","1.2","0",'
    '"3"]],"bids":[["77766.7","504.48","0","12"]],"ts":"1789147120123","seqId":5}]}'
)
EMPTY_SIDE = SWAP.replace('[["77766.8","1.2","0","3"]]', "[]")
ACK = '{"id":"s1","event":"subscribe","arg":{"channel":"bbo-tbt","instId":"BTC-USDT-SWAP"}}'
REFUSAL = (
    '{"event":"error","code":"60018","msg":"Wrong URL or channel:bbo-tbt,instId:X-USDT '
    "doesn't exist.\"}"
)


@pytest.fixture
def bare(make_config):
    """A configuration whose folder holds no universe yet."""
    return make_config({})


@pytest.fixture
def universe(tmp_path):
    folder = tmp_path / "universe"

    def leg(exchange_symbol, contract_size):
        return Instrument(
            exchange_symbol=exchange_symbol,
            price_multiplier=1.0,
            contract_size=contract_size,
            tick_size=0.0,
            qty_step=0.0,
            min_qty=0.0,
            min_notional=0.0,
            tradable_via_api=True,
        )

    spot, swap = leg("BTCUSDT", 1.0), leg("BTC-USDT-SWAP", 0.01)
    write_universe(
        folder,
        Universe(
            generation=1,
            timestamp="2026-11-22T10:00:00+00:00",
            symbols=(
                SymbolRecord(
                    symbol_id=5,
                    name="BTC-USDT",
                    instruments=(spot, None, None, None, None, swap, None, None),
                ),
            ),
            directions=(
                DirectionRecord(direction_id=1, spot_source=0, futures_source=5, symbols=(5,)),
            ),
        ),
    )
    return folder


def decoded(source, lines, *flags):
    """Return what is printed for these lines of standard input."""
    text = "".join(f"{line}\n" for line in lines)
    result = CliRunner().invoke(app, ["decode", source, *map(str, flags)], input=text)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_quote_has_exactly_the_seven_keys(universe):
    (answer,) = decoded("binance_spot", [QUOTE], "--universe", universe)

    assert answer == {
        "symbol": "BTC-USDT",
        "bid": 61685.99,
        "bid_qty": 1.25869,
        "ask": 61686.0,
        "ask_qty": 2.44816,
        "exchange_ms": None,
        "update_id": 7,
    }


def test_contracts_are_printed_in_coins(universe):
    (answer,) = decoded("okx_futures", [SWAP], "--universe", universe)

    assert (answer["bid_qty"], answer["ask_qty"]) == (504.48 * 0.01, 1.2 * 0.01)
    assert (answer["exchange_ms"], answer["update_id"]) == (1789147120123, 5)


@pytest.mark.parametrize(
    "line",
    [
        SWAP,
        f"1723161600001692584 {SWAP}",
        f"1652459225.5066085: {SWAP}",
        f"  {SWAP}\r",
        SWAP.encode().hex(),
        f"1723161600001692584 {SWAP.encode().hex()}",
    ],
    ids=["plain", "rawlog", "seconds", "spaces", "hex", "rawlog hex"],
)
def test_line_may_carry_a_receive_time_or_be_hex(universe, line):
    assert frame_of_line(line.encode()) == SWAP.encode()
    assert decoded("okx_futures", [line], "--universe", universe)[0]["bid"] == 77766.7


def test_symbol_outside_the_universe_is_named_as_unknown(universe):
    answers = decoded("okx_futures", [SWAP.replace("BTC", "DOGE")], "--universe", universe)

    assert answers == [{"error": "unknown_symbol", "symbol": "DOGE-USDT-SWAP"}]


def test_every_line_gives_one_line_in_order(bare):
    lines = [ACK, SWAP, "", "pong", "nonsense", SWAP[:-9], EMPTY_SIDE, REFUSAL, '{"a":1}', ACK]

    answers = decoded("okx_futures", lines, "--config", bare)

    assert [next(iter(answer)) for answer in answers] == [
        "control", "symbol", "error", "control", "error", "error", "error", "control", "error",
        "control",
    ]  # fmt: skip
    assert answers[0] == {"control": {"type": "ack", "request_id": "s1", "is_leaving": None}}
    assert answers[2] == {"error": "empty"}
    assert answers[3] == {"control": {"type": "pong"}}
    assert [answers[4]["error"], answers[5]["error"]] == ["malformed", "malformed"]
    assert answers[6] == {"error": "one_sided", "symbol": "BTC-USDT"}
    assert answers[7]["control"]["symbols"] == ["X-USDT"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("61685.99", "61686.01", "crossed"),
        ("61685.99", "-1", "not_positive"),
        ("61685.99", "NaN", "bad_number"),
        ("61685.99", "0", "one_sided"),
        ("61686.0", "1e30", "implausible"),
        ('"b":"61685.99",', "", "missing_field"),
    ],
)
def test_refused_quote_says_why_and_of_whom(universe, old, new, reason):
    answers = decoded("binance_spot", [QUOTE.replace(old, new)], "--universe", universe)

    assert answers == [{"error": reason, "symbol": "BTC-USDT"}]


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("BTCUSDT", "BTC-USDT"), ("1000PEPEUSDT", "1000PEPE-USDT"), ("BTCUSDC", "BTCUSDC")],
)
def test_without_a_universe_every_symbol_is_taken_as_it_comes(bare, spelling, name):
    frame = QUOTE.replace("BTCUSDT", spelling)

    answers = decoded("binance_spot", [frame, frame], "--config", bare)

    assert [answer["symbol"] for answer in answers] == [name, name]
    assert answers[0]["bid_qty"] == 1.25869


def test_without_a_universe_it_is_said_once_on_standard_error(bare):
    result = CliRunner().invoke(
        app, ["decode", "binance_spot", "--config", str(bare)], input=f"{QUOTE}\n{QUOTE}\n"
    )

    assert result.stderr.count("no universe") == 1


def test_universe_of_the_configuration_is_taken_when_it_is_there(make_config, universe):
    config = make_config({"runtime.generated_dir": str(universe)})

    (answer,) = decoded("okx_futures", [SWAP], "--config", config)

    assert answer["ask_qty"] == 1.2 * 0.01


def test_more_symbols_than_the_kernel_holds_are_unknown_not_a_crash(bare):
    frames = [QUOTE.replace("BTC", f"C{number}X") for number in range(1030)]

    answers = decoded("binance_spot", frames, "--config", bare)

    assert len([answer for answer in answers if "bid" in answer]) == 1024
    assert answers[-1] == {"error": "unknown_symbol", "symbol": "C1029XUSDT"}


def test_wrong_source_or_file_or_universe_is_one_line_and_its_code(tmp_path, universe):
    runner = CliRunner()
    (universe / "symbols.txt").unlink()
    cases = [
        (["nowhere_spot"], EXIT_USAGE),
        (["binance_spot", "--universe", str(tmp_path)], EXIT_CONFIG),
        (["binance_spot", "--universe", str(universe)], EXIT_CONFIG),
    ]

    for arguments, code in cases:
        result = runner.invoke(app, ["decode", *arguments])
        assert result.exit_code == code
        assert result.stderr.count("\n") == 1


def test_file_that_is_absent_is_one_line(bare, tmp_path):
    missing = str(tmp_path / "none.rawlog")

    result = CliRunner().invoke(app, ["decode", "binance_spot", missing, "--config", str(bare)])

    assert result.exit_code == EXIT_USAGE
    assert missing in result.stderr


def spawn(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-c", "from spreadscan.cli.main import app; app()", "decode", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def test_answer_to_a_line_comes_before_the_next_line_is_asked_for(universe):
    process = spawn("binance_spot", "--universe", str(universe), stdin=subprocess.PIPE)
    try:
        for _ in range(3):
            process.stdin.write(f"{QUOTE}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["update_id"] == 7
        process.stdin.close()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def test_reader_that_has_seen_enough_ends_it_quietly(universe, tmp_path):
    recording = tmp_path / "long.rawlog"
    recording.write_text(f"1 {QUOTE}\n" * 20_000)
    process = spawn("binance_spot", str(recording), "--universe", str(universe))

    process.stdout.readline()
    process.stdout.close()

    assert process.wait(20) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not FRAMES.is_dir(), reason=f"no recorded data: {FRAMES} is absent")
@pytest.mark.parametrize(
    ("source", "recording"),
    [
        ("binance_spot", "binance_spot.btcusdt.2024-08-09.rawlog"),
        ("binance_futures", "binance_futures.btcusdt.2024-08-08.rawlog"),
    ],
)
def test_recording_gives_a_line_of_equal_values_for_each_of_its_lines(bare, source, recording):
    result = CliRunner().invoke(
        app, ["decode", source, str(FRAMES / recording), "--config", str(bare)]
    )

    lines = (FRAMES / recording).read_text().splitlines()
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(lines) == 20_000
    for line, answer in zip(lines, answers, strict=True):
        data = json.loads(line.partition(" ")[2])["data"]
        assert answer == {
            "symbol": "BTC-USDT",
            "bid": float(data["b"]),
            "bid_qty": float(data["B"]),
            "ask": float(data["a"]),
            "ask_qty": float(data["A"]),
            "exchange_ms": data.get("T"),
            "update_id": data["u"],
        }


@pytest.mark.skipif(not FRAMES.is_dir(), reason=f"no recorded data: {FRAMES} is absent")
def test_mixed_recording_skips_no_line(bare):
    recording = FRAMES / "okx.mixed.2022-05-13.txt"

    result = CliRunner().invoke(app, ["decode", "okx_spot", str(recording), "--config", str(bare)])

    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(answers) == len(recording.read_bytes().splitlines()) == 200
    kinds = [next(iter(answer)) for answer in answers]
    assert (kinds.count("symbol"), kinds.count("control"), kinds.count("error")) == (16, 180, 4)


def test_binary_frames_are_read_from_hex_and_text_answers_as_they_are(bare):
    frame = ticker_frame(
        "BTCUSDT", "80535.88", "0.380497", "80535.89", "0.33336356", version="81721676217",
        sent_ms=1_789_897_517_479,
    )  # fmt: skip
    lines = [frame.hex().upper(), f"1789897517.5: {frame.hex()}", '{"id":0,"code":0,"msg":"PONG"}']

    result = CliRunner().invoke(
        app, ["decode", "mexc_spot", "--config", str(bare)], input="\n".join([*lines, "0B0C"])
    )

    first, second, pong, group = (json.loads(line) for line in result.stdout.splitlines())
    assert first == second
    assert first == {
        "symbol": "BTC-USDT", "bid": 80535.88, "bid_qty": 0.380497, "ask": 80535.89,
        "ask_qty": 0.33336356, "exchange_ms": 1_789_897_517_479, "update_id": 81_721_676_217,
    }  # fmt: skip
    assert pong == {"control": {"type": "pong"}}
    assert group == {"error": "malformed"}
