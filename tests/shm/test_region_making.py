"""Making, replacing, waiting for and removing regions."""

import os
import shutil
import subprocess
import threading

import msgspec
import pytest
from region_cases import KIND, attach, file_of, patch, with_valid_crc

from spreadscan.config import load_config
from spreadscan.errors import EXIT_TEMPORARY, RegionMissing, RegionRefused
from spreadscan.runtime.lock import RoleLock
from spreadscan.shm.init import main as shm_init
from spreadscan.shm.layout import LAYOUT_VERSION, REGION_SHAPES, Control, Header, RegionKind
from spreadscan.shm.region import attach_region, create_region, region_name, remove_region
from spreadscan.shm.regions import attach_regions, create_regions, lock_regions, remove_regions

pytestmark = pytest.mark.usefixtures("shm")


def test_creating_regions_twice_keeps_the_first_ones(shm):
    made = create_regions(shm)
    stamps = [attach(shm, kind).created_ns for kind in RegionKind]

    made_again = create_regions(shm)

    assert made == [region_name(shm, kind) for kind in RegionKind]
    assert made_again == []
    assert [attach(shm, kind).created_ns for kind in RegionKind] == stamps


def test_new_regions_hold_zeros_behind_their_header(shm):
    create_regions(shm)

    for kind in RegionKind:
        body = file_of(shm, kind).read_bytes()[Header.EPOCH : REGION_SHAPES[kind][0]]
        assert not any(body), kind


def test_region_is_readable_and_writable_by_owner_and_group_whatever_the_umask(shm):
    before = os.umask(0o077)
    try:
        create_regions(shm)
    finally:
        os.umask(before)

    assert {file_of(shm, kind).stat().st_mode & 0o777 for kind in RegionKind} == {0o660}


@pytest.mark.parametrize("state", ["no bytes", "no magic"])
def test_region_that_is_being_made_is_waited_for(shm, state):
    create_regions(shm)
    whole = file_of(shm).read_bytes()
    if state == "no bytes":
        os.truncate(file_of(shm), 0)
    else:
        patch(shm, Header.MAGIC, bytes(8))
    attached = []
    waiting = threading.Thread(
        target=lambda: attached.append(
            attach_regions(shm, reads=[KIND], writes=(), timeout_s=20).health
        )
    )
    waiting.start()

    with file_of(shm).open("r+b") as file:
        file.write(bytes(8) + whole[8:])
    patch(shm, Header.MAGIC, whole[:8])
    waiting.join()

    assert [region.kind for region in attached] == [KIND]


def test_region_that_stays_unfinished_is_refused_when_the_wait_ends(shm):
    create_regions(shm)
    patch(shm, Header.MAGIC, bytes(8))

    with pytest.raises(RegionRefused, match="not finished"):
        attach_regions(shm, reads=[KIND], writes=(), timeout_s=0.03)


def test_damaged_epoch_of_a_replaced_region_begins_at_zero_again(shm):
    create_regions(shm)
    patch(shm, Header.EPOCH, b"\xff" * 8)
    patch(shm, Header.MAGIC, bytes(8))

    create_regions(shm)

    assert attach(shm).epoch == 0


@pytest.mark.parametrize("damage", ["truncated", "other layout", "half made"])
def test_shm_init_replaces_an_unusable_region_and_raises_its_epoch(shm, damage):
    create_regions(shm)
    {
        "truncated": lambda: os.truncate(file_of(shm), 4096),
        "other layout": lambda: with_valid_crc(shm, 0, LAYOUT_VERSION + 1),
        "half made": lambda: patch(shm, Header.MAGIC, bytes(8)),
    }[damage]()

    made = create_regions(shm)

    assert made == [region_name(shm, KIND)]
    assert attach(shm).epoch == 1


def test_process_that_maps_a_replaced_region_keeps_its_old_copy(shm):
    create_regions(shm)
    old = attach_region(shm, RegionKind.CONTROL, writable=True)
    patch(shm, Header.MAGIC, bytes(8), RegionKind.CONTROL)
    create_regions(shm)

    old.mapping.store_word(Control.GENERATION, 7)

    assert attach(shm, RegionKind.CONTROL).mapping.load_word(Control.GENERATION) == 0


def test_removing_regions_is_idempotent(shm):
    create_regions(shm)

    remove_regions(shm)
    remove_regions(shm)

    assert not [kind for kind in RegionKind if file_of(shm, kind).exists()]


def test_locking_regions_into_memory_reports_each_refusal(shm):
    create_regions(shm)
    regions = attach_regions(shm, reads=RegionKind, writes=(), timeout_s=0)

    refusals = lock_regions(regions)

    assert set(refusals) <= {region_name(shm, kind) for kind in RegionKind}
    assert 0 not in refusals.values()


@pytest.fixture
def small_tmpfs(tmp_path):
    """A file system with less room than the regions need."""
    mount = shutil.which("mount")
    folder = tmp_path / "small"
    folder.mkdir()
    if os.geteuid() != 0 or mount is None:
        pytest.skip("mounting a file system needs root")
    made = subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "none", folder], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip(f"this container may not mount: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_full_file_system_refuses_creation_by_name_and_leaves_nothing(shm, small_tmpfs):
    shm = msgspec.structs.replace(shm, backing="hugetlbfs", hugetlbfs_dir=str(small_tmpfs))

    with pytest.raises(RegionRefused, match="no room") as refusal:
        create_region(shm, RegionKind.RING)

    assert refusal.value.region == region_name(shm, RegionKind.RING)
    assert list(small_tmpfs.iterdir()) == []


def test_regions_on_a_mounted_folder_work_like_posix_ones(shm, tmp_path):
    shm = msgspec.structs.replace(shm, backing="hugetlbfs", hugetlbfs_dir=str(tmp_path))

    made = create_region(shm, KIND)

    assert made
    assert attach(shm).name == str(tmp_path / f"{shm.prefix}.health")
    remove_region(shm, KIND)
    with pytest.raises(RegionMissing):
        attach(shm)


def test_shm_init_says_what_it_created_and_what_it_kept(make_config, shm, capsys):
    config = str(make_config({}))

    statuses = [shm_init(["--config", config]) for _ in range(2)]
    lines = capsys.readouterr().out.splitlines()
    removed = shm_init(["--config", config, "--remove"])

    assert [*statuses, removed] == [0, 0, 0]
    assert [line.split(": ")[1] for line in lines] == ["created"] * len(RegionKind) + [
        "kept"
    ] * len(RegionKind)
    assert not file_of(shm).exists()


def test_shm_init_that_is_refused_says_why_on_one_line(make_config, shm, capsys):
    create_regions(shm)

    status = shm_init(["--config", str(make_config({"shm.owner": "nobody"}))])

    assert status == 78
    assert capsys.readouterr().err.count("\n") == 1


def test_second_shm_init_at_once_is_refused_and_makes_nothing(make_config, shm, capsys):
    config = make_config({})
    tree = load_config(config)
    first = RoleLock(tree.path(tree.runtime.run_dir), "shm-init")

    status = shm_init(["--config", str(config)])
    first.release()

    assert status == EXIT_TEMPORARY
    assert "shm-init: already running (pid" in capsys.readouterr().err
    with pytest.raises(RegionMissing):
        attach_region(tree.shm, RegionKind.RING, writable=False)
