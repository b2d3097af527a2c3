"""Who has to go when the residency bound is passed is asked, and named."""

import asyncio
import threading

from changeover.workers.runtime.residency import AT_ONCE, end_leases
from changeover.workers.serving.lease import Lease, LeaseKind, UnitSet


def lease(path: str, holder: asyncio.Task[None] | threading.Thread | None) -> Lease:
    taken = UnitSet(()).lease(LeaseKind.HTTP, 1, path, 0)
    taken.holder = holder
    return taken


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_is_cancelled_and_a_thread_is_named_as_one_that_cannot_be() -> None:
    task = asyncio.create_task(forever())
    leases = [lease("/slow", task), lease("/thread", threading.Thread()), lease("/pool", None)]
    ended, stuck = end_leases(leases, 2, 4)
    await asyncio.wait({task}, timeout=5)
    assert task.cancelled()
    assert ([view.path for view in ended.ended], ended.stuck, ended.bound) == (["/slow"], (), 2)
    assert (stuck.ended, [view.path for view in stuck.stuck]) == ((), ["/thread", "/pool"])


async def test_one_that_has_just_ended_by_itself_is_not_named() -> None:
    task = asyncio.create_task(asyncio.sleep(0))
    await task
    assert list(end_leases([lease("/done", task)], 2, 4)) == []


async def test_every_lease_is_named_however_many_there_are() -> None:
    reports = list(end_leases([lease(f"/{number}", None) for number in range(2 * AT_ONCE + 1)], 2, 4))
    assert [len(report.stuck) for report in reports] == [AT_ONCE, AT_ONCE, 1]
    assert len({view.path for report in reports for view in report.stuck}) == 2 * AT_ONCE + 1
