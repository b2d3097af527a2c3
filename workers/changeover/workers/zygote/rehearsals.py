"""The keepers of rehearsals, as their zygote sees them: held like workers, told nothing but to end."""

import contextlib
import math
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable
from typing import Self

import multiprocess

from changeover.workers.runtime.forking import NotForked, all_or_nothing, fork, open_descriptors

LIVE = "changeover.workers.preflight.forked:live"
"""What a keeper runs."""

LATE = 10.0
"""Seconds that a keeper has to be dead once it was told to end, all below it included; then it is killed."""

Live = Callable[[int, str, int, int], object]
"""Takes descriptor of the order, name of the service, descriptors for the answer and of the line from the zygote."""


class HeldKeeper:
    """A keeper, held by multiprocess's `Process` object, which alone reaps it.

    Attributes:
        pid: Its process, alive or not reaped yet.
        pidfd: Opened before it may be reaped; readable when it is dead.
        answer: The supervisor's end of the socket for its report; -1 once that was passed on.
    """

    def __init__(
        self, process: "multiprocess.Process", pidfd: int, answer: int, line: int, pipes: frozenset[int]
    ) -> None:
        self.pid: int = process.pid
        self.pidfd = pidfd
        self.answer = answer
        self._process = process
        self._line = line
        self._pipes = pipes
        self._killed_at = math.inf

    @classmethod
    def fork(cls, live: Live, order: int, name: str) -> Self:
        """Fork a keeper; it begins at once, and lets go of all that is its zygote's.

        Args:
            live: What it runs.
            order: Descriptor of a file with a `RehearsalOrder`.
            name: The service's name.

        Raises:
            NotForked: The system refuses.
        """
        with all_or_nothing() as before:
            heeded, line = os.pipe2(os.O_CLOEXEC)
            answer, its = (end.detach() for end in socket.socketpair())
            process, pidfd = fork(live, order, name, its, heeded)
        os.close(heeded)
        os.close(its)
        pipes = open_descriptors() - before - {line, answer, pidfd}
        return cls(process, pidfd, answer, line, pipes)

    def passed_on(self) -> None:
        """Hold the supervisor's end no more: its closing has to be noticed."""
        if self.answer >= 0:
            os.close(self.answer)
            self.answer = -1

    def end(self) -> None:
        """Have it end everything below it, and itself; harmless to one that does so."""
        if self._line >= 0:
            os.close(self._line)
            self._line = -1
            self._killed_at = time.monotonic() + LATE

    def due(self) -> float:
        """Seconds until it is to be killed; infinite for one that was not told to end, or was killed."""
        return max(0.0, self._killed_at - time.monotonic())

    def kill_if_late(self) -> None:
        """Kill one that was told to end and does not: somebody stopped it."""
        if not self.due():
            self._killed_at = math.inf
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def is_dead(self) -> bool:
        """Whether it ended; reaps it."""
        return self._process.exitcode is not None

    def descriptors(self) -> tuple[int, ...]:
        """What the zygote holds of it, and a worker must close."""
        return tuple(fd for fd in (self.pidfd, self.answer, self._line, *self._pipes) if fd >= 0)

    def close(self) -> None:
        """Let go of one that is dead and reaped."""
        self.passed_on()
        self.end()
        os.close(self.pidfd)
        self._process.close()


class Rehearsals:
    """All of them, by number."""

    def __init__(self) -> None:
        self._keepers: dict[int, HeldKeeper] = {}

    def __bool__(self) -> bool:
        return bool(self._keepers)

    def begin(self, number: int, orders: Iterable[int], live: Live, name: str) -> HeldKeeper:
        """Fork a keeper.

        Args:
            number: Of the rehearsal.
            orders: Descriptors that came with it: one, of its order.
            live: What it runs.
            name: The service's name.

        Raises:
            NotForked: The system refuses, or the order did not arrive.
        """
        order = next(iter(orders), None)
        if order is None or number in self._keepers:
            raise NotForked(OSError("its order did not arrive: no descriptor was free" if order is None else "it runs"))
        keeper = self._keepers[number] = HeldKeeper.fork(live, order, name)
        return keeper

    def end(self, number: int) -> None:
        """End a rehearsal; one that is over is none to end."""
        if number in self._keepers:
            self._keepers[number].end()

    def end_all(self) -> None:
        """Nobody waits for any of them."""
        for keeper in self._keepers.values():
            keeper.end()

    def due(self) -> float:
        """Seconds until one of them is to be killed; infinite for none."""
        return min((keeper.due() for keeper in self._keepers.values()), default=math.inf)

    def kill_late(self) -> None:
        """Kill those that were told to end and do not."""
        for keeper in self._keepers.values():
            keeper.kill_if_late()

    def pidfds(self) -> tuple[int, ...]:
        """Descriptors that can be read when one of them is over."""
        return tuple(keeper.pidfd for keeper in self._keepers.values())

    def descriptors(self) -> tuple[int, ...]:
        """What is held of them."""
        return tuple(fd for keeper in self._keepers.values() for fd in keeper.descriptors())

    def settle(self) -> None:
        """Everything that was to be said of them is said: let go of what was passed on, and of those that are over."""
        for number, keeper in tuple(self._keepers.items()):
            keeper.passed_on()
            if keeper.is_dead():
                del self._keepers[number]
                keeper.close()
