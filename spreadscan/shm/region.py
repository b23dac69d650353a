"""One shared-memory region: create it, map it, prove that it is the one this build expects.

POSIX shared memory through posix_ipc, or a file on hugetlbfs. Never the standard library's
``multiprocessing.shared_memory``: it deletes the segment when any attaching process exits
(CPython issue 82300). The magic is stored last, so a region that is only half made is refused.
"""

import mmap
import os
import pwd
import struct
import time
import zlib
from pathlib import Path

import posix_ipc

from spreadscan.config import ShmConfig
from spreadscan.errors import LayoutMismatch, RegionMissing, RegionRefused
from spreadscan.kernel.memory import Mapping
from spreadscan.kernel.offsets import layout_table
from spreadscan.shm.layout import LAYOUT_VERSION, MAGIC, REGION_SHAPES, Header, RegionKind
from spreadscan.shm.pid import start_ticks

__all__ = ["UNFINISHED", "Region", "attach_region", "create_region", "region_name", "remove_region"]

MODE = 0o660
# The reason of a refusal that shm-init may be about to end.
UNFINISHED = "not finished"
HUGE_PAGE_BYTES = 2 * 1024 * 1024
# One number over all offsets: two builds that call themselves the same version but differ refuse
# each other.
BUILD_ID = zlib.crc32(repr(sorted(layout_table().items())).encode())
# version, kind, bytes, record bytes, capacity, build id, pid, crc, start ticks, created
_HEADER = struct.Struct("<IIQIIQIIQQ")


class Region:
    """A mapped and verified region.

    Concurrency: the mapping is shared; see ``shm/layout.py`` for who may write which word.
    """

    def __init__(self, name: str, kind: RegionKind, view: mmap.mmap) -> None:
        self.name = name
        self.kind = kind
        self.mapping = Mapping(view, REGION_SHAPES[kind][0])

    @property
    def created_ns(self) -> int:
        """Wall-clock time of creation; tells one incarnation of a region from the next."""
        return self.mapping.load_word(Header.CREATED_NS)

    @property
    def epoch(self) -> int:
        """How many times shm-init has made this region anew."""
        return self.mapping.load_word(Header.EPOCH)


def region_name(shm: ShmConfig, kind: RegionKind) -> str:
    """Return the name under which a region is found."""
    if shm.backing == "hugetlbfs":
        return str(Path(shm.hugetlbfs_dir) / f"{shm.prefix}.{kind.name.lower()}")
    return f"/{shm.prefix}.{kind.name.lower()}"


def create_region(shm: ShmConfig, kind: RegionKind) -> bool:
    """Make sure that the region is there and usable; return True when it was made anew.

    A usable one stays as it is, whoever uses it now. One of another layout, or half made, is
    unlinked and replaced: processes that still map it keep their old copy and refuse the new one.

    Raises:
        RegionRefused: it belongs to another user, or there is no room for it.
    """
    epoch = 0
    try:
        attach_region(shm, kind, writable=False)
    except RegionMissing:
        pass
    except (LayoutMismatch, RegionRefused) as error:
        if isinstance(error, RegionRefused) and error.reason == "owner":
            raise
        # What stands in a damaged header may be any number.
        epoch = (_previous_epoch(shm, kind) + 1) % 2**64
        remove_region(shm, kind)
    else:
        return False
    _create(shm, kind, epoch)
    return True


def attach_region(shm: ShmConfig, kind: RegionKind, *, writable: bool) -> Region:
    """Map an existing region after checking all of its header.

    Raises:
        RegionMissing: there is none.
        RegionRefused: truncated, of another owner, not finished, or damaged.
        LayoutMismatch: made by another build.
    """
    name = region_name(shm, kind)
    descriptor = _open(shm, kind, os.O_RDWR if writable else os.O_RDONLY)
    try:
        status = os.fstat(descriptor)
        expected_bytes = _file_bytes(shm, kind)
        owner = _owner_uid(shm)
        if status.st_uid != owner:
            raise RegionRefused(name, "owner", f"uid {status.st_uid}", f"uid {owner}")
        if status.st_size == 0:
            raise RegionRefused(name, UNFINISHED, "0 bytes", expected_bytes)
        if status.st_size != expected_bytes:
            raise RegionRefused(
                name, "truncated or foreign file", f"{status.st_size} bytes", expected_bytes
            )
        protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
        view = mmap.mmap(
            descriptor, expected_bytes, mmap.MAP_SHARED | mmap.MAP_POPULATE, protection
        )
    finally:
        os.close(descriptor)
    _verify(name, kind, view)
    return Region(name, kind, view)


