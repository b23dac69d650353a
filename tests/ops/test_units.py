"""The units are the drawing: every program with its order, watchdog, limits and confinement."""

import re
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from spreadscan.cli.main import app
from spreadscan.config import load_config
from spreadscan.ops.unit_files import compare_units
from spreadscan.ops.units import UnitPlace, rendered_units, unit_of
from spreadscan.topology import CHORES, programs

CONFIG = Path(__file__).parents[2] / "config" / "config.toml"
MAX_EXPOSURE = 2.0
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze on this machine"
)


def settings_of(text):
    """Return the values of every setting, whatever its section."""
    settings = {}
    for line in text.splitlines():
        if line and line[0] not in "#[":
            name, _, value = line.partition("=")
            settings.setdefault(name, []).append(value)
    return settings


@pytest.fixture(scope="module")
def config():
    return load_config(CONFIG)


@pytest.fixture(scope="module")
def rendered(config):
    return rendered_units(config, UnitPlace())


def service_of(rendered, row):
    return settings_of(rendered["feed@.service" if row.source else unit_of(row)])


@pytest.mark.parametrize("name", programs())
def test_every_program_of_the_topology_has_its_unit(rendered, name):
    row = programs()[name]

    unit = service_of(rendered, row)

    script = "feed-%i" if row.source else name
    assert unit["ExecStart"] == [
        f"/opt/spreadscan/current/bin/{script} --config /etc/spreadscan/config.toml"
    ]
    assert unit["MemoryMax"] == [f"{row.memory_max_mib}M"]
    assert unit.get("RestartPreventExitStatus") == (None if name == "shm-init" else ["78"])
    assert ("PrivateNetwork" in unit) is not row.is_on_network
    for earlier in row.starts_after:
        assert unit_of(programs()[earlier]) in unit["After"]


@pytest.mark.parametrize("name", [row.name for row in programs().values() if not row.is_oneshot])
def test_what_runs_for_ever_is_watched_and_never_given_up(rendered, name):
    row = programs()[name]

    unit = service_of(rendered, row)

    assert unit["Type"] == ["notify"]
    assert unit["WatchdogSec"] == [f"{row.watchdog_s:g}"]
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]
    assert unit["LimitMEMLOCK"] == ["infinity"]
    assert unit["AmbientCapabilities"] == unit["CapabilityBoundingSet"] == ["CAP_IPC_LOCK"]
    assert unit["PartOf"] == ["spreadscan.target"]


def test_target_wants_every_unit_and_discovery_by_its_timer(rendered):
    wanted = settings_of(rendered["spreadscan.target"])["Wants"]

    assert set(wanted) == {
        f"{row.name}.timer" if row.calendar else unit_of(row) for row in programs().values()
    } | {f"{chore.name}.timer" for chore in CHORES}
    assert sum(name.startswith("feed@") for name in wanted) == 8


def test_finished_days_are_compacted_at_night_and_in_nobody_s_way(rendered, config):
    timer = settings_of(rendered["ledger-compaction.timer"])
    service = settings_of(rendered["ledger-compaction.service"])

    assert timer["OnCalendar"] == ["03:20:00 UTC"]
    assert timer["Persistent"] == ["yes"]
    assert service["ExecStart"] == [
        "/opt/spreadscan/current/bin/spreadscan compact --config /etc/spreadscan/config.toml"
    ]
    assert service["ReadWritePaths"] == [f"-{config.path(config.tracker.data_dir)}"]
    assert service["IOSchedulingClass"] == ["idle"]
    assert "PrivateNetwork" in service


def test_feeds_stop_first_and_the_tracker_last(rendered):
    after = {
        row.name: service_of(rendered, row)["After"]
        for row in programs().values()
        if not row.is_oneshot
    }

    assert "spread-tracker.service" in after["spread-engine"]
    assert not any("spread-engine" in name for name in after["spread-tracker"])
    for name, earlier in after.items():
        if name.startswith("feed-"):
            assert {"spread-engine.service", "spread-tracker.service"} <= set(earlier)


def test_running_shm_init_again_takes_nobody_down(rendered):
    for text in rendered.values():
        assert not {"Requires", "BindsTo", "Requisite"} & settings_of(text).keys()


def test_discovery_runs_every_six_hours_and_is_followed_by_a_reload(rendered):
    timer = settings_of(rendered["pair-discovery.timer"])
    discovery = settings_of(rendered["pair-discovery.service"])

    assert timer["OnCalendar"] == ["00/6:00:00"]
    assert timer["Persistent"] == ["yes"]
    assert "RandomizedDelaySec" in timer
    assert discovery["OnSuccess"] == ["spreadscan-reload.service"]
    assert (
        "/spread-ctl reload" in settings_of(rendered["spreadscan-reload.service"])["ExecStart"][0]
    )


def test_only_the_engine_keeps_a_descriptor(rendered):
    keeping = {name for name, text in rendered.items() if "FileDescriptorStoreMax" in text}

    assert keeping == {"spread-engine.service"}


