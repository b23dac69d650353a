"""One process a role: held means alive, free means dead."""

import errno
import multiprocessing
import os
import signal

import pytest

from spreadscan.errors import AlreadyRunning, RunFolderRefused
from spreadscan.runtime.lock import RoleLock, control_lock, is_lock_held

SPAWN = multiprocessing.get_context("spawn")
ROLE = "spread-engine"


def hold(folder, channel):
    """Body of a process that holds the role until it is killed or told to end."""
    RoleLock(folder, ROLE)
    channel.send("held")
    channel.recv()


@pytest.fixture
def holder(tmp_path):
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    assert ours.poll(30)
    ours.recv()
    yield process
    process.kill()
    process.join(30)


def test_second_instance_is_refused_with_the_pid_of_the_first(tmp_path, holder):
    with pytest.raises(AlreadyRunning, match=f"already running \\(pid {holder.pid}\\)") as refusal:
        RoleLock(tmp_path, ROLE)

    assert refusal.value.exit_code == 75
    assert refusal.value.role == ROLE


def test_refused_instance_leaves_the_holders_name_in_the_file(tmp_path, holder):
    for _ in range(2):
        with pytest.raises(AlreadyRunning, match=str(holder.pid)):
            RoleLock(tmp_path, ROLE)


def test_role_of_a_killed_process_is_free_at_once(tmp_path, holder):
    held = is_lock_held(tmp_path, ROLE)

    os.kill(holder.pid, signal.SIGKILL)
    holder.join(30)

    assert held
    assert not is_lock_held(tmp_path, ROLE)
    RoleLock(tmp_path, ROLE).release()


def test_looking_at_a_lock_does_not_take_it(tmp_path):
    assert not is_lock_held(tmp_path, ROLE)
    lock = RoleLock(tmp_path, ROLE)
    seen = [is_lock_held(tmp_path, ROLE) for _ in range(3)]
    lock.release()

    assert seen == [True] * 3
    assert not is_lock_held(tmp_path, ROLE)


def test_second_lock_of_the_same_process_is_refused_too(tmp_path):
    lock = RoleLock(tmp_path, ROLE)

    with pytest.raises(AlreadyRunning, match=f"pid {os.getpid()}"):
        RoleLock(tmp_path, ROLE)

    lock.release()


def test_roles_do_not_exclude_each_other(tmp_path):
    locks = [RoleLock(tmp_path / "deeper" / "run", role) for role in ("feed-a", "feed-b")]

    assert is_lock_held(tmp_path / "deeper" / "run", "feed-a")
    for lock in locks:
        lock.release()


def test_child_that_outlives_its_parents_exec_does_not_keep_the_role(tmp_path):
    lock = RoleLock(tmp_path, ROLE)

    inheritable = os.get_inheritable(lock._descriptor)
    lock.release()

    assert not inheritable


def test_link_in_place_of_a_lock_is_refused_and_what_it_leads_to_is_untouched(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("content")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "control.lock").symlink_to(precious)

    with pytest.raises(RunFolderRefused, match=r"run/control\.lock: found Too many levels"):
        control_lock(run_dir)

    assert precious.read_text() == "content"


def test_run_folder_that_cannot_be_made_is_told_by_name(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(RunFolderRefused, match=r"file/run: found Not a directory"):
        RoleLock(tmp_path / "file" / "run", "role")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EMFILE])
def test_disk_in_trouble_is_told_with_the_file_and_leaves_the_role_free(
    tmp_path, monkeypatch, number
):
    said = os.strerror(number)

    def refuse(*_):
        raise OSError(number, said)

    with monkeypatch.context() as trouble:
        trouble.setattr("os.pwrite", refuse)
        with pytest.raises(RunFolderRefused, match=rf"role\.lock: found {said}") as refusal:
            RoleLock(tmp_path, "role")

    # It may pass: systemd is to try again.
    assert refusal.value.exit_code == 75
    assert not is_lock_held(tmp_path, "role")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root leaves files of its own elsewhere")
def test_lock_that_root_takes_first_belongs_to_the_owner_of_the_folder(tmp_path):
    nobody = 65_534
    os.chown(tmp_path, nobody, nobody)

    RoleLock(tmp_path, "role").release()

    found = (tmp_path / "role.lock").stat()
    assert (found.st_uid, found.st_gid) == (nobody, nobody)
