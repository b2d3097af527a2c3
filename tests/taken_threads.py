"""Code that blocks, and has taken all threads that are the loop's own."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

LONGEST = 30.0
"""Seconds that it blocks at most."""


@contextmanager
def loop_threads_taken() -> Iterator[None]:
    """Have it block until the end of the block, and see that it did."""
    loop, release = asyncio.get_running_loop(), threading.Event()
    loop.set_default_executor(ThreadPoolExecutor(1))
    blocked = loop.run_in_executor(None, release.wait, LONGEST)
    try:
        yield
        assert not blocked.done()
    finally:
        release.set()
