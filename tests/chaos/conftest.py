"""Runs under faults, none of which is left behind."""

import pytest
from fault_run import FaultRun


@pytest.fixture
def fault_run(make_config, tmp_path):
    """Begin a run under these faults; what is left of it is killed, which ends its children."""
    begun = []

    def begin(faults):
        run = FaultRun(make_config({}), tmp_path, faults)
        begun.append(run)
        run.watch()
        return run

    yield begin

    for run in begun:
        run.process.kill()
        run.process.wait()
