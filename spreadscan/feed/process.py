"""``feed-<exchange>-<market>``: one source's quotes into the price store.

One event loop, one task a connection, and one that beats. A task that ends for any reason ends the
process: systemd or the supervisor starts it again with nothing left over. A new universe needs no
restart: only what differs is subscribed and unsubscribed. A source without symbols has no
connection, and its feed waits for a universe that has some.
"""

import asyncio

import uvloop

from spreadscan.exchanges import source_named
from spreadscan.feed.fleet import Fleet
from spreadscan.feed.shared import Shared
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import FeedSink
from spreadscan.runtime.process import Context
from spreadscan.runtime.trust import trust_of
from spreadscan.shm.wakeup import WakeupClient

__all__ = ["main"]

TURN_S = 0.05
"""How often the loop beats and looks whether the engine's eventfd is still the same."""


def main(context: Context) -> None:
    """Feed until told to stop."""
    uvloop.run(_feed(context))


async def _feed(context: Context) -> None:
    assert context.program.source is not None, context.program.name
    config = context.config
    source = source_named(context.program.source)
    restart = source.spec.restart_update_id
    extractor = Extractor(source.spec.plan, [])
    sink = FeedSink(
        source.source_id,
        extractor,
        context.regions.prices.slots,
        context.regions.dirty.bits,
        context.health.slot,
        restart_update_id=-1 if restart is None else restart,
        is_restart_told_by_time=source.spec.is_restart_told_by_time,
    )
    shared = Shared(
        source=source,
        market=config.market(source),
        feed=config.feed,
        sink=sink,
        health=context.health,
        trust=trust_of(config),
        clock=context.clock,
        log=context.log,
    )
    fleet = Fleet(shared, extractor)
    fleet.adopt(context.universe.legs(source.source_id))
    context.ready(fleet.summary)
    try:
        await _beat(context, sink, fleet)
    finally:
        sink.close()
        await fleet.close()


async def _beat(context: Context, sink: FeedSink, fleet: Fleet) -> None:
    wakeup = WakeupClient(context.config.path(context.config.runtime.run_dir) / "wakeup.sock")
    while context.tick():
        if context.must_reload:
            _reload(context, sink.source_id, fleet)
        if context.has_new_command:
            # A feed goes on under every pause; ending is what tick says.
            context.obeyed()
        sink.set_wake_fd(wakeup.refresh())
        fleet.check()
        await asyncio.sleep(TURN_S)
    # The connections may still deliver; they must not write to a number that is somebody else's.
    sink.set_wake_fd(-1)
    wakeup.close()


def _reload(context: Context, source_id: int, fleet: Fleet) -> None:
    """Go over to the universe that is there now; one that cannot be used changes nothing."""
    before = context.universe
    if not context.reload():
        return
    try:
        fleet.adopt(context.universe.legs(source_id))
    except ValueError as error:
        trouble = f"universe {context.universe.generation} refused: {error}"
        # The health slot goes on showing the generation that is in use.
        context.universe = before
        context.log.warning("%s", trouble)
        context.status(f"{trouble}; {fleet.summary}")
        return
    context.status(fleet.summary)
