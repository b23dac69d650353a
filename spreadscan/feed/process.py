"""``feed-<exchange>-<market>``: one source's quotes into the price store.

One event loop, one task a connection, and one that beats. A task that ends for any reason ends the
process: systemd or the supervisor starts it again with nothing left over.
"""

import asyncio

import uvloop

from spreadscan.exchanges import source_named
from spreadscan.feed.connection import Connection, Shared
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.listener import FeedSink
from spreadscan.manners.shards import plan_shards
from spreadscan.runtime.process import Context
from spreadscan.runtime.trust import trust_of
from spreadscan.shm.layout import FeedCounter
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
    legs = context.universe.legs(source.source_id)
    restart = source.spec.restart_update_id
    sink = FeedSink(
        source.source_id,
        Extractor(source.spec.plan, legs),
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
    context.health.set(FeedCounter.SYMBOLS_EXPECTED, len(legs))
    shards = plan_shards(
        [(symbol, symbol_id) for symbol, symbol_id, _, _ in legs],
        shared.market.topics_per_connection,
        source.spec.topic,
        source.spec.limits.topic_bytes_per_connection,
    )
    context.ready(f"{len(legs)} symbols on {len(shards)} connections")
    connections = [asyncio.create_task(Connection(shared, shard).keep()) for shard in shards]
    try:
        await _beat(context, sink, connections)
    finally:
        sink.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _beat(context: Context, sink: FeedSink, connections: list[asyncio.Task[None]]) -> None:
    wakeup = WakeupClient(context.config.path(context.config.runtime.run_dir) / "wakeup.sock")
    while context.tick():
        if context.has_new_command:
            # A feed goes on under every pause; ending is what tick says.
            context.obeyed()
        sink.set_wake_fd(wakeup.refresh())
        for task in connections:
            if task.done():
                # Raises what ended it; a connection's loop never ends by itself.
                task.result()
        await asyncio.sleep(TURN_S)
    # The connections may still deliver; they must not write to a number that is somebody else's.
    sink.set_wake_fd(-1)
    wakeup.close()
