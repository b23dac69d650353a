"""``feed-<exchange>-<market>``: one source's quotes into the price store.

One event loop, one task a connection, and one that beats, watches over silence and goes over to new
universes. A task that ends for any reason ends the process: systemd or the supervisor starts it
again with nothing left over. A new universe needs no restart: only what differs is subscribed and
unsubscribed. A source without symbols has no connection, and its feed waits for a universe that has
some.
"""

import asyncio
import random

import uvloop

from spreadscan.exchanges import source_named
from spreadscan.feed.fleet import Fleet
from spreadscan.feed.funding import FundingRefresh
from spreadscan.feed.funding_book import FundingPace
from spreadscan.feed.recorder import Recorder
from spreadscan.feed.rest import RestDoor
from spreadscan.feed.shared import Shared
from spreadscan.feed.spot_check import SpotCheck
from spreadscan.feed.watch import Watch, silence_limits
from spreadscan.kernel.extract import Extractor
from spreadscan.kernel.sink import FeedSink
from spreadscan.manners.allowances import allowances_of
from spreadscan.manners.shards import expected_rates
from spreadscan.rawlog import FundingRow
from spreadscan.runtime.plan_file import PlanFile
from spreadscan.runtime.process import Context
from spreadscan.runtime.trust import trust_of
from spreadscan.shm.counters import FeedCounter
from spreadscan.shm.health import HealthReader
from spreadscan.shm.wakeup import WakeupClient

__all__ = ["main"]

TURN_S = 0.05
"""How often the loop beats and looks whether the engine's eventfd is still the same."""


def main(context: Context) -> None:
    """Feed until told to stop."""
    uvloop.run(_feed(context))


async def _feed(context: Context) -> None:
    feed = _Feed(context)
    feed.adopt()
    try:
        await feed.beat()
    finally:
        await feed.close()