def remove_region(shm: ShmConfig, kind: RegionKind) -> None:
    """Unlink the region if it is there; processes that map it keep it until they end."""
    try:
        if shm.backing == "hugetlbfs":
            Path(region_name(shm, kind)).unlink()
        else:
            posix_ipc.unlink_shared_memory(region_name(shm, kind))
    except (FileNotFoundError, posix_ipc.ExistentialError):
        pass


def _open(shm: ShmConfig, kind: RegionKind, flags: int) -> int:
    name = region_name(shm, kind)
    try:
        if shm.backing == "hugetlbfs":
            return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        read_only = flags & os.O_ACCMODE == os.O_RDONLY
        posix_flags = posix_ipc.O_CREX if flags & os.O_CREAT else 0
        segment = posix_ipc.SharedMemory(name, posix_flags, mode=MODE, read_only=read_only)
    except (FileNotFoundError, posix_ipc.ExistentialError) as error:
        if flags & os.O_CREAT:
            raise RegionRefused(name, "in the way", str(error), "no such region") from None
        raise RegionMissing(name) from None
    except (PermissionError, posix_ipc.PermissionsError):
        raise RegionRefused(name, "owner", "no permission", "membership in its group") from None
    return int(segment.fd)


def _file_bytes(shm: ShmConfig, kind: RegionKind) -> int:
    page = HUGE_PAGE_BYTES if shm.backing == "hugetlbfs" else mmap.PAGESIZE
    return -(-REGION_SHAPES[kind][0] // page) * page


def _owner_uid(shm: ShmConfig) -> int:
    if shm.owner == "self":
        return os.geteuid()
    try:
        return pwd.getpwnam(shm.owner).pw_uid
    except KeyError:
        raise RegionRefused(
            shm.prefix, "shm.owner", f"no user {shm.owner!r}", "an existing user"
        ) from None


def _previous_epoch(shm: ShmConfig, kind: RegionKind) -> int:
    descriptor = _open(shm, kind, os.O_RDONLY)
    try:
        return int.from_bytes(os.pread(descriptor, 8, Header.EPOCH), "little")
    finally:
        os.close(descriptor)


def _create(shm: ShmConfig, kind: RegionKind, epoch: int) -> None:
    name = region_name(shm, kind)
    size, record_bytes, capacity = REGION_SHAPES[kind]
    descriptor = _open(shm, kind, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        # umask would turn 0660 into 0640 and lock the group's writers out.
        os.fchmod(descriptor, MODE)
        try:
            os.ftruncate(descriptor, _file_bytes(shm, kind))
            # Every page now: a full tmpfs must fail here, not as SIGBUS in a feed.
            os.posix_fallocate(descriptor, 0, _file_bytes(shm, kind))
        except OSError as error:
            remove_region(shm, kind)
            found = error.strerror or str(error)
            raise RegionRefused(name, "no room", found, f"{size} bytes free") from None
        view = mmap.mmap(descriptor, _file_bytes(shm, kind))
    finally:
        os.close(descriptor)
    pid = os.getpid()
    fields = [LAYOUT_VERSION, kind, size, record_bytes, capacity, BUILD_ID, pid, 0]
    fields += [start_ticks(pid), time.time_ns()]
    fields[7] = zlib.crc32(_HEADER.pack(*fields))
    # Nobody else looks at this region before the magic is there, so plain stores will do until it.
    view[Header.LAYOUT_VERSION : Header.CRC_END] = _HEADER.pack(*fields)
    mapping = Mapping(view, size)
    mapping.store_word(Header.EPOCH, epoch)
    mapping.store_word(Header.MAGIC, MAGIC)


def _verify(name: str, kind: RegionKind, view: mmap.mmap) -> None:
    size, record_bytes, capacity = REGION_SHAPES[kind]
    # sync: pairs with the store_word that ends _create; the other fields were stored before it.
    magic = Mapping(view, Header.BYTES).load_word(Header.MAGIC)
    if magic == 0:
        raise RegionRefused(name, UNFINISHED, "magic 0", hex(MAGIC))
    if magic != MAGIC:
        raise RegionRefused(name, "wrong magic", hex(magic), hex(MAGIC))
    fields = list(_HEADER.unpack(view[Header.LAYOUT_VERSION : Header.CRC_END]))
    expected = {
        "layout version": (fields[0], LAYOUT_VERSION),
        "kind": (fields[1], int(kind)),
        "bytes": (fields[2], size),
        "record bytes": (fields[3], record_bytes),
        "capacity": (fields[4], capacity),
        "build id": (fields[5], BUILD_ID),
    }
    for field, (found, wanted) in expected.items():
        if found != wanted:
            raise LayoutMismatch(name, field, found, wanted)
    stored_crc, fields[7] = fields[7], 0
    computed_crc = zlib.crc32(_HEADER.pack(*fields))
    if stored_crc != computed_crc:
        raise RegionRefused(name, "damaged header", f"crc {stored_crc:#x}", f"{computed_crc:#x}")
