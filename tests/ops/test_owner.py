"""Root's commands leave behind what belongs to the programs' user."""

import errno
import json
import os

import pytest
from typer.testing import CliRunner

from spreadscan.cli.ctl import app as ctl
from spreadscan.cli.main import app as spreadscan
from spreadscan.config import load_config
from spreadscan.holds import holds_file
from spreadscan.ops.operation_log import operations_file
from spreadscan.ops.owner import act_as_owner

NOBODY = 65_534

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")


def in_a_child(body):
    """Run a function in a process of its own; return what it returns."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write_end, json.dumps(body()).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as told:
        found = json.load(told)
    os.waitpid(child, 0)
    return found


@pytest.fixture
def theirs(tmp_path):
    """A folder of another user, who may walk to it."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.name.startswith(("pytest", "popen")):
            folder.chmod(0o755)
    os.chown(tmp_path, NOBODY, NOBODY)
    return tmp_path


def test_root_acts_as_the_owner_of_the_nearest_folder_and_stays_root_by_name(theirs):
    def body():
        act_as_owner(theirs / "not" / "yet")
        (theirs / "left").write_text("")
        return [os.getuid(), os.geteuid(), os.getegid(), os.getgroups()]

    assert in_a_child(body) == [0, NOBODY, NOBODY, [NOBODY]]
    assert (theirs / "left").stat().st_uid == NOBODY


def test_owner_who_has_no_number_here_is_left_alone_and_the_command_goes_on(theirs, monkeypatch):
    def refuse(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("os.seteuid", refuse)

    assert in_a_child(lambda: [act_as_owner(theirs), os.geteuid()]) == [None, 0]


def test_folder_that_cannot_be_looked_at_is_left_to_the_command(theirs):
    (theirs / "loop").symlink_to(theirs / "loop")
    (theirs / "file").write_text("")

    def body():
        act_as_owner(theirs / "loop" / "run")
        looping = os.geteuid()
        act_as_owner(theirs / "file" / "run")
        return [looping, os.geteuid()]

    (theirs / "file").chmod(0o644)
    os.chown(theirs / "file", NOBODY, NOBODY)
    assert in_a_child(body) == [0, NOBODY]


def test_folder_of_root_changes_nothing(tmp_path):
    assert in_a_child(lambda: [act_as_owner(tmp_path), os.geteuid()]) == [None, 0]


@pytest.mark.parametrize(
    ("group", "command"),
    [(ctl, name) for name in ("pause", "resume", "kill", "reload", "top", "discover")]
    + [(spreadscan, "compact")],
)
def test_command_that_writes_acts_as_the_owner_whatever_comes_of_it(
    make_config, theirs, group, command
):
    file = make_config({})
    CliRunner().invoke(group, [command, "--help"])

    def body():
        CliRunner().invoke(group, [command, "--config", str(file)])
        return os.geteuid()

    assert in_a_child(body) == NOBODY


def test_pause_by_root_is_stored_as_the_programs_user_and_signed_by_who_did_it(
    make_config, theirs, monkeypatch
):
    monkeypatch.setenv("SUDO_USER", "alice")
    file = make_config({})
    config = load_config(file)
    CliRunner().invoke(ctl, ["pause", "--help"])

    def body():
        done = CliRunner().invoke(ctl, ["pause", "--config", str(file)])
        return [done.exit_code, done.stderr]

    told = in_a_child(body)

    run_dir = config.path(config.runtime.run_dir)
    assert told == [0, ""]
    for left in (holds_file(config), operations_file(config), run_dir, run_dir / "control.lock"):
        assert left.stat().st_uid == NOBODY, left
    assert json.loads(operations_file(config).read_text())["by"] == "alice"
