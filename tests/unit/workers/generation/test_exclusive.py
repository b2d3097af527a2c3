"""Exclusive work runs while the worker leads, once at a time, and ends before another worker may begin."""

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator

import pytest

from changeover.workers.generation.solo import Stored
from changeover.workers.generation.workshop import Workshop
from changeover.workers.serving import attribution
from tests.bench import LOG, NOISY, Bench, loaded
from tests.waits import until

SINGLE = 'plugin = "pricing:Own"\nsingleton = true\n'
ENDLESS = """
class Own(Plugin[None]):
    async def on_activate(self):
        LOG.append("NAME begins")
        self.task = asyncio.create_task(self.work(), name="NAME work")
    async def work(self):
        try:
            await asyncio.Event().wait()
        finally:
            LOG.append("NAME ends")
    def on_deactivate(self): LOG.append("NAME on_deactivate")
"""
"""Begins a task and leaves it to the server to end it."""
THREADED = """
from tests.unit.workers.generation.test_exclusive import GATE
class Own(Plugin[None]):
    def on_activate(self):
        LOG.append("NAME begins")
        threading.Thread(target=GATE.wait, args=(20,), daemon=True).start()
"""
GATE = threading.Event()


@pytest.fixture(autouse=True)
async def attributed() -> AsyncIterator[None]:
    """Tasks and threads are attributed to the hooks that start them, as in a worker."""
    attribution.install(asyncio.get_running_loop())
    yield
    attribution.uninstall()


@pytest.fixture
def following(bench: Bench) -> Bench:
    """A bench whose worker does not lead."""
    bench.workshop.exclusive.leads = False
    return bench


def single(bench: Bench, name: str, code: str = NOISY, version: str = "1.0.0") -> Stored:
    """A plugin with exclusive work."""
    return bench.plugin(code.replace("NAME", name) if code is not NOISY else code.format(name), manifest=SINGLE)


def leads(workshop: Workshop) -> list[bool]:
    """What a list of plugins would show, oldest instance first."""
    return [entry.leads for entry in workshop.plugins()]


async def test_where_nobody_else_could_lead_it_runs_at_once(bench: Bench) -> None:
    await bench.serve(1, single(bench, "one"))
    assert LOG == ["one on_load at 1", "one on_activate"]
    assert leads(bench.workshop) == [True]


async def test_a_worker_that_does_not_lead_serves_without_it_until_it_leads(following: Bench) -> None:
    exclusive = following.workshop.exclusive
    await following.serve(1, single(following, "one"))
    assert LOG == ["one on_load at 1"]
    assert (exclusive.wanted, exclusive.runs, leads(following.workshop)) == (True, False, [False])
    await exclusive.lead()
    await exclusive.lead()
    assert LOG == ["one on_load at 1", "one on_activate"]
    await exclusive.resign()
    await exclusive.resign()
    assert LOG[2:] == ["one on_deactivate"]
    assert not exclusive.runs


async def test_a_swap_in_the_leader_passes_it_on_and_in_others_runs_no_hook(bench: Bench) -> None:
    await bench.serve(1, single(bench, "one"))
    await bench.serve(2, single(bench, "two"))
    assert LOG[-2:] == ["one on_deactivate", "two on_activate"]
    bench.workshop.exclusive.leads = False
    await bench.serve(3, single(bench, "three"))
    assert LOG[-2:] == ["three on_reload from " + LOG[-2].rpartition(" ")[2], "two on_deactivate"]


async def test_plugins_without_it_are_active_in_every_worker(following: Bench) -> None:
    await following.serve(1, following.plugin(NOISY.format("one")))
    assert LOG[-1] == "one on_activate"
    assert not following.workshop.exclusive.wanted


async def test_its_tasks_end_with_it_also_where_nobody_ends_them(bench: Bench) -> None:
    await bench.serve(1, single(bench, "one", ENDLESS))
    await bench.serve(2, single(bench, "two", ENDLESS))
    assert LOG == ["one begins", "one on_deactivate", "one ends", "two begins"]


async def test_the_next_content_waits_for_a_thread_of_the_one_before_also_once_that_is_released(bench: Bench) -> None:
    GATE.clear()
    await bench.serve(1, single(bench, "one", THREADED))
    await bench.serve(2, single(bench, "two", THREADED))
    exclusive = bench.workshop.exclusive
    assert (LOG, exclusive.idle, leads(bench.workshop)) == (["one begins"], False, [True, False])
    await bench.retire()
    await exclusive.lead()
    assert (LOG, exclusive.idle, exclusive.runs, leads(bench.workshop)) == (["one begins"], False, True, [False])
    GATE.set()
    await until(lambda: exclusive.idle, "the thread ended")
    await exclusive.lead()
    assert LOG == ["one begins", "two begins"]
    await exclusive.resign()
    await until(lambda: not exclusive.runs, "nothing runs any more")


async def test_what_fails_to_begin_is_told_and_not_tried_again_and_again(bench: Bench) -> None:
    broken = ENDLESS.replace('LOG.append("NAME begins")', 'LOG.append("tried"); raise ValueError("no queue")')
    await bench.serve(1, single(bench, "one", broken))
    await bench.workshop.exclusive.lead()
    assert LOG == ["tried"]
    assert [each.summary for each in bench.degraded] == ["ValueError: no queue"]


async def test_a_thread_that_outlives_what_a_worker_ends_as_it_leaves_is_known(bench: Bench) -> None:
    GATE.clear()
    await bench.serve(1, single(bench, "one", THREADED))
    await bench.workshop.close()
    exclusive = bench.workshop.exclusive
    assert exclusive.runs
    GATE.set()
    await until(lambda: not exclusive.runs, "the thread ended")


async def test_what_serves_without_leading_holds_nothing_of_what_it_replaced(following: Bench) -> None:
    one = weakref.ref(loaded(await following.serve(1, single(following, "one"))))
    await following.serve(2, single(following, "two"))
    await following.retire()
    gc.collect()
    assert one() is None


async def test_a_worker_that_leaves_ends_it(bench: Bench) -> None:
    await bench.serve(1, single(bench, "one", ENDLESS))
    await bench.workshop.close()
    assert LOG == ["one begins", "one on_deactivate", "one ends"]
