"""The one box of the story, what surrounds it, and what is asked of it again and again."""

import os

import pytest
from appliance import Appliance
from plays import write_inventory

# Kernel settings that belong to this host and not to a container on it.
NOT_OF_A_CONTAINER = [
    "kernel.nmi_watchdog", "kernel.numa_balancing", "kernel.sched_rt_runtime_us",
    "kernel.timer_migration", "kernel.watchdog", "net.core.busy_poll", "net.core.busy_read",
    "net.core.netdev_max_backlog", "net.core.rmem_max", "net.core.wmem_max", "vm.stat_interval",
    "vm.swappiness",
]  # fmt: skip
MEXC_REST_PORT, MEXC_WS_PORT = 18490, 18491


@pytest.fixture(scope="package")
def workshop():
    from leftovers import workshop  # noqa: PLC0415 - only where these tests run

    with workshop() as folder:
        yield folder


@pytest.fixture(scope="package")
def box(workshop):
    from box import Box  # noqa: PLC0415 - only where these tests run
    from machine_images import root_file_system  # noqa: PLC0415
    from suites import chosen  # noqa: PLC0415

    box = Box(f"spreadbox-{os.getpid()}", root_file_system(chosen()), workshop / "box")
    try:
        box.ssh.add_user("alice")
        box.ssh.add_user("mallory")
        yield box
    finally:
        box.stop()


@pytest.fixture(scope="package")
def appliance(box):
    return Appliance(box.ssh)


@pytest.fixture(scope="package", autouse=True)
def before(appliance):
    """What the bare machine holds, listed before anything is done to it."""
    return appliance.leavings()


@pytest.fixture(scope="package", autouse=True)
def _exchanges(box, workshop, simulator):
    options = ("--rate", "400", "--universe-size", "32")
    with simulator(workshop, *options, before=box.in_network()):
        yield


@pytest.fixture(scope="package", autouse=True)
def way_to_mexc(box):
    """The only way from the box to one of the exchanges; may be cut."""
    from relay import Relay  # noqa: PLC0415

    way = Relay(box, {MEXC_REST_PORT: 18480, MEXC_WS_PORT: 18481})
    way.open()
    yield way
    way.cut()


@pytest.fixture(scope="package")
def variables(simulated_settings, wheelhouse):
    settings = simulated_settings()
    elsewhere = simulated_settings(rest_port=MEXC_REST_PORT, ws_port=MEXC_WS_PORT)
    settings["exchanges"]["exchanges"]["mexc"] = elsewhere["exchanges"]["exchanges"]["mexc"]
    return {
        "os_tuning_update_package_lists": False,
        "os_tuning_ignored_sysctls": NOT_OF_A_CONTAINER,
        "spreadscan_operators": ["alice"],
        "spreadscan_settings": settings,
        "spreadscan_wheelhouses": str(wheelhouse.parent),
    }


@pytest.fixture(scope="package")
def inventory(box, workshop, variables):
    return write_inventory(workshop / "inventory.json", box.ssh, variables)


@pytest.fixture(scope="package")
def measured():
    """What the closing note of a run names, by what was measured."""
    return {}
