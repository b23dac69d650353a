"""``spreadscan sim`` as a process: its line, its exit codes, its report."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from spreadscan.sim.truth import load_truth

COMMAND = (
    "import typer; from spreadscan.cli.sim import sim; "
    "app = typer.Typer(); app.command()(sim); app()"
)
TIMEOUT_S = 30


@pytest.fixture
def start_with():
    """Start the command with a configuration; what is left running is killed."""
    with contextlib.ExitStack() as stack:

        def run(file, *options):
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", COMMAND, "--config", file, *options],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield run


@pytest.fixture
def start(config_dir, start_with):
    """Start the command with this test's own ports."""
    return lambda *options: start_with(config_dir / "config.toml", *options)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_after_the_line_that_it_listens(start, number):
    process = start("--seed", "9", "--universe-size", "5")
    line = process.stdout.readline()

    process.send_signal(number)
    rest, errors = process.communicate(timeout=TIMEOUT_S)

    assert line.startswith("simulated exchanges: REST http://127.0.0.1:")
    assert "WebSocket ws://127.0.0.1:" in line
    assert line.endswith("; 5 symbols, seed 9\n")
    assert process.returncode == 0
    assert "0 limit overruns" in rest
    assert errors == ""


def test_with_json_standard_output_is_one_report(start):
    output, errors = start("--for", "200ms", "--json").communicate(timeout=TIMEOUT_S)

    report = json.loads(output)
    assert "simulated exchanges:" in errors
    assert (report["symbols"], report["seed"], report["overruns"]) == (64, 7, 0)
    assert report["uptime_s"] >= 0.2
    assert report["sources"].keys() == {
        "binance_spot",
        "binance_futures",
        "okx_spot",
        "okx_futures",
        "bybit_spot",
        "bybit_futures",
        "mexc_spot",
        "mexc_futures",
    }


def test_limits_that_were_broken_are_named_at_the_end(start):
    process = start()
    base = process.stdout.readline().split()[3]

    url = f"{base}/okx_spot/api/v5/public/instruments?instType=SPOT"
    for _ in range(21):  # 20 in two seconds are allowed
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(url, timeout=TIMEOUT_S).close()
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=TIMEOUT_S)

    *overruns, last = output.splitlines()
    assert "1 limit overruns" in last
    assert len(overruns) == 1
    assert overruns[0].startswith("overrun at ")
    assert overruns[0].endswith(" s: okx_spot rest_weight 21, allowed 20")


def test_the_truth_is_a_file_of_every_row(start, tmp_path):
    file = tmp_path / "truth.bin"

    start("--for", "300ms", "--truth", file).communicate(timeout=TIMEOUT_S)

    truth = load_truth(file)
    assert len(truth.preface.rows) == 8 * 64
    assert len(truth.records) > 0
    assert truth.preface.started_ns <= truth.records["time_ns"].min()


def test_a_taken_port_is_one_clear_line_and_exit_75(start):
    first = start()
    address = first.stdout.readline().split()[3]

    second = start()
    output, errors = second.communicate(timeout=TIMEOUT_S)

    assert second.returncode == 75
    assert output == ""
    assert errors == f"{address}: address already in use; stop its owner or change the port\n"
    with socket.create_connection((urlsplit(address).hostname, urlsplit(address).port), 5):
        assert first.poll() is None


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--replay", "binance_spot"), "expected SOURCE=FILE"),
        (("--speed", "fast"), "expected a number"),
        (("--speed", "nan"), "expected a number"),
        (("--for", "soon"), "expected a duration"),
        (("--for", "0s"), "expected a duration"),
    ],
)
def test_a_wrong_option_is_one_clear_line_and_exit_64(start, options, found):
    process = start(*options)
    _, errors = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 64
    assert errors.startswith(" ".join(options))
    assert found in errors
    assert errors.count("\n") == 1


def test_a_recording_that_is_absent_is_exit_78(start, tmp_path):
    process = start("--replay", f"binance_spot={tmp_path / 'absent.rawlog'}")
    _, errors = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 78
    assert "absent.rawlog" in errors


def test_a_wrong_scenario_is_exit_78_and_names_the_key(start, tmp_path):
    file = tmp_path / "scenario.toml"
    file.write_text('[[fault]]\nat_s = 1\nkind = "mute"\nsource = "okx_spot"\n')

    process = start("--scenario", file)
    _, errors = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 78
    assert "scenario.toml: fault[0].symbol: found none" in errors


COIN = '[[coin]]\nname = "NEIROETH"\nprice_usd = 0.06\nlisted = { bybit_spot = "NEIRO" }\n'


def test_a_scenario_may_add_a_coin_and_a_fault_of_it(start, tmp_path):
    file = tmp_path / "scenario.toml"
    fault = '[[fault]]\nat_s = 0\nkind = "unknown"\nsource = "bybit"\nsymbol = "NEIROUSDT"\n'
    file.write_text(COIN + fault)

    output, errors = start("--scenario", file, "--for", "200ms", "--json").communicate(
        timeout=TIMEOUT_S
    )

    assert json.loads(output)["faults_begun"] == 1
    assert "fault at 0 s: unknown on bybit NEIROUSDT\n" in errors


def test_a_coin_at_an_unknown_source_is_one_line_and_exit_78(start, tmp_path):
    file = tmp_path / "scenario.toml"
    file.write_text(COIN.replace("bybit_spot", "kraken_spot"))

    process = start("--scenario", file)
    _, errors = process.communicate(timeout=TIMEOUT_S)

    assert process.returncode == 78
    assert "coin[0].listed.kraken_spot: found no such source, expected one of " in errors
    assert errors.count("\n") == 1


def test_a_scenario_is_told_and_counted(start, tmp_path):
    file = tmp_path / "scenario.toml"
    file.write_text('[[fault]]\nat_s = 0\nkind = "stall"\nsource = "okx"\nfor_s = 0.2\n')

    output, errors = start("--scenario", file, "--for", "1s", "--json").communicate(
        timeout=TIMEOUT_S
    )

    assert json.loads(output)["faults_begun"] == 1
    assert "fault at 0 s: stall on okx\nover: stall on okx\n" in errors


@pytest.mark.parametrize("has_folder", [True, False])
def test_with_tls_the_line_says_where_the_authority_is(start, tmp_path, has_folder):
    process = start("--tls", *(("--tls-dir", tmp_path / "tls") if has_folder else ()))
    line = process.stdout.readline().strip()
    ca_file = Path(line.rpartition("; CA ")[2])

    assert "REST https://127.0.0.1:" in line
    assert "WebSocket wss://127.0.0.1:" in line
    assert ca_file.read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert (ca_file == tmp_path / "tls" / "ca.pem") == has_folder
    process.terminate()
    process.communicate(timeout=TIMEOUT_S)
    assert ca_file.exists() == has_folder, "a temporary folder ends with the process"


def test_https_in_the_configuration_implies_tls_and_names_the_file(make_config, start_with):
    config = make_config(
        {
            "sim.rest_base": "https://127.0.0.1:0",
            "sim.ws_base": "wss://127.0.0.1:0",
            "sim.ca_file": "run/ca.pem",
        }
    )

    line = start_with(config, "--tls-fault", "expired").stdout.readline().strip()

    assert "REST https://" in line
    assert line.endswith(f"; CA {config.parent.parent / 'run' / 'ca.pem'}")
