"""Machines for the deployment tests: made once, thrown away at the end, whatever happened.

`make deploy-test` runs them. They need root and Debian's packages, which they install themselves; a
host that cannot do that skips them and says why.
"""

import contextlib
import subprocess
import sys
from pathlib import Path

import pytest
from lifeline import bound

HERE = Path(__file__).parent
EXCHANGES = {"binance", "bybit", "okx", "mexc"}
CONFIG = HERE.parents[1] / "config" / "config.toml"

failed_scenarios = {}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("scenario"):
            item.fixturenames.insert(0, "_able_host")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    scenario = item.get_closest_marker("scenario")
    report = outcome.get_result()
    if scenario and report.failed:
        failed_scenarios.setdefault(scenario.args[0], item.name)
        machine = item.funcargs.get(scenario.args[0])
        if machine is not None:
            report.sections.append(("journal of the machine", journal_of(machine)))


def journal_of(machine):
    with contextlib.suppress(AssertionError, subprocess.TimeoutExpired, OSError):
        return machine.ssh.run(
            "journalctl --no-pager --lines=2000 --output=short | grep -vE '"
            "sshd|logind|session-|ansible-|collector=' | tail -80"
        ).stdout
    return "cannot be read"


@pytest.fixture(autouse=True)
def _scenario_goes_on(request):
    """A scenario is a story: after a step that failed the later ones mean nothing."""
    scenario = request.node.get_closest_marker("scenario")
    if scenario and scenario.args[0] in failed_scenarios:
        pytest.skip(f"{failed_scenarios[scenario.args[0]]} failed before")


@pytest.fixture(scope="module")
def _able_host(request):
    """Whether this host can build and run the machine; what is in the way is said in one line."""
    from able_host import why_not  # noqa: PLC0415 - only where these run
    from leftovers import end_in_order, take_back  # noqa: PLC0415

    end_in_order()
    take_back()
    if reason := why_not(request.node.get_closest_marker("scenario").args[0]):
        pytest.skip(f"this host cannot run machines: {reason}")


@pytest.fixture(scope="session")
def wheelhouse():
    """What `make wheelhouse` builds for the machines; `make deploy-test` has done it before."""
    from suites import chosen  # noqa: PLC0415 - only where these tests run
    from wheelhouses import built_for  # noqa: PLC0415

    return built_for(chosen())


@pytest.fixture(scope="module")
def workshop():
    from leftovers import workshop  # noqa: PLC0415 - only where these run

    with workshop() as folder:
        yield folder


@pytest.fixture(scope="session")
def quick():
    """Another strategy for everything but the first play: the same modules, fewer round trips."""
    import ansible_mitogen  # noqa: PLC0415 - of the deployment tests alone

    return {
        "ANSIBLE_STRATEGY": "mitogen_linear",
        "ANSIBLE_STRATEGY_PLUGINS": str(Path(ansible_mitogen.__path__[0]) / "plugins" / "strategy"),
        # It checks the key by itself; the machine was made a minute ago.
        "ANSIBLE_HOST_KEY_CHECKING": "False",
    }


@pytest.fixture(scope="session")
def simulated_settings():
    """Settings of the inventory with the simulated exchanges in place of the real ones."""

    def settings(address="127.0.0.1", rest_port=18480, ws_port=18481):
        branches = {
            name: {
                market: {
                    "rest_url": f"http://{address}:{rest_port}/{name}_{market}",
                    "ws_url": f"ws://{address}:{ws_port}/{name}_{market}",
                }
                for market in ("spot", "futures")
            }
            for name in EXCHANGES
        }
        return {
            "config": {"discovery": {"validate_window_s": 20.0}, "engine": {"wait": "eventfd"}},
            "exchanges": {"exchanges": branches},
        }

    return settings


@pytest.fixture(scope="session")
def simulator():
    """Start the simulated exchanges; *before* is a command that leads into another network."""

    @contextlib.contextmanager
    def running(folder, *options, config=CONFIG, before=()):
        command = [str(Path(sys.executable).with_name("spreadscan")), "sim", "--config", config]
        with (folder / "sim.log").open("w") as log:
            process = subprocess.Popen(
                [*bound(*before), *command, *options],
                stdout=log, stderr=subprocess.STDOUT, cwd=folder,
            )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    return running