def test_nobody_but_tracker_compaction_and_discovery_may_write_the_ledger(rendered, config):
    ledger = f"-{config.path(config.tracker.data_dir)}"

    writing = {
        name
        for name, text in rendered.items()
        if ledger in settings_of(text).get("ReadWritePaths", [])
    }

    assert writing == {
        "spread-tracker.service",
        "pair-discovery.service",
        "ledger-compaction.service",
    }


def with_plan(config, **roles):
    shares = {
        role: msgspec.structs.replace(getattr(config.cpu, role), **share)
        for role, share in roles.items()
    }
    return msgspec.structs.replace(config, cpu=msgspec.structs.replace(config.cpu, **shares))


def test_cpu_plan_becomes_a_drop_in_of_each_instance(config):
    plan = with_plan(
        config,
        feed={"cores": "2-4", "one_core_each": True},
        engine={"cores": "5", "policy": "fifo", "priority": 40},
    )

    rendered = rendered_units(plan, UnitPlace())

    feeds = [
        settings_of(rendered[f"{unit_of(row)}.d/cpu.conf"])
        for row in programs().values()
        if row.source is not None
    ]
    assert feeds == [{"CPUAffinity": [str(2 + number % 3)]} for number in range(8)]
    assert settings_of(rendered["spread-engine.service.d/cpu.conf"]) == {
        "CPUAffinity": ["5"],
        "CPUSchedulingPolicy": ["fifo"],
        "CPUSchedulingPriority": ["40"],
        "LimitRTPRIO": ["40"],
        "RestrictRealtime": ["no"],
    }
    assert sum(name.endswith("cpu.conf") for name in rendered) == 9


def test_without_a_plan_there_is_no_drop_in(rendered):
    assert not [name for name in rendered if "/" in name]


@needs_systemd
def test_no_service_is_exposed_beyond_the_limit(rendered, tmp_path):
    services = {name: text for name, text in rendered.items() if name.endswith(".service")}
    for name, text in services.items():
        (tmp_path / name).write_text(text)

    rating = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager",
         *(tmp_path / name for name in services)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    scores = re.findall(r"exposure level for (\S+): ([0-9.]+)", rating.stdout)
    assert len(scores) == len(services), rating.stderr
    assert {name: score for name, score in scores if float(score) > MAX_EXPOSURE} == {}


@needs_systemd
def test_systemd_finds_no_fault_in_any_unit(config, tmp_path):
    root = tmp_path / "root"
    folder = root / "etc/systemd/system"
    folder.mkdir(parents=True)
    share = {"cores": "0", "policy": "fifo", "priority": 1}
    plan = with_plan(config, housekeeping=share, feed=share, engine=share)
    for name, text in rendered_units(plan, UnitPlace()).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    scripts = root / "opt/spreadscan/current/bin"
    scripts.mkdir(parents=True)
    for script in (*programs(), "spread-ctl", "spreadscan"):
        shutil.copy(shutil.which("true"), scripts / script)
    # Targets and slices that ours name are systemd's own.
    (root / "usr/lib").mkdir(parents=True)
    shutil.copytree("/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    names = [name for name in rendered_units(config, UnitPlace()) if "@." not in name]

    faults = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", f"--root={root}",
         *names, unit_of(programs()["feed-okx-spot"])],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    assert (faults.returncode, faults.stderr) == (0, "")


def test_written_units_are_compared_and_brought_in_line(rendered, tmp_path):
    (tmp_path / "feed@.service").write_text(rendered["feed@.service"] + "Nice=-5\n")
    (tmp_path / "spread-old.service").write_text(rendered["spread-engine.service"])
    (tmp_path / "sshd.service").write_text("[Service]\nExecStart=/bin/true\n")
    command = ["units", "--config", str(CONFIG), "--output", str(tmp_path)]

    differing = CliRunner().invoke(app, [*command, "--check"])
    writing = CliRunner().invoke(app, command)
    again = CliRunner().invoke(app, [*command, "--check"])

    assert differing.exit_code == 1
    assert f"changed {tmp_path / 'feed@.service'}" in differing.output
    assert f"removed {tmp_path / 'spread-old.service'}" in differing.output
    assert "sshd" not in differing.output
    assert writing.exit_code == 0
    assert (again.exit_code, again.output) == (0, "")
    assert not (tmp_path / "spread-old.service").exists()
    assert (tmp_path / "sshd.service").exists()
    assert not compare_units(tmp_path, rendered)


def test_unit_of_somebody_else_is_not_overwritten(tmp_path):
    foreign = tmp_path / "shm-init.service"
    foreign.write_text("[Service]\nExecStart=/bin/true\n")

    refusal = CliRunner().invoke(app, ["units", "--config", str(CONFIG), "--output", str(tmp_path)])

    assert refusal.exit_code == 78
    assert str(foreign) in refusal.output
    assert foreign.read_text() == "[Service]\nExecStart=/bin/true\n"


def test_folder_that_cannot_be_written_is_named(tmp_path):
    absent = tmp_path / "file"
    absent.write_text("")

    refusal = CliRunner().invoke(app, ["units", "--config", str(CONFIG), "--output", str(absent)])

    assert refusal.exit_code == 78
    assert str(absent) in refusal.output
