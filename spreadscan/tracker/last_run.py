"""Going on where the tracker's last run ended: its open episodes and its place in the ring."""

import msgspec

from spreadscan.runtime.process import Context
from spreadscan.shm.record_table import RouteTable, route_index
from spreadscan.shm.region import Region
from spreadscan.shm.ring import RingReader
from spreadscan.tracker.book import EpisodeBook
from spreadscan.tracker.episode import Clocks, Episode, EpisodeIds
from spreadscan.tracker.listing import names_now
from spreadscan.tracker.recovery import Opened
from spreadscan.tracker.saved import Saved
from spreadscan.tracker.sight import Rules

__all__ = ["book_of_last_run", "position_of_last_run"]


def book_of_last_run(context: Context, saved: Saved, rules: Rules, now: Clocks) -> EpisodeBook:
    """Return a book with everything that was open, in the running boot's clock."""
    regions = context.regions
    # Openings are numbered from shm-init on.
    is_same_ring = saved.ring_created_ns == regions.ring.created_ns
    names, ids = names_now(context), EpisodeIds(saved.last_id)
    book = EpisodeBook(rules, names, ids, now.boot_id, saved.previous)
    episodes = saved.resumed(now)
    if is_same_ring:
        episodes = [_numbered(episode, regions.routes) for episode in episodes]
    book.restore(episodes)
    seen_ns = 0
    if saved.clocks is not None and saved.clocks.boot_id == now.boot_id:
        seen_ns = saved.clocks.monotonic_ns
    book.bar(seen_ns, saved.expired if is_same_ring else {})
    if episodes:
        context.log.info("resumed %d open episodes", len(episodes))
    return book


def position_of_last_run(ring: RingReader, region: Region, opened: Opened) -> int:
    """Return the sequence of the last signal that the ledger holds the effect of."""
    saved = opened.saved
    if saved.ring_created_ns == region.created_ns:
        return saved.ring_sequence
    # Of another ring. When the ledger was lost, this one still holds what it held.
    return ring.first_held() if opened.damaged else ring.head()


def _numbered(episode: Episode, routes: RouteTable) -> Episode:
    """Return an episode with the number of the opening that the engine holds it open under."""
    route = episode.route
    if route.symbol_id < 0:
        return episode
    state = routes.read(route_index(route.direction_id, route.symbol_id))
    if state is None or not state["is_open"]:
        return episode
    return msgspec.structs.replace(episode, opening=int(state["opening"]))
