"""Forking from a zygote: all of a child, or nothing that is left of it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import multiprocess

from changeover.workers.errors import ChangeoverError

_NEEDED = 10
"""Descriptors that a fork takes for a moment, with one to spare."""


class NotForked(ChangeoverError):
    """A child could not be forked; nothing of it is left.

    Attributes:
        errno: The system's error number, 0 when it gave none.
        reason: The system's words.
    """

    def __init__(self, error: OSError) -> None:
        self.errno = error.errno or 0
        self.reason = f"cannot fork: {error.strerror or error} (errno {self.errno})"
        super().__init__(self.reason)


@contextmanager
def all_or_nothing() -> Iterator[frozenset[int]]:
    """Let everything that a child needs be opened within, and close it all again when the system refuses a part of it.

    Yields:
        The descriptors that were open before.

    Raises:
        NotForked: The system refuses.
    """
    before: frozenset[int] | None = None
    try:
        _find_room()
        before = open_descriptors()
        yield before
    except OSError as error:
        # multiprocess leaves its pipes open when it cannot fork.
        for fd in frozenset() if before is None else open_descriptors() - before:
            os.close(fd)
        raise NotForked(error) from error


def fork(live: Callable[..., object], *arguments: object) -> tuple["multiprocess.Process", int]:
    """Fork a child that runs `live`; its process, and a pidfd that was opened before it may be reaped.

    Raises:
        OSError: The system refuses; there is no child.
    """
    process = multiprocess.get_context("fork").Process(target=live, args=arguments)
    with _signals_blocked():
        process.start()
    try:
        return process, os.pidfd_open(process.pid)
    except OSError:
        process.kill()
        process.join()
        process.close()  # else it closes its pipes when it is collected, whoever has their numbers by then
        raise


def _find_room() -> None:
    """Fail now when descriptors are short, not half way; in a process of one thread what is free stays free."""
    reserved: list[int] = []
    try:
        for _ in range(_NEEDED):
            reserved.append(os.dup(0))
    finally:
        for fd in reserved:
            os.close(fd)


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """Keep signals for the zygote from running its handlers in a child."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def open_descriptors() -> frozenset[int]:
    """All open descriptors of this process."""
    listed = [int(name) for name in os.listdir("/proc/self/fd")]
    return frozenset(fd for fd in listed if _is_open(fd))


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
