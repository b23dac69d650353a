"""Real child processes: their logs, their ends, their parent's death."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from spreadscan.ops.children import ChildProcess, child_environment

FOREVER = "import time; print('ready'); time.sleep(60)"


@pytest.fixture
def child(tmp_path):
    made = []

    def make(text, name="child"):
        process = ChildProcess(name, [sys.executable, "-c", text], tmp_path)
        made.append(process)
        return process

    yield make

    for process in made:
        process.kill()
        while process.pid and process.poll() is None:
            pass


def test_exit_code_is_reported_once_and_the_process_is_gone(child, eventually):
    process, codes = child("raise SystemExit(78)"), []

    process.start()
    eventually(lambda: codes.append(process.poll()) or codes[-1] is not None)

    assert codes[-1] == 78
    assert process.poll() is None
    assert process.pid == 0


def test_output_and_errors_go_to_the_log_as_they_are_written(child, eventually):
    process = child("import sys, time; print('one'); sys.stderr.write('two\\n'); time.sleep(60)")

    process.start()
    eventually(lambda: process.last_line() == "two")

    assert process.log_file.read_text(encoding="utf-8") == "one\ntwo\n"


def test_ready_line_of_an_earlier_life_does_not_count(child, eventually):
    process = child("print('ready')")
    process.start()
    eventually(lambda: process.poll() is not None)
    assert process.has_said("ready")
    process._command[-1] = "import time; time.sleep(60)"

    process.start()

    assert not process.has_said("ready")
    assert "ready" in process.log_file.read_text(encoding="utf-8")


def test_log_of_an_earlier_run_is_begun_anew(tmp_path):
    (tmp_path / "child.log").write_text("old\n", encoding="utf-8")

    process = ChildProcess("child", ["true"], tmp_path)

    assert process.last_line() == ""


def test_last_line_of_a_long_log_is_found_and_blank_ones_are_skipped(child, tmp_path):
    process = child("")
    process.log_file.write_bytes(b"x" * 100_000 + b"\nthe last \xff words\n\n  \n")

    assert process.last_line() == "the last \N{REPLACEMENT CHARACTER} words"


def test_missing_program_is_an_os_error(tmp_path):
    process = ChildProcess("child", [str(tmp_path / "absent")], tmp_path)

    with pytest.raises(FileNotFoundError):
        process.start()


def test_child_is_in_a_session_of_its_own(child):
    process = child(FOREVER)

    process.start()

    assert os.getsid(process.pid) == process.pid != os.getsid(0)


def test_systemd_variables_of_the_supervisor_do_not_reach_a_child():
    inherited = {"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/h"}

    environment = child_environment(inherited)

    assert environment == {"HOME": "/h", "PYTHONUNBUFFERED": "1"}


def test_child_ends_when_its_supervisor_is_killed(tmp_path, eventually):
    parent_text = textwrap.dedent(f"""
        import sys, time
        from pathlib import Path
        from spreadscan.ops.children import ChildProcess
        child = ChildProcess("child", [sys.executable, "-c", {FOREVER!r}], Path({str(tmp_path)!r}))
        child.start()
        print(child.pid, flush=True)
        time.sleep(60)
    """)
    parent = subprocess.Popen([sys.executable, "-c", parent_text], stdout=subprocess.PIPE)
    child_pid = int(parent.stdout.readline())

    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    eventually(lambda: not is_running(child_pid))


def is_running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}
