"""A night's shutdown, the archive of a finished day, backup and restore."""

import re

from plays import REPOSITORY

from test_box import STORY

pytestmark = STORY

# Says what a command took, and ends as it did.
CHILD_MEMORY = """\
import resource, subprocess, sys
ended = subprocess.call(sys.argv[1:])
print(f"peak {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss} KiB")
sys.exit(ended)
"""
NOT_RUNNING = 3


def test_shutdown_holds_until_start_and_open_episodes_go_on(box, appliance):
    opened = appliance.open_episodes()

    box.ssh.run("spread-ctl shutdown", user="alice")

    states = {
        tuple(appliance.show(unit, "ActiveState", "SubState").values())
        for unit in ["spreadscan.target", *appliance.services()]
    }
    again = box.ssh.run("spread-ctl shutdown", user="alice", check=False)
    assert states == {("inactive", "dead")}
    assert again.returncode == NOT_RUNNING
    assert appliance.status() == NOT_RUNNING

    # A night passes: what was written so far is the day before's.
    box.ssh.run(
        "cd /var/lib/spreadscan/data; for file in ledger-*; do "
        'mv "$file" "${file/-20??-??-??/-$(date --utc --date=yesterday +%F)}"; done'
    )
    box.ssh.run("spread-ctl start", user="alice")

    assert appliance.inactive() == []
    appliance.require_kept(opened)


def test_compaction_archives_a_finished_day_within_its_memory(box, appliance, measured):
    unit, folder = "ledger-compaction.service", "/run/systemd/system/ledger-compaction.service.d"
    appliance.wait("a second part", lambda: len(appliance.files("data/ledger-*.sqlite3")) > 1)
    episodes = set(appliance.episodes())
    shown = appliance.show(unit, "ExecStart", "MemoryMax")
    command = re.search(r"argv\[\]=(.*?) ;", shown["ExecStart"])[1]

    # The same command under the same confinement, by one who says how much memory it took.
    box.ssh.run(f"mkdir -p {folder}; cat > {folder}/child_memory.py <<'END'\n{CHILD_MEMORY}END")
    own = f"[Service]\nExecStart=\nExecStart=python3 {folder}/child_memory.py {command}\n"
    box.ssh.run(f"cat > {folder}/measured.conf <<'END'\n{own}END\nsystemctl daemon-reload")
    box.ssh.run(f"systemctl start {unit}")
    box.ssh.run(f"rm -r {folder}; systemctl daemon-reload")

    said = box.ssh.run(f"journalctl --no-pager --output=cat --unit={unit} --lines=20").stdout
    peak_kib = int(re.search(r"peak (\d+) KiB", said)[1])
    measured["compaction_mib"] = peak_kib / 1024
    assert "snapshots" in said
    assert peak_kib * 1024 < int(shown["MemoryMax"])
    assert appliance.files("data/history/*-episodes.parquet")
    assert episodes <= appliance.episodes().keys()


def test_backup_and_restore_of_the_guide_bring_every_episode_back(box, appliance):
    backup, restore = guide_commands("# backup"), guide_commands("# restore")

    opened = appliance.open_episodes()
    box.ssh.run(backup)
    box.ssh.run(restore)

    assert appliance.inactive() == []
    assert appliance.files("data-before/ledger-*.sqlite3")
    appliance.require_kept(opened)
    appliance.wait("all green", lambda: appliance.status("alice") == 0)


def guide_commands(beginning):
    """Return the block of commands that begins so in docs/deployment.md, to end where one fails."""
    text = (REPOSITORY / "docs/deployment.md").read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    [commands] = [block for block in blocks if block.startswith(beginning)]
    return f"set -e\n{commands}"
