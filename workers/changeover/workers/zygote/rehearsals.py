"""The keepers of rehearsals, as their zygote sees them: held like workers, told nothing but to end."""

import gc
import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Iterable
from typing import NoReturn, Self

import multiprocess
import setproctitle

from changeover.workers.preflight.birth import let_go
from changeover.workers.preflight.keeper import Unwanted, keep
from changeover.workers.protocol.phrase import preflight_phrase
from changeover.workers.protocol.rehearsal import MAX_ORDER, decode_order, encode
from changeover.workers.runtime.birth import NEWBORN_SIGNALS, leave
from changeover.workers.runtime.newborn import NotForked, find_room, open_descriptors, signals_blocked

SENDING = 5.0
"""Seconds in which a supervisor takes the report."""


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

    @classmethod
    def fork(cls, order: int, name: str) -> Self:
        """Fork a keeper; it begins at once, and lets go of all that is its zygote's.

        Args:
            order: Descriptor of a file with a `RehearsalOrder`.
            name: The service's name.

        Raises:
            NotForked: The system refuses.
        """
        before: frozenset[int] | None = None
        try:
            find_room()
            before = open_descriptors()
            heeded, line = os.pipe2(os.O_CLOEXEC)
            answer, its = (end.detach() for end in socket.socketpair())
            process = multiprocess.get_context("fork").Process(target=_live, args=(order, name, its, heeded))
            with signals_blocked():
                process.start()
            pidfd = os.pidfd_open(process.pid)
        except OSError as error:
            # multiprocess leaves its pipes open when it cannot fork.
            for fd in frozenset() if before is None else open_descriptors() - before:
                os.close(fd)
            raise NotForked(error) from error
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

    def begin(self, number: int, orders: Iterable[int], name: str) -> HeldKeeper:
        """Fork a keeper.

        Args:
            number: Of the rehearsal.
            orders: Descriptors that came with it: one, of its order.
            name: The service's name.

        Raises:
            NotForked: The system refuses, or the order did not arrive.
        """
        order = next(iter(orders), None)
        if order is None or number in self._keepers:
            raise NotForked(OSError("its order did not arrive: no descriptor was free" if order is None else "it runs"))
        keeper = self._keepers[number] = HeldKeeper.fork(order, name)
        return keeper

    def end(self, number: int) -> None:
        """End a rehearsal; one that is over is none to end."""
        if number in self._keepers:
            self._keepers[number].end()

    def end_all(self) -> None:
        """Nobody waits for any of them."""
        for keeper in self._keepers.values():
            keeper.end()

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


def _live(order: int, name: str, answer: int, heeded: int) -> NoReturn:
    """Be a keeper, in the forked child; signals are blocked when it is called."""
    status = 1
    try:
        _detach()
        with open(order, "rb") as file:
            file.seek(0)
            data = file.read(MAX_ORDER + 1)
        let_go((0, 1, 2, answer, heeded))
        wanted = decode_order(data)
        setproctitle.setproctitle(preflight_phrase(name, f"epoch {wanted.candidate.epoch}; keeper"))
        _send(answer, encode(keep(wanted, name, (answer, heeded))))
        status = 0
    except Unwanted:
        status = 0
    except BaseException:  # noqa: BLE001 - this frame is the process: nobody is left to tell but stderr
        traceback.print_exc()
    finally:
        leave(status)


def _detach() -> None:
    """Take no signal for the zygote's: whoever wants this process to end closes what it listens to."""
    signal.set_wakeup_fd(-1)
    os.setsid()
    for signum in NEWBORN_SIGNALS:
        signal.signal(signum, signal.SIG_DFL if signum is signal.SIGCHLD else signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    gc.enable()


def _send(answer: int, data: bytes) -> None:
    """Send it all, or as much as is taken in time."""
    os.set_blocking(answer, False)
    poll = select.poll()
    poll.register(answer, select.POLLOUT)
    until = time.monotonic() + SENDING
    while data and poll.poll(max(0.0, until - time.monotonic()) * 1000):
        try:
            data = data[os.write(answer, data) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            return
