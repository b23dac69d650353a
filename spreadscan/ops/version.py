"""Which build this is, and which one the running regions were made by."""

import platform
from importlib.metadata import version

import msgspec

from spreadscan.config import ShmConfig
from spreadscan.errors import RegionError
from spreadscan.shm.layout import LAYOUT_VERSION, RegionKind
from spreadscan.shm.region import BUILD_ID, attach_region

__all__ = ["Version", "version_of"]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """This build, and whether what runs on this host is of it."""

    spreadscan: str
    layout: int
    """Version of the shared memory's layout."""
    build: str
    """One number over all of its offsets, in hexadecimal."""
    python: str
    machine: str
    regions: str
    """``this build``, ``none``, or what differs."""


def version_of(shm: ShmConfig) -> Version:
    """Return the version, and how the host's regions stand to it."""
    try:
        for kind in RegionKind:
            attach_region(shm, kind, writable=False)
        regions = "this build"
    except RegionError as error:
        regions = "none" if error.exit_code != RegionError.exit_code else str(error)
    return Version(
        spreadscan=version("spreadscan"),
        layout=LAYOUT_VERSION,
        build=f"{BUILD_ID:08x}",
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.release()} {platform.machine()}",
        regions=regions,
    )
