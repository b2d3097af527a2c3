"""A plugin that requires another begins each part of its life after it, and ends each before it."""

from changeover.workers.generation.solo import Stored
from changeover.workers.generation.switch import Generation
from tests.bench import LOG, NOISY, Bench

REQUIRING = 'plugin = "above:Own"\nrequires = { base = ">=1" }'


def both(bench: Bench, name: str) -> tuple[Stored, Stored]:
    """A version of two plugins, of which the first by name requires the other one."""
    above = bench.plugin(NOISY.format(f"above {name}"), id="above", manifest=REQUIRING)
    return above, bench.plugin(NOISY.format(f"base {name}"), id="base")


def hooks() -> list[str]:
    """Which hooks ran since the last time, of which plugin, without what they were told."""
    ran = [" ".join(line.split()[:3]) for line in LOG]
    LOG.clear()
    return ran


async def begun(bench: Bench) -> Generation:
    generation = await bench.serve(1, *both(bench, "one"))
    assert hooks() == ["base one on_load", "above one on_load", "base one on_activate", "above one on_activate"]
    return generation


async def test_in_a_swap_each_step_has_its_order(bench: Bench) -> None:
    await begun(bench)
    second = await bench.built(2, *both(bench, "two"))
    assert hooks() == ["base two on_reload", "above two on_reload"]
    await bench.activate(second)
    assert hooks() == [
        "above one on_deactivate",
        "base one on_deactivate",
        "base two on_activate",
        "above two on_activate",
    ]
    await bench.retire()
    assert hooks() == ["above one on_unload", "base one on_unload"]


async def test_so_has_what_is_released_before_its_hooks_ran(bench: Bench) -> None:
    await begun(bench)
    second = await bench.built(2, *both(bench, "two"))
    hooks()
    bench.switch.prepared, bench.cell.epoch = second, 2
    bench.switch.admit()
    await bench.retire()
    assert hooks() == ["above one on_deactivate", "base one on_deactivate", "above one on_unload", "base one on_unload"]


async def test_so_has_a_worker_that_leaves(bench: Bench) -> None:
    await begun(bench)
    await bench.workshop.close()
    assert hooks() == ["above one on_deactivate", "base one on_deactivate", "above one on_unload", "base one on_unload"]