class _Feed:
    """The parts of a running feed."""

    def __init__(self, context: Context) -> None:
        assert context.program.source is not None, context.program.name
        config = context.config
        source = source_named(context.program.source)
        market = config.market(source)
        restart = source.spec.restart_update_id
        extractor = Extractor(source.spec.plan, [])
        self._context = context
        self._source_id, self._source_name = source.source_id, source.name
        # Of a universe that was refused; nothing of it is written back as obeyed.
        self._refused_generation: int | None = None
        self._trouble = ""
        self._began_ns = context.clock.monotonic_ns()
        self._is_ready = False
        self._sink = FeedSink(
            source.source_id,
            extractor,
            context.regions.prices.slots,
            context.regions.dirty.bits,
            context.health.slot,
            restart_update_id=-1 if restart is None else restart,
            is_restart_told_by_time=source.spec.is_restart_told_by_time,
            sends_unchanged=source.spec.sends_unchanged,
            max_lag_ms=config.feed.max_lag_ms,
            max_jump_pct=config.feed.max_jump_pct,
        )
        self._recorder: Recorder | None = None
        if config.record.enabled:
            self._recorder = Recorder(
                config, source.name, context.universe, context.clock, context.log
            )
            self._sink.tap = self._recorder.tap
        allowances = allowances_of(config, source, context.regions.governor.mapping)
        shared = Shared(
            source=source,
            market=market,
            feed=config.feed,
            sink=self._sink,
            health=context.health,
            trust=trust_of(config),
            clock=context.clock,
            log=context.log,
            allowances=allowances,
        )
        self._fleet = Fleet(shared, extractor)
        self._plan_file = PlanFile(config.path(config.runtime.run_dir), source.name)
        door = RestDoor(
            rest_url=market.rest_url,
            timeout_s=config.feed.connect_timeout_s,
            gate=allowances.rest_gate(context.clock),
            trust=shared.trust,
            clock=context.clock,
        )
        self._spot_check = SpotCheck(
            source=source,
            interval_s=config.feed.spot_check_interval_s,
            door=door,
            symbols=lambda: shared.ids,
            clock=context.clock,
            log=context.log,
        )
        self._funding = FundingRefresh(
            source=source,
            pace=FundingPace(
                interval_s=config.feed.funding_interval_s,
                settle_delay_s=config.feed.funding_settle_delay_s,
            ),
            door=door,
            table=context.regions.funding,
            health=context.health,
            note=self._funded,
            clock=context.clock,
            chance=random.random,
            log=context.log,
        )
        self._watch = Watch(
            source=source,
            limits=silence_limits(config.feed, source.spec),
            fleet=self._fleet,
            sink=self._sink,
            spot_check=self._spot_check,
            confirm=self._confirm,
            prices=context.regions.prices,
            health=HealthReader(context.regions.health),
            clock=context.clock,
            log=context.log,
        )

    @property
    def status(self) -> str:
        """Say how it is, trouble first: the health slot cuts what is too long."""
        recording = self._recorder.trouble if self._recorder else ""
        parts = (
            self._trouble,
            self._watch.trouble,
            recording and f"recording stopped: {recording}",
            self._funding.trouble,
            self._fleet.summary,
        )
        return "; ".join(part for part in parts if part)

    def adopt(self) -> None:
        """Go over to the context's universe.

        Raises:
            ValueError: the kernel refuses an instrument; everything is as it was.
        """
        universe = self._context.universe
        legs = universe.legs(self._source_id)
        self._fleet.adopt(legs, expected_rates(universe.turnover_usd.get(self._source_name, {})))
        self._watch.adopt(legs)
        self._funding.adopt({symbol: symbol_id for symbol, symbol_id, *_ in legs})

    async def beat(self) -> None:
        """Turn until told to stop."""
        context, sink = self._context, self._sink
        wakeup = WakeupClient(context.config.path(context.config.runtime.run_dir) / "wakeup.sock")
        shown = self.status
        context.status(shown)
        while context.tick():
            if context.must_reload:
                self._reload()
            if context.has_new_command and context.control.generation != self._refused_generation:
                # A feed goes on under every pause; ending is what tick says.
                context.obeyed()
            sink.set_wake_fd(wakeup.refresh())
            self._fleet.check()
            self._watch.turn()
            self._funding.turn()
            # Data or none: an exchange that is silent is the watch's to mend, not systemd's. But
            # where nobody mends any more, a new process does.
            if self._fleet.is_at_work:
                context.worked()
            self._plan_file.publish(self._fleet.plan, context.clock.monotonic_ns())
            context.health.set(FeedCounter.SYMBOLS_MISSING, self._watch.missing_count)
            if self._recorder is not None:
                self._recorder.check()
                sink.tap = self._recorder.tap
                context.health.set(FeedCounter.RECORDED, self._recorder.recorded_count)
                context.health.set(FeedCounter.RECORD_LOST, self._recorder.lost_count)
            if not self._is_ready and self._does_useful_work():
                self._is_ready = True
                context.ready(self.status)
            if self.status != shown:
                shown = self.status
                context.status(shown)
            await asyncio.sleep(TURN_S)
        # The connections may still deliver; they must not write to a number that is somebody
        # else's.
        sink.set_wake_fd(-1)
        wakeup.close()

    async def close(self) -> None:
        """Give the source up, then end what is left."""
        self._sink.close()
        await self._spot_check.close()
        await self._funding.close()
        await self._fleet.close()
        if self._recorder is not None:
            self._recorder.stop()

    def _does_useful_work(self) -> bool:
        """Tell whether there are prices, or nothing more to wait for.

        An exchange that is down is waited for no longer than a first quote may take: going on
        trying is the work then, and its status says so.
        """
        waited_ns = self._context.clock.monotonic_ns() - self._began_ns
        limit_s = self._context.config.feed.first_data_s
        return (
            self._sink.live_count > 0 or not self._fleet.connections() or waited_ns >= limit_s * 1e9
        )

    def _confirm(self, symbol_id: int, price: float) -> bool:
        if self._recorder is not None:
            self._recorder.confirmed(symbol_id, price)
        return self._sink.confirm(symbol_id, price)

    def _funded(self, rows: list[FundingRow], asked_ns: int) -> None:
        if self._recorder is not None:
            self._recorder.funded(rows, asked_ns)

    def _reload(self) -> None:
        """Go over to the universe that is there now; one that cannot be used changes nothing."""
        context = self._context
        before = context.universe
        if not context.reload():
            return
        try:
            self.adopt()
        except ValueError as error:
            self._trouble = f"universe {context.universe.generation} refused: {error}"
            # The health slot goes on showing the generation that is in use.
            context.universe = before
            self._refused_generation = context.control.generation
            context.log.warning("%s", self._trouble)
            return
        self._trouble = ""
        self._refused_generation = None
        if self._recorder is not None:
            self._recorder.adopt(context.universe)
