"""One thread that preloads, forks workers and watches over them.

No loop, no ZeroMQ context, no second thread ever exists in a zygote, because a child inherits the
state of every lock. It outlives the supervisor: it waits for one that reconnects, and leaves once
its children are gone and the orphan timeout is over, or when it is told to.
"""

import gc
import math
import os
import select
import socket
import sys
import time
from typing import NoReturn

import msgspec
import setproctitle

from changeover.workers.protocol import forking
from changeover.workers.protocol.forking import Setup, ZygoteOrder
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.phrase import zygote_phrase
from changeover.workers.runtime.birth import Entry, entry_named, function_named
from changeover.workers.runtime.forking import NotForked
from changeover.workers.runtime.newborn import Newborn
from changeover.workers.runtime.preload import preload, prepend_path, refusal_of_preload
from changeover.workers.serving.offering import here
from changeover.workers.zygote.line import Line
from changeover.workers.zygote.rehearsals import LIVE, Live, Rehearsals
from changeover.workers.zygote.signals import Signals

REPEAT = 1.0
"""Seconds until an unacknowledged `Exited`, or a packet that found no room, is sent again."""
LAST_WORDS = 5.0
"""Seconds that a zygote waits for a supervisor that never told it what it is, or does not take its last packet."""
PRELOAD_FAILED = 4
"""Exit status after `PreloadFailed`."""


class PreloadRefused(Exception):
    """Preloading failed, and the supervisor was told why."""


