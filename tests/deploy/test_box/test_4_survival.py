"""Hangs, kills and its own timer: it goes on by itself."""

import re
import time

from test_box import STORY

pytestmark = STORY


def test_hung_feed_is_killed_by_its_watchdog_and_comes_back(box, appliance):
    unit = "feed@bybit-spot.service"
    pid = appliance.main_pids()[unit]

    box.ssh.run(f"kill -STOP {pid}")
    appliance.wait(
        "a new process",
        lambda: (
            appliance.main_pids()[unit] not in {0, pid}
            and appliance.show(unit, "ActiveState")["ActiveState"] == "active"
        ),
    )

    journal = box.ssh.run(f"journalctl --no-pager --unit={unit}").stdout
    assert "Watchdog timeout" in journal
    appliance.wait("all green", lambda: appliance.status() == 0)


def test_every_killed_process_is_back_by_itself(box, appliance, measured):
    kept = eventfd_ids(box, appliance)
    restart_s = {}

    for unit, pid in appliance.main_pids().items():
        killed_us = time.monotonic_ns() // 1000
        box.ssh.run(f"kill -KILL {pid}")

        def is_back(unit=unit, killed_us=killed_us):
            shown = appliance.show(unit, "ActiveState", "ActiveEnterTimestampMonotonic")
            entered_us = int(shown["ActiveEnterTimestampMonotonic"])
            return shown["ActiveState"] == "active" and entered_us > killed_us and entered_us

        restart_s[unit] = (appliance.wait(f"{unit} is back", is_back) - killed_us) / 1e6

    measured["restart_s"] = restart_s
    assert kept
    assert eventfd_ids(box, appliance) == kept, "the engine lost the eventfd that systemd keeps"
    assert appliance.show("spread-engine.service", "NFileDescriptorStore") == {
        "NFileDescriptorStore": "1"
    }
    appliance.wait("all green", lambda: appliance.status() == 0)


def eventfd_ids(box, appliance):
    """Return the identities of the engine's eventfds, which only the kernel gives."""
    pid = appliance.main_pids()["spread-engine.service"]
    return set(box.ssh.run(f"grep -hs eventfd-id /proc/{pid}/fdinfo/*").stdout.splitlines())


def test_discovery_runs_by_its_timer_and_everybody_takes_the_new_universe(box, appliance):
    folder = "/run/systemd/system/pair-discovery.timer.d"
    generation = appliance.universe_generation()

    box.ssh.run(f"mkdir -p {folder}")
    box.ssh.run(f"printf '[Timer]\\nOnActiveSec=1s\\nRandomizedDelaySec=0\\n' > {folder}/now.conf")
    box.ssh.run("systemctl daemon-reload; systemctl restart pair-discovery.timer")
    appliance.wait("a new universe", lambda: appliance.universe_generation() > generation)
    appliance.wait("the reload after it", lambda: "obeyed by 10" in reload_journal(box))

    box.ssh.run(f"rm -r {folder}; systemctl daemon-reload; systemctl restart pair-discovery.timer")
    next_run = box.ssh.run("systemctl list-timers --no-pager pair-discovery.timer").stdout
    assert re.search(r" (00|06|12|18):0[0-2]:", next_run), next_run
    assert appliance.status() == 0


def reload_journal(box):
    return box.ssh.run("journalctl --no-pager --unit=spreadscan-reload.service --lines=5").stdout
