"""A forked worker as its zygote sees it."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Self

import multiprocess

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.runtime.birth import Entry, Womb, live

_NEEDED = 10
"""Descriptors that a fork takes for a moment, with one to spare."""


class NotForked(ChangeoverError):
    """A worker could not be forked; nothing of it is left.

    Attributes:
        errno: The system's error number, 0 when it gave none.
        reason: The system's words.
    """

    def __init__(self, error: OSError) -> None:
        self.errno = error.errno or 0
        self.reason = f"cannot fork: {error.strerror or error} (errno {self.errno})"
        super().__init__(self.reason)


class Newborn:
    """A worker process, held by multiprocess's `Process` object, which alone reaps it.

    Attributes:
        worker: Who it is.
        pid: Its process, alive or not reaped yet.
        pidfd: Opened before it may be reaped; readable when it is dead.
        stacks: Descriptor of its stacks file.
        rolled: The epoch whose roll made it.
    """

    def __init__(
        self,
        worker: WorkerId,
        process: "multiprocess.Process",
        pidfd: int,
        stacks: int,
        go: int,
        pipes: frozenset[int],
        rolled: int,
    ) -> None:
        self.worker = worker
        self.pid: int = process.pid
        self.pidfd = pidfd
        self.stacks = stacks
        self.rolled = rolled
        self._process = process
        self._go: int | None = go
        self._pipes = pipes

    @classmethod
    def fork(cls, worker: WorkerId, birth: bytes, entry: Entry, foreign: Iterable[int], rolled: int = 0) -> Self:
        """Fork a worker; it waits for `begin`.

        Args:
            worker: Who it is to be.
            birth: Its `Birth`, MessagePack.
            entry: What it runs.
            foreign: Descriptors that it must close.
            rolled: The epoch whose roll makes it.

        Raises:
            NotForked: The system refuses.
        """
        before: frozenset[int] | None = None
        try:
            find_room()
            before = open_descriptors()
            stacks = os.memfd_create(f"stacks of {worker}", os.MFD_CLOEXEC)
            go, begins = os.pipe()
            womb = Womb(birth, go, stacks, (*foreign, begins))
            process = multiprocess.get_context("fork").Process(target=live, args=(womb, entry))
            with signals_blocked():
                process.start()
            pidfd = os.pidfd_open(process.pid)
        except OSError as error:
            # multiprocess leaves its pipes open when it cannot fork.
            for fd in frozenset() if before is None else open_descriptors() - before:
                os.close(fd)
            raise NotForked(error) from error
        os.close(go)
        pipes = open_descriptors() - before - {stacks, begins, pidfd}
        return cls(worker, process, pidfd, stacks, begins, pipes, rolled)

    def begin(self) -> None:
        """Let it run: the supervisor holds its pidfd. One that was killed before that is reaped like every other."""
        if self._go is not None:
            with suppress(BrokenPipeError):
                os.write(self._go, b"!")
            self.give_up()

    def give_up(self) -> None:
        """Let a worker that has not begun end; one that has is not touched."""
        if self._go is not None:
            os.close(self._go)
            self._go = None

    def ask_to_leave(self) -> None:
        """Have it finish what is in flight and leave; harmless to one that is dead."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)

    def status(self) -> int | None:
        """Exit status or minus a signal's number; None while it lives."""
        status: int | None = self._process.exitcode
        return status

    def descriptors(self) -> tuple[int, ...]:
        """What the zygote holds of it, and a sibling must close."""
        return (self.pidfd, self.stacks, *self._pipes, *(() if self._go is None else (self._go,)))

    def close(self) -> None:
        """Let go of a worker that is dead and reaped."""
        self.give_up()
        os.close(self.pidfd)
        os.close(self.stacks)
        self._process.close()


def find_room() -> None:
    """Fail now when descriptors are short, not half way; in a process of one thread what is free stays free."""
    reserved: list[int] = []
    try:
        for _ in range(_NEEDED):
            reserved.append(os.dup(0))
    finally:
        for fd in reserved:
            os.close(fd)


@contextmanager
def signals_blocked() -> Iterator[None]:
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
