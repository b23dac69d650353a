"""``spreadscan shm-size``: how much shared memory the layout needs, for provisioning."""

from typing import Annotated

import orjson
import typer

from spreadscan.shm.layout import LAYOUT_VERSION, REGION_SHAPES
from spreadscan.shm.region import BUILD_ID

__all__ = ["shm_size"]

HUGE_PAGE_BYTES = 2 * 1024 * 1024


def shm_size(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the size of every region and how many 2 MiB huge pages hold them.

    Releases with the same layout can run on the same regions, one program of each beside another.
    """
    sizes = {kind.name.lower(): size for kind, (size, _, _) in REGION_SHAPES.items()}
    # A region is a file of its own, so each is rounded up by itself.
    pages = sum(-(-size // HUGE_PAGE_BYTES) for size in sizes.values())
    total = sum(sizes.values())
    if as_json:
        # Regions of one size may have their fields elsewhere.
        layout = f"{LAYOUT_VERSION}-{BUILD_ID:08x}"
        answer = {"layout": layout, "regions": sizes, "total_bytes": total, "huge_pages": pages}
        typer.echo(orjson.dumps(answer).decode())
        return
    for name, size in sizes.items():
        typer.echo(f"{name:<10}{size:>12,} bytes")
    typer.echo(f"{'total':<10}{total:>12,} bytes, {pages} huge pages of 2 MiB")
