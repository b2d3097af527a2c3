"""A process that somebody else started, and whose end is waited for."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held(pid: int) -> Iterator[int | None]:
    """Hold on to the process itself, before its number can become somebody else's; None when it is gone."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield pidfd
    finally:
        os.close(pidfd)


def ends(pidfd: int, seconds: float = 0.0) -> bool:
    """Whether the process ends within so many seconds, or has ended."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
