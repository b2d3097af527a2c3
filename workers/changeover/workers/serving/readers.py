"""Threads that read a body while it comes: few enough that others are left for whoever has no such body.

A client that sends a byte now and then keeps its reader for as long as it likes. Who waits behind it does not.
"""

import asyncio
from time import monotonic_ns

import msgspec

from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.waiting import Waiting


class BodyWaitsTooLong(NotReady):
    """All threads that may read a body while it comes went on reading others; answered with 503 and Retry-After.

    Attributes:
        seconds: How long this one waited for one of them.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def __str__(self) -> str:
        others = f"for {self.seconds:.0f} s every thread that may read such a body has been reading those of others"
        return f"{others}; worth trying again in {self.retry_after} s"


class Wait(msgspec.Struct, eq=False):
    """One body that waits for a thread.

    Attributes:
        bound: Ends it.
        since: When it began, CLOCK_MONOTONIC in nanoseconds.
    """

    bound: asyncio.Timeout
    since: int


waits: set[Wait] = set()
"""Every body that waits, whichever application is to read it."""


def refuse_overdue(seconds: float) -> None:
    """Let no body wait any longer that has waited for so long; 0 = for ever."""
    before = monotonic_ns() - seconds * 1e9
    for each in waits if seconds else ():
        if each.since <= before and not each.bound.expired():
            each.bound.reschedule(0)


class Readers:
    """How many threads of one application may read a body while it comes; used on the loop's thread.

    Args:
        threads: How many it has: half of them may, and at least one.
    """

    __slots__ = ("_free",)

    def __init__(self, threads: int) -> None:
        self._free = asyncio.Semaphore(max(1, threads // 2))

    @property
    def are_busy(self) -> bool:
        """Whether a body that comes now waits."""
        return self._free.locked()

    async def acquire(self, waiting: Waiting) -> None:
        """Wait until one more may read; `release` is to be called once it does no more.

        Args:
            waiting: What the request waits for that it is of.

        Raises:
            BodyWaitsTooLong: None may in time.
        """
        wait = Wait(asyncio.timeout(None), monotonic_ns())
        waiting.begin_call()
        waits.add(wait)
        try:
            async with wait.bound:
                await self._free.acquire()
        except TimeoutError as error:
            raise BodyWaitsTooLong((monotonic_ns() - wait.since) / 1e9) from error
        finally:
            waits.remove(wait)
            waiting.end_call()

    def release(self) -> None:
        """One reads no more: who waits for longest may."""
        self._free.release()
