"""Threads that wait for a disk instead of the loop.

They are apart from the loop's own: code that blocks may take all of those for as long as it likes, and what looks up
names waits behind it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

THREADS = 2
"""Most threads of one application in each worker: what is written goes to memory first, so that they seldom wait."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Disk:
    """Runs what reads, writes and closes files, in threads that are started as they are needed; used on the loop.

    Args:
        name: The application's name, for the threads' own.
        most: How many threads there are at most.
    """

    __slots__ = ("_most", "_name", "_threads")

    def __init__(self, name: str, most: int = THREADS) -> None:
        self._name = name
        self._most = most
        self._threads: ThreadPoolExecutor | None = None

    def do(self, call: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Begin it; it is done whether or not somebody awaits what comes of it."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._most, f"changeover {self._name} disk")
        return asyncio.get_running_loop().run_in_executor(self._threads, call, *args)

    def close(self) -> None:
        """Let its threads end when all is done that was begun; a thread that was left behind may begin more later."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown(wait=False)
