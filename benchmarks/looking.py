"""Looks at something again and again while something else happens."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def looking(look: Callable[[], object], pause: float, name: str) -> Iterator[None]:
    """Call `look` from a thread, with so many seconds between two looks."""
    leave = threading.Event()

    def go_on() -> None:
        while not leave.wait(pause):
            look()

    thread = threading.Thread(target=go_on, name=name)
    thread.start()
    try:
        yield
    finally:
        leave.set()
        thread.join()
