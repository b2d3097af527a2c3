"""Hooks run where they should, end by their deadline, and cannot take the worker with them."""

import asyncio
import sys
import threading
import time
from collections.abc import Callable

import pytest

from changeover.workers.plugins.hooks import Hooks, stop_work
from changeover.workers.plugins.refused import Refused, Site
from changeover.workers.plugins.thread import SWITCH_INTERVAL, LoaderThread, ThreadHung
from changeover.workers.plugins.witness import Witness
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.snapshot import UnitKey, UnitKind, UnitRef
from changeover.workers.serving import attribution
from changeover.workers.serving.attribution import UnitWork, current_work
from changeover.workers.serving.lease import LeaseKind, UnitSet, current_lease
from tests.waits import until

SITE = Site(Stage.INITIALISE, "plugin pricing", "on_load")


class Late(Witness):
    """Remembers what did not end within its deadline."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def hung(self, unit: str, hook: str) -> None:
        self.told.append((unit, hook))


async def test_what_is_not_async_runs_in_one_thread_beside_the_loop_with_a_short_switch_interval() -> None:
    before = sys.getswitchinterval()
    hooks = Hooks(5.0)
    seen = []

    def hook() -> None:
        seen.append((threading.current_thread().name, sys.getswitchinterval() <= SWITCH_INTERVAL * 1.01))

    await hooks.hook(hook, site=SITE, work=None)
    await hooks.hook(hook, site=SITE, work=None)
    assert seen == [("changeover-loader", True)] * 2
    assert sys.getswitchinterval() == before
    hooks.close()


async def test_a_plain_function_that_returns_an_awaitable_is_awaited_on_the_loop() -> None:
    hooks = Hooks(5.0)
    threads = []

    async def rest() -> None:
        threads.append(threading.current_thread())

    await hooks.hook(lambda: rest(), site=SITE, work=None)
    assert threads == [threading.main_thread()]
    hooks.close()


@pytest.mark.parametrize("beside", [True, False])
async def test_hooks_belong_to_their_unit_and_to_no_request(beside: bool) -> None:
    hooks, work = Hooks(5.0), UnitWork("plugin pricing")
    lease = UnitSet([UnitKey(UnitRef(UnitKind.PLUGIN, "x"), "d", 1)]).lease(LeaseKind.HTTP, 1, "/", 0)
    seen: list[object] = []

    def note() -> None:
        seen.extend((current_work.get(), current_lease.get()))

    async def note_on_loop() -> None:
        note()

    token = current_lease.set(lease)
    await hooks.hook(note if beside else note_on_loop, site=SITE, work=work)
    assert current_lease.get() is lease
    current_lease.reset(token)
    assert seen == [work, None]
    hooks.close()


async def test_the_loop_goes_on_while_a_hook_hangs_in_the_thread_and_the_next_hook_runs() -> None:
    hooks, gate = Hooks(0.05), threading.Event()
    with pytest.raises(Refused) as refused:
        await hooks.hook(gate.wait, site=SITE, work=None)
    assert refused.value.refusal.fault is Fault.TIMEOUT
    ran = []
    await hooks.hook(lambda: ran.append(1), site=SITE, work=None)
    assert ran == [1]
    gate.set()
    hooks.close()


async def test_a_cancelled_caller_waits_until_the_thread_is_done() -> None:
    thread, begun, gate, done = LoaderThread(), threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        gate.wait(5)
        done.append(1)

    waiting = asyncio.ensure_future(thread.run(work, 5.0))
    await until(begun.is_set)
    waiting.cancel()
    await asyncio.sleep(0)
    assert not waiting.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert done == [1]
    thread.close()


async def test_a_thread_that_hangs_tells_where() -> None:
    thread, gate = LoaderThread(), threading.Event()

    def here() -> None:
        gate.wait(5)

    with pytest.raises(ThreadHung) as hung:
        await thread.run(here, 0.05)
    assert "here" in [frame.name for frame in hung.value.stack]
    assert thread.left_behind == 1
    assert (await thread.run(lambda: 7, 1.0)).take() == 7
    assert thread.left_behind == 1
    gate.set()
    await until(lambda: thread.left_behind == 0, "the thread to end")
    thread.close()


async def test_a_hook_that_ignores_its_cancellation_is_left_behind() -> None:
    hooks, gate = Hooks(0.05), asyncio.Event()

    async def stubborn() -> None:
        while not gate.is_set():
            try:
                await gate.wait()
            except asyncio.CancelledError:
                continue

    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        await hooks.hook(stubborn, site=SITE, work=None)
    assert refused.value.refusal.fault is Fault.TIMEOUT
    assert time.monotonic() - began < 5
    gate.set()
    await until(lambda: len(asyncio.all_tasks()) == 1, "the hook to end")


def _block() -> str:
    time.sleep(0.1)
    return "done"


async def _block_at_last() -> str:
    await asyncio.sleep(0)
    return _block()


async def test_a_hook_that_blocks_the_loop_past_its_deadline_is_refused_as_long_as_it_can_be() -> None:
    hooks = Hooks(0.05)
    with pytest.raises(Refused, match=r"not done within 0\.05 s; the loop stood still for") as refused:
        await hooks.on_loop(_block, site=Site(Stage.INITIALISE, "plugin pricing", "import_state"), work=None)
    assert (refused.value.refusal.fault, refused.value.refusal.hook) == (Fault.TIMEOUT, "import_state")
    for hook in ("merge_state", "export_state", "on_unload"):
        assert await hooks.on_loop(_block, site=Site(Stage.COMMIT, "plugin pricing", hook), work=None) == "done"
    assert await hooks.on_loop(_block, site=Site(Stage.PREPARE, "plugin pricing", "unmigrate"), work=None) == "done"


@pytest.mark.parametrize("block", [_block, _block_at_last])
@pytest.mark.parametrize("hook", ["on_activate", "on_deactivate"])
async def test_what_cannot_be_refused_any_more_has_failed_when_it_blocked_past_its_deadline(
    hook: str, block: Callable[[], object]
) -> None:
    with pytest.raises(Refused, match=r"not done within 0\.05 s; the loop stood still for"):
        await Hooks(0.05).on_loop(block, site=Site(Stage.COMMIT, "plugin pricing", hook), work=None)


@pytest.mark.parametrize("block", [_block, _block_at_last])
@pytest.mark.parametrize("hook", ["merge_state", "export_state", "on_unload"])
async def test_in_a_rehearsal_every_hook_fails_that_blocks_past_its_deadline(
    hook: str, block: Callable[[], object]
) -> None:
    late = Late()
    with pytest.raises(Refused, match=r"not done within 0\.05 s; the loop stood still for"):
        await Hooks(0.05, late, rehearses=True).on_loop(
            block, site=Site(Stage.COMMIT, "plugin pricing", hook), work=None
        )
    assert late.told == [("plugin pricing", hook)]


async def test_tasks_of_a_unit_are_cancelled_at_its_end_and_threads_are_told() -> None:
    loop = asyncio.get_running_loop()
    attribution.install(loop)
    try:
        hooks, work, gate = Hooks(5.0), UnitWork("plugin pricing"), threading.Event()
        made: list[asyncio.Task[object]] = []

        async def hook() -> None:
            made.append(asyncio.create_task(asyncio.Event().wait(), name="consumer"))
            threading.Thread(target=gate.wait, args=(5,), name="poller", daemon=True).start()

        await hooks.hook(hook, site=SITE, work=work)
        assert await stop_work(work) == ("thread poller",)
        assert made[0].cancelled()
        gate.set()
    finally:
        attribution.uninstall()
