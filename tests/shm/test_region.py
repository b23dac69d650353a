"""Regions are created once, and one that is not what this build expects is refused by name."""

import os
import pwd
import shutil
import subprocess
import zlib
from pathlib import Path

import msgspec
import pytest

from spreadscan.errors import LayoutMismatch, RegionMissing, RegionRefused
from spreadscan.shm.init import main as shm_init
from spreadscan.shm.layout import REGION_SHAPES, Control, Header, RegionKind
from spreadscan.shm.region import _HEADER, attach_region, create_region, region_name, remove_region
from spreadscan.shm.regions import attach_regions, create_regions, lock_regions, remove_regions

KIND = RegionKind.HEALTH

pytestmark = pytest.mark.usefixtures("shm")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def file_of(shm, kind=KIND):
    return Path("/dev/shm") / region_name(shm, kind).lstrip("/")


def patch(shm, offset, data, kind=KIND):
    with file_of(shm, kind).open("r+b") as file:
        file.seek(offset)
        file.write(data)


def with_valid_crc(shm, field, value):
    """Change a header field as another build would have written it: its CRC is right."""
    body = file_of(shm).read_bytes()[Header.LAYOUT_VERSION : Header.CRC_END]
    fields = list(_HEADER.unpack(body))
    fields[field], fields[7] = value, 0
    fields[7] = zlib.crc32(_HEADER.pack(*fields))
    patch(shm, Header.LAYOUT_VERSION, _HEADER.pack(*fields))


def attach(shm, kind=KIND):
    return attach_region(shm, kind, writable=False)


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


def test_absent_region_is_missing_by_name(shm):
    with pytest.raises(RegionMissing) as refusal:
        attach(shm)

    assert refusal.value.region == region_name(shm, KIND)
    assert refusal.value.exit_code == 75


def test_waiting_for_an_absent_region_ends_at_the_limit(shm):
    with pytest.raises(RegionMissing):
        attach_regions(shm, reads=RegionKind, writes=(), timeout_s=0.03)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 4096])
def test_truncated_region_is_refused(shm, size):
    create_regions(shm)
    os.truncate(file_of(shm), size)

    with pytest.raises(RegionRefused, match="truncated") as refusal:
        attach(shm)

    assert refusal.value.found == f"{size} bytes"
    assert region_name(shm, KIND) in str(refusal.value)


def test_region_that_is_too_long_is_refused(shm):
    create_regions(shm)
    os.truncate(file_of(shm), file_of(shm).stat().st_size + 4096)

    with pytest.raises(RegionRefused, match="truncated or foreign"):
        attach(shm)


def test_region_with_another_magic_is_refused(shm):
    create_regions(shm)
    patch(shm, Header.MAGIC, b"NOTMINE!")

    with pytest.raises(RegionRefused, match="wrong magic") as refusal:
        attach(shm)

    assert refusal.value.found == hex(int.from_bytes(b"NOTMINE!", "little"))


def test_half_made_region_is_refused(shm):
    create_regions(shm)
    patch(shm, Header.MAGIC, bytes(8))

    with pytest.raises(RegionRefused, match="never finished"):
        attach(shm)


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        (0, "layout version", 2),
        (1, "kind", int(RegionKind.RING)),
        (2, "bytes", 4096),
        (3, "record bytes", 64),
        (4, "capacity", 15),
        (5, "build id", 12345),
    ],
)
def test_region_of_another_build_is_refused_with_both_values(shm, field, name, value):
    create_regions(shm)
    with_valid_crc(shm, field, value)

    with pytest.raises(LayoutMismatch) as refusal:
        attach(shm)

    assert (refusal.value.region, refusal.value.field) == (region_name(shm, KIND), name)
    assert refusal.value.found == value
    assert refusal.value.expected != value
    assert refusal.value.exit_code == 78


@pytest.mark.parametrize("offset", range(Header.CREATOR_PID, Header.CRC_END))
def test_any_damaged_byte_behind_the_checked_fields_is_refused(shm, offset):
    create_region(shm, KIND)
    byte = file_of(shm).read_bytes()[offset]
    patch(shm, offset, bytes([byte ^ 0x40]))

    with pytest.raises(RegionRefused, match="damaged header"):
        attach(shm)


def test_region_of_another_owner_is_refused(shm):
    create_regions(shm)

    with pytest.raises(RegionRefused, match="owner") as refusal:
        attach(msgspec.structs.replace(shm, owner="nobody"))

    assert refusal.value.found == f"uid {os.geteuid()}"
    assert refusal.value.expected == f"uid {pwd.getpwnam('nobody').pw_uid}"


def test_owner_that_does_not_exist_is_refused_by_its_name(shm):
    create_regions(shm)

    with pytest.raises(RegionRefused, match="no user 'no-such-user'"):
        attach(msgspec.structs.replace(shm, owner="no-such-user"))


@needs_root
def test_region_that_somebody_else_made_is_neither_used_nor_replaced(shm):
    create_regions(shm)
    os.chown(file_of(shm), pwd.getpwnam("nobody").pw_uid, -1)

    with pytest.raises(RegionRefused, match="owner"):
        create_regions(shm)

    assert file_of(shm).exists()


@needs_root
def test_region_without_permission_is_refused(shm):
    create_regions(shm)
    os.chmod(file_of(shm), 0o600)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        with pytest.raises(RegionRefused, match="no permission"):
            attach(shm)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("damage", ["truncated", "other layout", "half made"])
def test_shm_init_replaces_an_unusable_region_and_raises_its_epoch(shm, damage):
    create_regions(shm)
    {
        "truncated": lambda: os.truncate(file_of(shm), 4096),
        "other layout": lambda: with_valid_crc(shm, 0, 2),
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


def test_region_attached_for_reading_refuses_to_be_written(shm):
    create_regions(shm)
    region = attach(shm, RegionKind.CONTROL)

    with pytest.raises(PermissionError):
        region.mapping.store_word(Control.GENERATION, 1)

    assert region.mapping.load_word(Control.GENERATION) == 0


@pytest.mark.parametrize("offset", [-8, 4, 8192, 2**40])
def test_word_outside_the_mapping_is_refused(shm, offset):
    create_regions(shm)

    with pytest.raises(ValueError, match="no word at offset"):
        attach(shm, RegionKind.CONTROL).mapping.load_word(offset)


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
    assert [line.split(": ")[1] for line in lines] == ["created"] * 5 + ["kept"] * 5
    assert not file_of(shm).exists()


def test_shm_init_that_is_refused_says_why_on_one_line(make_config, shm, capsys):
    create_regions(shm)

    status = shm_init(["--config", str(make_config({"shm.owner": "nobody"}))])

    assert status == 78
    assert capsys.readouterr().err.count("\n") == 1
