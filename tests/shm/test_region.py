"""Regions are created once, and one that is not what this build expects is refused by name."""

import os
import pwd

import msgspec
import pytest
from region_cases import KIND, attach, file_of, patch, with_valid_crc

from spreadscan.errors import LayoutMismatch, RegionMissing, RegionRefused
from spreadscan.shm.layout import LAYOUT_VERSION, Control, Header, RegionKind
from spreadscan.shm.region import create_region, region_name
from spreadscan.shm.regions import attach_regions, create_regions

pytestmark = pytest.mark.usefixtures("shm")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def test_absent_region_is_missing_by_name(shm):
    with pytest.raises(RegionMissing) as refusal:
        attach(shm)

    assert refusal.value.region == region_name(shm, KIND)
    assert refusal.value.exit_code == 75


def test_waiting_for_an_absent_region_ends_at_the_limit(shm):
    with pytest.raises(RegionMissing):
        attach_regions(shm, reads=RegionKind, writes=(), timeout_s=0.03)


@pytest.mark.parametrize("size", [1, 127, 128, 4096])
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

    with pytest.raises(RegionRefused, match="not finished: found magic 0"):
        attach(shm)


def test_region_without_a_single_byte_is_refused_as_not_finished(shm):
    create_regions(shm)
    os.truncate(file_of(shm), 0)

    with pytest.raises(RegionRefused, match="not finished: found 0 bytes"):
        attach(shm)


@pytest.mark.parametrize(
    ("field", "name", "value"),
    [
        (0, "layout version", LAYOUT_VERSION + 1),
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
    file_of(shm).chmod(0o600)
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        with pytest.raises(RegionRefused, match="no permission"):
            attach(shm)
    finally:
        os.seteuid(0)


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
