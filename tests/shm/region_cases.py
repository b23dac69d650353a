"""A region's file, and ways to damage it."""

import zlib
from pathlib import Path

from spreadscan.shm.layout import Header, RegionKind
from spreadscan.shm.region import _HEADER, attach_region, region_name

KIND = RegionKind.HEALTH


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
