"""A forked worker as its zygote sees it."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from typing import Self

import multiprocess

from changeover.workers.protocol.identity import WorkerId
from changeover.workers.runtime.birth import Entry, Womb, live
from changeover.workers.runtime.forking import all_or_nothing, fork, open_descriptors


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
        with all_or_nothing() as before:
            stacks = os.memfd_create(f"stacks of {worker}", os.MFD_CLOEXEC)
            go, begins = os.pipe()
            process, pidfd = fork(live, Womb(birth, go, stacks, (*foreign, begins)), entry)
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
