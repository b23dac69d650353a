"""The whole pipeline from one command, on the simulated exchanges: real processes, real sockets."""

import json
import os
import pty
import signal
import socket
import subprocess
import threading
import tomllib
from pathlib import Path

from up_cases import (
    DEADLINE_S,
    SOURCES,
    SPREADSCAN,
    child_named,
    children_of,
    is_everything_running,
    read_terminal,
    wait_until,
)

from spreadscan.config import load_config
from spreadscan.errors import EXIT_USAGE
from spreadscan.shm.layout import RegionKind
from spreadscan.shm.price_store import slot_of
from spreadscan.shm.regions import attach_regions
from spreadscan.universe import load_universe


def regions_of(prefix):
    return list(Path("/dev/shm").glob(f"{prefix}*"))


def test_pipeline_sees_dislocations_and_remembers_them(up, config_dir, shm_prefix):
    process = up("--for", "20s", "--json")

    out, err = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 0, err.decode()
    closing = json.loads(out)
    assert set(closing) == {"sources", "signals", "episodes", "latency_ns", "uptime_s"}
    assert set(closing["sources"]) == SOURCES
    for name, source in closing["sources"].items():
        assert source["expected"] >= 60, name
        assert source["live"] >= 0.9 * source["expected"], name
        assert source["messages"] > source["expected"], name
    assert closing["signals"] > 0
    assert 0 < closing["episodes"]["opened"] <= closing["signals"]
    assert closing["episodes"]["open"] == (
        closing["episodes"]["opened"]
        - closing["episodes"]["converged"]
        - closing["episodes"]["expired"]
        - closing["episodes"]["delisted"]
        - closing["episodes"]["lost"]
    )
    assert 0 < closing["latency_ns"]["p50"] <= closing["latency_ns"]["p99"] < 10**9
    assert 20.0 <= closing["uptime_s"] < 25.0
    assert regions_of(shm_prefix) == []
    simulator_log = config_dir.parent / "run" / "sim" / "log" / "simulator.log"
    assert "0 limit overruns" in simulator_log.read_text(encoding="utf-8")


def test_killed_feed_comes_back_and_the_run_admits_it(up, config_dir):
    process = up("--json")
    wait_until(lambda: is_everything_running(config_dir))
    first = child_named(process.pid, "feed-okx-spot")

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: child_named(process.pid, "feed-okx-spot") not in {None, first})
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 1
    assert "died or was never ready: feed-okx-spot" in err.decode()
    assert set(json.loads(out)["sources"]) == SOURCES


def test_children_end_with_a_supervisor_that_is_killed_and_the_next_one_takes_over(up):
    first = up()
    wait_until(lambda: child_named(first.pid, "spread-engine"))
    orphans = list(children_of(first.pid).values())

    first.kill()
    first.wait()
    second = up("--json")
    wait_until(lambda: child_named(second.pid, "spread-engine"))

    wait_until(lambda: not any(Path(f"/proc/{orphan}/exe").exists() for orphan in orphans))
    second.send_signal(signal.SIGINT)
    assert json.loads(second.communicate(timeout=DEADLINE_S)[0])["uptime_s"] > 0


def test_taken_port_ends_the_run_with_the_simulators_line(up, config_dir):
    exchanges = tomllib.loads((config_dir / "exchanges.toml").read_text(encoding="utf-8"))
    port = int(exchanges["sim"]["rest_base"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        process = up("--json")
        _, err = process.communicate(timeout=DEADLINE_S)

    assert process.returncode == 75
    last = err.decode().splitlines()[-1]
    assert last.startswith("simulator: ")
    assert "address already in use" in last


def test_terminal_shows_the_board_and_ctrl_c_ends_it_in_order(up, shm_prefix):
    ours, theirs = pty.openpty()
    os.environ.setdefault("TERM", "xterm")
    process = up(stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = bytearray()
    reader = threading.Thread(target=read_terminal, args=(ours, screen))
    reader.start()

    wait_until(lambda: b"widest routes now" in screen)
    wait_until(lambda: b"64/64" in screen)
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 0
    reader.join(DEADLINE_S)
    os.close(ours)

    assert b"starting" in screen
    assert b"Ctrl-C stops everything in order" in screen
    assert regions_of(shm_prefix) == []


def test_recording_played_by_the_simulator_reaches_the_price_store(up, config_dir, tmp_path):
    frames = [
        f'{n * 1_000_000} {{"stream":"btcusdt@bookTicker","data":{{"u":{900 + n},"s":"BTCUSDT",'
        f'"b":"{60_000 + n}.10","B":"1.5","a":"{60_000 + n}.20","A":"2.5"}}}}\n'
        for n in range(500)
    ]
    recording = tmp_path / "btc.rawlog"
    recording.write_text("".join(frames), encoding="utf-8")
    process = up("--replay", f"binance_spot={recording}", "--for", "60s")
    config = load_config(config_dir / "config.toml", is_sim=True)
    wait_until(lambda: is_everything_running(config_dir))
    prices = attach_regions(config.shm, reads=[RegionKind.PRICES], writes=[], timeout_s=0.0).prices
    universe = load_universe(config.path(config.runtime.generated_dir))
    bitcoin = next(row.symbol_id for row in universe.symbols if row.name == "BTC-USDT")

    wait_until(lambda: prices.read(slot_of(0, bitcoin))["update_id"] == 1399)

    quote = prices.read(slot_of(0, bitcoin))
    assert (quote["bid"], quote["bid_qty"]) == (60_499.1, 1.5)
    assert (quote["ask"], quote["ask_qty"]) == (60_499.2, 2.5)
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 0


def test_replay_without_the_simulator_is_a_usage_error(config_dir):
    outcome = subprocess.run(
        [SPREADSCAN, "up", "--config", config_dir / "config.toml", "--replay", "binance_spot=x"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert outcome.returncode == EXIT_USAGE
    assert "--replay needs --sim" in outcome.stderr
