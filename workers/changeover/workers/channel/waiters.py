"""Coroutines that wait on something a connection will be told."""

import asyncio
from collections.abc import Awaitable


class Waiters:
    """Those who wait for one fact, woken together."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []

    def __bool__(self) -> bool:
        """Whether anybody waits."""
        return any(not future.done() for future in self._futures)

    def wait(self) -> Awaitable[None]:
        """What is awaited returns at the next `wake`."""
        if self._futures:
            self._futures = [future for future in self._futures if not future.done()]  # some were given up
        future = asyncio.get_running_loop().create_future()
        self._futures.append(future)
        return future

    def wake(self) -> None:
        """Let everybody who waits now go on."""
        if not self._futures:
            return
        futures, self._futures = self._futures, []
        for future in futures:
            if not future.done():
                future.set_result(None)