class Zygote:
    """Takes orders, and watches the children.

    Args:
        listening: Where supervisors connect; they see who listens, so this process has to have said so itself.
        supervisor: The connected one, None as long as there is none.
        stacks: Descriptor of its stacks file.
        inherited: Descriptors that survive an execution of this program anew.

    Attributes:
        malformed: Orders that meant nothing then.
    """

    def __init__(
        self, listening: socket.socket, supervisor: socket.socket | None, stacks: int, inherited: frozenset[int]
    ) -> None:
        self._line = Line(listening, supervisor, self._lost)
        self._signals = Signals()
        self._stacks = stacks
        self._inherited = inherited
        self._setup: Setup | None = None
        self._entry: Entry | None = None
        self._children: dict[WorkerId, Newborn] = {}
        self._keep: Live | None = None
        self._rehearsals = Rehearsals()
        self._ended: dict[WorkerId, int] = {}
        self._leaving = False
        self._repeated = 0.0
        self._pidfd = os.pidfd_open(os.getpid())
        self.malformed = 0

    def run(self, setup: Setup | None) -> int:
        """Serve until there is nothing left to do.

        Args:
            setup: The set-up of an earlier execution of this program, None to be told.

        Returns:
            The exit status.
        """
        self._signals.take()
        try:
            if setup is not None:
                self._begin(setup)
            while not self._done():
                self._turn()
        except PreloadRefused:
            return PRELOAD_FAILED
        return 0

    def _done(self) -> bool:
        if self._children or self._rehearsals or (self._ended and self._line.connected):
            return False
        if self._leaving:
            return True
        orphan = LAST_WORDS if self._setup is None else self._setup.orphan
        return not self._line.connected and 0 < orphan <= time.monotonic() - self._line.alone_since

    def _turn(self) -> None:
        poll = select.poll()
        line = self._line.watched()
        pidfds = (*(child.pidfd for child in self._children.values()), *self._rehearsals.pidfds())
        for fd in (self._signals.wakes, line, *pidfds):
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(self._patience()):
            if fd == self._signals.wakes:
                self._signals.clear()
            elif fd == line:
                self._heed()
        self._heed_term()
        self._rehearsals.kill_late()
        self._reap()
        self._line.flush()
        if not self._line.waits:
            self._rehearsals.settle()
        self._repeat()

    def _patience(self) -> float | None:
        """Milliseconds until something is due although nothing arrives."""
        due = min(self._due(), self._rehearsals.due())
        return None if due == math.inf else due * 1000 + 1

    def _due(self) -> float:
        """Seconds until there is something to say again, or nobody to wait for any more."""
        if self._setup is None or (self._line.connected and (self._line.waits or self._ended)):
            return REPEAT
        if self._line.connected or self._children or self._rehearsals or not self._setup.orphan:
            return math.inf
        return max(0.0, self._line.alone_since + self._setup.orphan - time.monotonic())

    def _heed(self) -> None:
        """Take the supervisor that connects, or an order of the one that did."""
        if self._line.connected:
            if (received := self._line.receive()) is not None:
                order, packet = received
                self._obey(order, packet.fds)
                packet.close_fds()
        elif self._line.accept():
            if self._setup is not None:
                self._introduce()
            self._show()

    def _greet(self) -> None:
        """Tell the supervisor that started this zygote that it is ready; there are no children yet."""
        assert self._setup is not None
        setup = self._setup
        self._line.say(forking.Ready(setup.cohort, os.getpid(), threads=setup.threads, rehearses=True))

    def _introduce(self) -> None:
        """Tell a supervisor that did not start this zygote all there is to know and to hold."""
        assert self._setup is not None
        setup, held = self._setup, self._setup.belongings
        known = (*self._children, *self._ended)
        rolled, imported = setup.rolled, setup.imported
        self._line.say(
            forking.Ready(setup.cohort, os.getpid(), known, setup.threads, setup.journal, rolled, held, True, imported),
            (self._pidfd, self._stacks, *held.descriptors()),
        )
        for child in self._children.values():
            self._say_forked(child)
        self._repeated = 0.0

    def _lost(self) -> None:
        """Wait for another supervisor, unless nothing began. Workers that this one does not hold yet are given up."""
        self._leaving = self._leaving or self._setup is None
        for child in self._children.values():
            child.give_up()
        self._rehearsals.end_all()
        self._show()

    def _obey(self, order: ZygoteOrder, fds: tuple[int, ...]) -> None:
        match order:
            case forking.Rehearse(number=number):
                self._rehearse(number, fds)
            case forking.EndRehearsal(number=number):
                self._rehearsals.end(number)
            case _:
                self._obey_for_workers(order)

    def _obey_for_workers(self, order: ZygoteOrder) -> None:
        match order:
            case forking.Setup() if self._setup is None:
                self._begin(order)
            case forking.Fork():
                self._fork(order)
            case forking.Held(worker=worker) if worker in self._children:
                self._children[worker].begin()
            case forking.AskForked(worker=worker) if worker in self._children:
                self._say_forked(self._children[worker])
            case forking.End(worker=worker) if worker in self._children:
                self._children[worker].give_up()
            case forking.ExitedSeen(worker=worker):
                self._ended.pop(worker, None)
            case forking.Introduce() if self._setup is not None:
                self._introduce()
            case forking.Leave():
                self._leaving = True
                self._rehearsals.end_all()
            case _:
                self.malformed += 1

    def _begin(self, setup: Setup) -> None:
        """Import, collect, freeze; then children share what is there instead of copying it."""
        self._setup = setup
        self._show("preloading")
        prepend_path(setup.path)
        here.enter()
        try:
            self._entry, self._keep = entry_named(setup.entry), function_named(LIVE)
            threads = preload(setup.preload) if setup.preload is not None and not setup.threads else ()
        except BaseException as error:  # noqa: BLE001 - whatever user code raises, exits included, is told
            self._refuse(setup, error)
        if threads:
            self._execute_anew(msgspec.structs.replace(setup, threads=threads))
        self._signals.take()
        _forget_lookups()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._greet()
        self._show()

    def _refuse(self, setup: Setup, error: BaseException) -> NoReturn:
        wanted = setup.preload or forking.Preload(setup.entry, os.getcwd())
        self._line.say(forking.PreloadFailed(refusal_of_preload(wanted, error)))
        self._line.drain(LAST_WORDS)
        raise PreloadRefused from error

    def _execute_anew(self, setup: Setup) -> NoReturn:
        """Start over in the same process without the threads that preloading brought."""
        saved = os.memfd_create("setup")
        os.write(saved, forking.encode(setup))
        again = [*sys.orig_argv, "--setup", str(saved)]
        kept = set(self._inherited) | {saved}
        if (supervisor := self._line.supervisor) is not None:
            again += ["--supervisor", str(supervisor)]
            kept.add(supervisor)
        for fd in kept:
            os.set_inheritable(fd, True)
        os.execv(sys.executable, again)

    def _fork(self, order: forking.Fork) -> None:
        worker = order.worker
        if worker in self._children:
            return self._say_forked(self._children[worker])
        if self._entry is None or self._leaving or worker in self._ended:
            return self._line.say(forking.ForkFailed(worker, 0, "this zygote forks no more, or has not begun"))
        try:
            child = Newborn.fork(worker, order.birth, self._entry, self._own_descriptors(), order.rolled)
        except NotForked as error:
            return self._line.say(forking.ForkFailed(worker, error.errno, error.reason))
        self._children[worker] = child
        if self._setup is not None:
            self._setup = msgspec.structs.replace(self._setup, rolled=order.rolled)
        self._say_forked(child)
        self._show()

    def _rehearse(self, number: int, fds: tuple[int, ...]) -> None:
        if self._setup is None or self._keep is None or self._leaving:
            return self._line.say(forking.RehearsalFailed(number, 0, "this zygote forks no more, or has not begun"))
        try:
            keeper = self._rehearsals.begin(number, fds, self._keep, self._setup.name)
        except NotForked as error:
            return self._line.say(forking.RehearsalFailed(number, error.errno, error.reason))
        self._line.say(forking.Rehearsing(number, keeper.pid), (keeper.pidfd, keeper.answer))

    def _own_descriptors(self) -> tuple[int, ...]:
        siblings = [fd for child in self._children.values() for fd in child.descriptors()]
        siblings += self._rehearsals.descriptors()
        return (*self._line.descriptors(), *self._signals.descriptors(), self._pidfd, self._stacks, *siblings)

    def _reap(self) -> None:
        for worker, child in tuple(self._children.items()):
            status = child.status()
            if status is not None:
                del self._children[worker]
                child.close()
                self._ended[worker] = status
                self._repeated = 0.0
                self._show()

    def _say_forked(self, child: Newborn) -> None:
        self._line.say(forking.Forked(child.worker, child.pid, child.rolled), (child.pidfd, child.stacks))

    def _repeat(self) -> None:
        if not self._line.connected or self._line.waits or time.monotonic() - self._repeated < REPEAT:
            return
        self._repeated = time.monotonic()
        for worker, status in self._ended.items():
            self._line.say(forking.Exited(worker, status))

    def _show(self, state: str = "") -> None:
        if self._setup is not None:
            count = len(self._children)
            told = state or f"{count} worker{'' if count == 1 else 's'}"
            alone = "" if self._line.connected else "; no supervisor"
            setproctitle.setproctitle(zygote_phrase(self._setup.name, self._setup.cohort, told + alone))

    def _heed_term(self) -> None:
        """Without a supervisor TERM is for us; whether there is one is known once everything that arrived is read."""
        if self._signals.termed() and not self._line.connected:
            self._leaving = True
            self._rehearsals.end_all()
            for child in self._children.values():
                child.ask_to_leave()


def _forget_lookups() -> None:
    """Empty the interpreter's cache of attributes of types.

    Each of its entries counts as a reference to a name. A worker fills the cache with names of its own, and what it
    pushed out would be counted down all over the pages that it shares.
    """
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()
