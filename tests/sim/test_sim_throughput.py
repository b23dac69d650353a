"""The simulator must never be the bottleneck of a demo: 20,000 frames a second on one core."""

import asyncio
import sys
import time
from pathlib import Path

import uvloop

from spreadscan.sim.market import MarketSettings
from spreadscan.sim.process import SYSTEM_CLOCK
from spreadscan.sim.simulation import Simulation
from spreadscan.sim.venues import venues

DRAIN = Path(__file__).with_name("drain_process.py")
SYMBOLS = 600
MEASURED_S = 2.0
GOAL_HZ = 20_000


def test_the_full_universe_of_eight_sources_is_served_at_20000_frames_a_second(settings, until):
    async def life():
        simulation = Simulation(
            settings(
                exchanges=tuple(venues()),
                symbols=SYMBOLS,
                market=MarketSettings(seed=1, rate_hz=1.25 * GOAL_HZ),
            ),
            SYSTEM_CLOCK,
        )
        await simulation.listen()
        stop = asyncio.Event()
        running = asyncio.create_task(simulation.run(stop))
        drain = await asyncio.create_subprocess_exec(
            sys.executable, DRAIN, simulation.ws_url, str(SYMBOLS)
        )
        try:
            rows = range(8 * SYMBOLS)
            await until(lambda: all(simulation.hub.listeners([row]) for row in rows), 30)
            frames, cpu_s = simulation.report()["frames_sent"], time.process_time()
            start_s = time.monotonic()
            await asyncio.sleep(MEASURED_S)
            elapsed_s = time.monotonic() - start_s
            cpu_s = time.process_time() - cpu_s
            frames = simulation.report()["frames_sent"] - frames
            overruns = simulation.report()["overruns"]
        finally:
            drain.kill()
            await drain.wait()
            stop.set()
            await running
            await simulation.close()
        return frames / elapsed_s, frames / cpu_s, overruns

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        rate_hz, per_core_hz, overruns = runner.run(life())

    assert overruns == 0
    # Processor time, not the clock: another process on this machine proves nothing.
    assert per_core_hz >= GOAL_HZ, f"{rate_hz:,.0f} frames/s, {per_core_hz:,.0f} a core"
