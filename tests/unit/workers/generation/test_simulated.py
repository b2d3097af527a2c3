"""A worker without processes: what tests of plugins rely on beyond the test kit's own promises."""

import asyncio

from changeover.workers.generation.simulated import Simulation
from tests.bench import Bench


async def test_closing_leaves_no_work_behind(bench: Bench) -> None:
    simulation = Simulation(bench.store, 5.0, bench.degraded.append)
    assert await simulation.swap(bench.snapshot(1, bench.plugin("", manifest='summary = "Nothing"\n'))) is None
    await simulation.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
