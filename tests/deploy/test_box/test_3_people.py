"""Members of the group steer it without root; everybody else is refused."""

import pytest

from test_box import STORY

pytestmark = STORY


def test_member_of_the_group_steers_without_root(box, appliance):
    for command in ("pause --reason drill", "resume --reason over", "reload"):
        steered = box.ssh.run(f"spread-ctl {command}", user="alice", check=False)
        assert steered.returncode == 0, f"{command}: {steered.stderr}"
    box.ssh.run("systemctl restart feed@okx-spot.service", user="alice")
    forbidden = box.ssh.run("systemctl restart ssh.service", user="alice", check=False)

    assert forbidden.returncode != 0
    assert appliance.inactive() == []


def test_member_stops_starts_and_restarts_single_programs(box, appliance):
    stopped, restarted = "feed@mexc-spot.service", "spread-engine.service"
    before = appliance.main_pids()

    box.ssh.run("spread-ctl stop mexc_spot", user="alice")
    # What systemd is about to start again is activating, not dead.
    assert appliance.show(stopped, "ActiveState", "SubState", "Result") == {
        "ActiveState": "inactive", "SubState": "dead", "Result": "success",
    }  # fmt: skip
    box.ssh.run("spread-ctl start mexc_spot", user="alice")
    box.ssh.run("spread-ctl restart spread-engine", user="alice")

    after = appliance.main_pids()
    assert {unit for unit in after if after[unit] != before[unit]} == {stopped, restarted}
    assert appliance.inactive() == []


def test_member_follows_what_programs_say(box):
    said = box.ssh.run("spread-ctl logs --lines 3 spread-engine", user="alice").stdout
    follow = "spread-ctl logs --follow --lines 1 spread-tracker"
    with box.ssh.following(follow, user="alice") as lines:
        first = next(lines)
        box.ssh.run("spread-ctl restart spread-tracker", user="alice")
        has_started = any("Started spread-tracker.service" in line for line in lines)

    assert "spread-engine" in said
    assert first
    assert has_started


@pytest.mark.parametrize(
    "command",
    ["status", "pause --reason drill", "reload", "start", "stop okx_spot", "restart", "shutdown",
     "logs"],
)  # fmt: skip
def test_somebody_else_is_refused_in_one_clear_line(box, command):
    refused = box.ssh.run(f"spread-ctl {command}", user="mallory", check=False)

    assert refused.returncode in {75, 78}
    assert refused.stdout == ""
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "ermi" in refused.stderr or "member" in refused.stderr


def test_somebody_else_cannot_steer_units(box, appliance):
    refused = box.ssh.run("systemctl restart spread-engine.service", user="mallory", check=False)

    assert refused.returncode != 0
    assert appliance.inactive() == []
