"""A reload by hand: fenced off, drained, ended. The first half has the names that the model's own tests have.

There, what holds a version is a counted reference, its owner's included; here it is a lease, and
nobody's own bookkeeping counts.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from changeover.plugin import (
    DrainError,
    DrainTimeout,
    EpochFencedReload,
    LifecycleState,
    NotActive,
    PluginLifecycle,
    UnexpectedTransition,
)
from tests.waits import until, until_sync


def active(plugin: str = "x") -> PluginLifecycle:
    return PluginLifecycle(plugin, LifecycleState.ACTIVE)


def test_lifecycle_starts_at_loaded() -> None:
    assert PluginLifecycle("x").state is LifecycleState.LOADED


def test_advance_progresses_through_states() -> None:
    lifecycle = PluginLifecycle("x")
    assert lifecycle.advance() is LifecycleState.LINKED
    assert lifecycle.advance() is LifecycleState.INITIALIZED
    assert lifecycle.advance() is LifecycleState.ACTIVE
    assert lifecycle.is_active
    assert lifecycle.advance() is LifecycleState.DRAINING
    assert lifecycle.is_winding_down
    assert lifecycle.advance() is LifecycleState.REMOVED
    assert lifecycle.is_winding_down
    assert lifecycle.advance() is LifecycleState.REMOVED


def test_set_is_explicit_state_override() -> None:
    """What was begun elsewhere is taken over where it stands; nothing is ever moved back."""
    assert PluginLifecycle("x", LifecycleState.ACTIVE).is_active


def test_epoch_drain_advances_state_from_active() -> None:
    lifecycle = active()
    EpochFencedReload(lifecycle).begin_drain()
    assert lifecycle.state is LifecycleState.DRAINING


def test_epoch_drain_rejects_non_active_state() -> None:
    with pytest.raises(NotActive, match=r"^x is not Active; it is Loaded, leases left: 0$") as refused:
        EpochFencedReload(PluginLifecycle("x")).begin_drain()
    assert (refused.value.current, refused.value.leases, refused.value.waited) == (LifecycleState.LOADED, 0, 0.0)


def test_wait_for_drain_returns_immediately_when_below_threshold() -> None:
    lifecycle = active()
    with lifecycle.hold():
        driver = EpochFencedReload(lifecycle)
        driver.begin_drain()
        driver.wait_for_drain(1, poll_interval=0.001, max_wait=0)


def test_wait_for_drain_times_out_when_references_persist() -> None:
    lifecycle = active()
    extra = lifecycle.hold()
    driver = EpochFencedReload(lifecycle)
    driver.begin_drain()
    with pytest.raises(DrainTimeout) as late:
        driver.wait_for_drain(0, poll_interval=0.001, max_wait=0.02)
    assert (late.value.current, late.value.leases) == (LifecycleState.DRAINING, 1)
    assert late.value.waited >= 0.02
    extra.release()


def test_finalize_advances_to_removed() -> None:
    lifecycle = active()
    driver = EpochFencedReload(lifecycle)
    driver.begin_drain()
    driver.finalize()
    assert lifecycle.state is LifecycleState.REMOVED


def test_finalize_is_idempotent_at_removed() -> None:
    lifecycle = PluginLifecycle("x", LifecycleState.REMOVED)
    driver = EpochFencedReload(lifecycle)
    driver.finalize()
    driver.finalize()
    assert lifecycle.state is LifecycleState.REMOVED


def test_epoch_fenced_reload_end_to_end() -> None:
    lifecycle = active("plugin.geo")
    host = lifecycle.hold()
    driver = EpochFencedReload(lifecycle)
    assert driver.old_lifecycle is lifecycle
    driver.begin_drain()
    host.release()
    driver.wait_for_drain(poll_interval=0.001, max_wait=1)
    driver.finalize()
    assert lifecycle.state is LifecycleState.REMOVED


@pytest.fixture
def beside() -> Iterator[Callable[[Callable[[], None]], "Future[None]"]]:
    """Runs something in a thread of its own."""
    with ThreadPoolExecutor(8) as pool:
        yield lambda call: pool.submit(call)


Beside = Callable[[Callable[[], None]], "Future[None]"]


def test_nobody_takes_hold_of_what_does_not_serve() -> None:
    lifecycle = active()
    EpochFencedReload(lifecycle).begin_drain()
    with pytest.raises(NotActive) as refused:
        lifecycle.hold()
    assert (refused.value.current, lifecycle.leases) == (LifecycleState.DRAINING, 0)


def test_a_hold_counts_once_however_often_it_is_let_go() -> None:
    lifecycle = active()
    first, second = lifecycle.hold(), lifecycle.hold()
    first.release()
    first.release()
    assert lifecycle.leases == 1
    with second:
        pass
    assert lifecycle.leases == 0


def test_a_release_in_another_thread_wakes_whoever_waits(beside: Beside) -> None:
    lifecycle = active()
    hold = lifecycle.hold()
    driver = EpochFencedReload(lifecycle)
    driver.begin_drain()
    waiting = beside(lambda: driver.wait_for_drain(poll_interval=60, max_wait=60))
    until_sync(lambda: lifecycle._changed._waiters, "it waits")  # type: ignore[attr-defined]
    began = time.monotonic()
    hold.release()
    waiting.result(10)
    assert time.monotonic() - began < 10


def test_of_many_who_drain_at_once_one_does(beside: Beside) -> None:
    lifecycle = active()
    together = threading.Barrier(8)

    def drain() -> None:
        together.wait(10)
        EpochFencedReload(lifecycle).begin_drain()

    outcomes = [each.exception(10) for each in [beside(drain) for _ in range(8)]]
    assert sorted(type(each) is NotActive for each in outcomes) == [False] + [True] * 7
    assert lifecycle.state is LifecycleState.DRAINING


def test_holds_of_many_threads_are_all_counted(beside: Beside) -> None:
    lifecycle = active()

    def use() -> None:
        for _ in range(2000):
            with lifecycle.hold():
                pass

    for each in [beside(use) for _ in range(8)]:
        each.result(30)
    assert lifecycle.leases == 0


def test_waiting_for_what_nobody_drains_or_somebody_ended_says_so() -> None:
    lifecycle = active()
    driver = EpochFencedReload(lifecycle)
    with lifecycle.hold():
        with pytest.raises(UnexpectedTransition) as wrong:
            driver.wait_for_drain(max_wait=1)
        assert wrong.value.reached is LifecycleState.ACTIVE
        driver.finalize()
        with pytest.raises(UnexpectedTransition, match="it is Removed, leases left: 1"):
            driver.wait_for_drain(max_wait=1)
    assert issubclass(UnexpectedTransition, DrainError)


def test_what_was_never_active_can_be_ended() -> None:
    lifecycle = PluginLifecycle("x")
    EpochFencedReload(lifecycle).finalize()
    assert lifecycle.state is LifecycleState.REMOVED


async def test_a_loop_goes_on_while_it_waits(beside: Beside) -> None:
    lifecycle = active()
    hold = lifecycle.hold()
    driver = EpochFencedReload(lifecycle)
    driver.begin_drain()
    waiting = asyncio.create_task(driver.drained(max_wait=10))
    await until(lambda: lifecycle._watchers, "it waits")
    assert not waiting.done()
    beside(hold.release).result(10)
    await waiting
    assert not lifecycle._watchers


async def test_a_loop_waits_no_longer_than_it_is_told() -> None:
    lifecycle = active()
    with lifecycle.hold():
        driver = EpochFencedReload(lifecycle)
        driver.begin_drain()
        with pytest.raises(DrainTimeout, match=r"x is still held after .* s; it is Draining, leases left: 1"):
            await driver.drained(max_wait=0.01)
        await driver.drained(threshold=1, max_wait=0)
        waiting = asyncio.create_task(driver.drained(max_wait=10))
        await until(lambda: lifecycle._watchers, "it waits")
        driver.finalize()
        with pytest.raises(UnexpectedTransition, match=r"x was waited for, .* s, and is not Draining") as wrong:
            await waiting
        assert (wrong.value.current, wrong.value.leases) == (LifecycleState.REMOVED, 1)
        assert 0 < wrong.value.waited < 10


async def test_an_async_host_replaces_a_version_under_use() -> None:
    old, new, go = active("pool 1"), PluginLifecycle("pool 2"), asyncio.Event()
    served: list[str] = []

    async def use() -> None:
        serving = old if old.is_active else new
        with serving.hold():
            await go.wait()
            served.append(serving.plugin)

    users = [asyncio.create_task(use()) for _ in range(20)]
    await until(lambda: old.leases == 20, "all use the old one")
    while not new.is_active:
        new.advance()
    driver = EpochFencedReload(old)
    driver.begin_drain()
    late = [asyncio.create_task(use()) for _ in range(20)]
    await until(lambda: new.leases == 20, "the next use the new one")
    go.set()
    await driver.drained()
    driver.finalize()
    await asyncio.gather(*users, *late)
    assert sorted(served) == ["pool 1"] * 20 + ["pool 2"] * 20
    assert (new.leases, old.state) == (0, LifecycleState.REMOVED)
