"""Standard output that is not a plain file or a patient pipe."""

import os
import subprocess
import sys

LETTERS = 1_000_000
CODE = f"""
from spreadscan.cli.standard_output import take_standard_output

take_standard_output()
print("x" * {LETTERS})
"""


def test_pipe_that_does_not_block_gets_all_of_it():
    # What a shell's or an ssh's other end may make of the pipe that both share.
    read_end, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    os.set_blocking(read_end, True)
    process = subprocess.Popen(
        [sys.executable, "-c", CODE], stdout=write_end, stderr=subprocess.PIPE, text=True
    )
    os.close(write_end)
    with os.fdopen(read_end) as reader:
        found = reader.read()
    _, errors = process.communicate(timeout=30)

    assert (process.returncode, errors) == (0, "")
    assert found == "x" * LETTERS + "\n"
