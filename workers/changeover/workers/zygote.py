"""The zygote: one thread that holds preloaded code and forks workers from it.

`python -P -m changeover.workers.zygote --socket FD --stacks FD`, executed by the supervisor. No
loop, no ZeroMQ context, no second thread ever exists in it, because a child inherits the state of
every lock. It outlives the supervisor: it waits for one that reconnects, and leaves once its
children are gone and the orphan timeout is over, or when it is told to.
"""

import argparse
import errno
import faulthandler
import gc
import os
import select
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

import msgspec
import setproctitle

from changeover.workers.link.credentials import ROOT, peer_is_us
from changeover.workers.link.packets import receive_packet, send_packet
from changeover.workers.protocol import forking
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.forking import STACKS_SIGNAL, Setup, ZygoteOrder, ZygoteReport
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.phrase import zygote_phrase
from changeover.workers.runtime.birth import Entry, entry_named, leave
from changeover.workers.runtime.landlock import write_only_below
from changeover.workers.runtime.newborn import Newborn, NotForked, open_descriptors
from changeover.workers.runtime.preload import preload, prepend_path, refusal_of_preload
from changeover.workers.runtime.privileges import give_up_new_privileges

REPEAT = 1.0
"""Seconds until an unacknowledged `Exited`, or a packet that found no room, is sent again."""
LAST_WORDS = 5.0
"""Seconds that a zygote waits for a supervisor that never told it what it is, or does not take its last packet."""
MOST_WAITING = 4
"""Supervisors that may wait to be accepted."""
PRELOAD_FAILED = 4
"""Exit status after `PreloadFailed`."""

IGNORED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
"""Signals that a zygote ignores. TERM, without a supervisor, ends its workers and then itself."""

_BUSY = (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM)


class PreloadRefused(Exception):
    """Preloading failed, and the supervisor was told why."""


class Zygote:
    """Takes orders from one supervisor at a time, and watches the children.

    Args:
        listening: Where supervisors connect; they see who listens, so this process has to have said so itself.
        supervisor: The connected one, None as long as there is none.
        stacks: Descriptor of its stacks file.
        inherited: Descriptors that survive an execution of this program anew.

    Attributes:
        malformed: Packets that meant nothing.
    """

    def __init__(
        self, listening: socket.socket, supervisor: socket.socket | None, stacks: int, inherited: frozenset[int]
    ) -> None:
        listening.listen(MOST_WAITING)
        self._listening = listening
        self._supervisor = supervisor
        self._stacks = stacks
        self._inherited = inherited
        self._setup: Setup | None = None
        self._entry: Entry | None = None
        self._children: dict[WorkerId, Newborn] = {}
        self._ended: dict[WorkerId, int] = {}
        self._outgoing: deque[tuple[ZygoteReport, tuple[int, ...]]] = deque()
        self._leaving = self._termed = False
        self._alone_since = time.monotonic()
        self._repeated = 0.0
        self._wakes, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._pidfd = os.pidfd_open(os.getpid())
        self.malformed = 0

    def run(self, setup: Setup | None) -> int:
        """Serve until there is nothing left to do.

        Args:
            setup: The set-up of an earlier execution of this program, None to be told.

        Returns:
            The exit status.
        """
        self._take_signals()
        try:
            if setup is not None:
                self._begin(setup)
            while not self._done():
                self._turn()
        except PreloadRefused:
            return PRELOAD_FAILED
        return 0

    def _done(self) -> bool:
        if self._children or (self._ended and self._supervisor is not None):
            return False
        if self._leaving:
            return True
        orphan = LAST_WORDS if self._setup is None else self._setup.orphan
        return self._supervisor is None and 0 < orphan <= time.monotonic() - self._alone_since

    def _turn(self) -> None:
        poll = select.poll()
        for fd in self._watched():
            poll.register(fd, select.POLLIN)
        for fd, _ in poll.poll(self._patience()):
            if fd == self._wakes:
                os.read(fd, 4096)
            elif fd == self._listening.fileno():
                self._accept()
            elif self._supervisor is not None and fd == self._supervisor.fileno():
                self._receive()
        self._heed_term()
        self._reap()
        self._flush()
        self._repeat()

    def _watched(self) -> tuple[int, ...]:
        peer = self._listening if self._supervisor is None else self._supervisor
        return (self._wakes, peer.fileno(), *(child.pidfd for child in self._children.values()))

    def _patience(self) -> float | None:
        """Milliseconds until something is due although nothing arrives."""
        if self._setup is None or (self._supervisor is not None and (self._outgoing or self._ended)):
            return REPEAT * 1000
        if self._supervisor is not None or self._children or not self._setup.orphan:
            return None
        return max(0.0, self._alone_since + self._setup.orphan - time.monotonic()) * 1000 + 1

    def _accept(self) -> None:
        try:
            accepted, _ = self._listening.accept()
        except OSError:
            return
        if not peer_is_us(accepted, ROOT):
            return accepted.close()
        self._supervisor = accepted
        self._supervisor.setblocking(False)
        if self._setup is not None:
            self._introduce()
        self._show()

    def _greet(self) -> None:
        """Tell the supervisor that started this zygote that it is ready; there are no children yet."""
        assert self._setup is not None
        self._say(forking.Ready(self._setup.cohort, os.getpid(), threads=self._setup.threads))

    def _introduce(self) -> None:
        """Tell a supervisor that did not start this zygote all there is to know and to hold."""
        assert self._setup is not None
        setup, held = self._setup, self._setup.belongings
        known = (*self._children, *self._ended)
        self._say(
            forking.Ready(setup.cohort, os.getpid(), known, setup.threads, setup.journal, setup.rolled, held),
            (self._pidfd, self._stacks, *held.descriptors()),
        )
        for child in self._children.values():
            self._say_forked(child)
        self._repeated = 0.0

    def _receive(self) -> None:
        assert self._supervisor is not None
        try:
            packet = receive_packet(self._supervisor, forking.MAX_PACKET)
        except BlockingIOError:
            return
        except OSError:
            return self._disconnect()
        if not packet.data:
            return self._disconnect()
        try:
            self._obey(forking.decode_order(packet.data))
        except MalformedFrame:
            self.malformed += 1

    def _disconnect(self) -> None:
        """Wait for another supervisor, unless nothing began. Workers that this one does not hold yet are given up."""
        assert self._supervisor is not None
        self._supervisor.close()
        self._supervisor = None
        self._alone_since = time.monotonic()
        self._leaving = self._leaving or self._setup is None
        self._outgoing.clear()
        for child in self._children.values():
            child.give_up()
        self._show()

    def _obey(self, order: ZygoteOrder) -> None:
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
            case _:
                self.malformed += 1

    def _begin(self, setup: Setup) -> None:
        """Import, collect, freeze; then children share what is there instead of copying it."""
        self._setup = setup
        self._show("preloading")
        prepend_path(setup.path)
        try:
            self._entry = entry_named(setup.entry)
            threads = preload(setup.preload) if setup.preload is not None and not setup.threads else ()
        except BaseException as error:  # noqa: BLE001 - whatever user code raises, exits included, is told
            self._refuse(setup, error)
        if threads:
            self._execute_anew(msgspec.structs.replace(setup, threads=threads))
        self._take_signals()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._greet()
        self._show()

    def _refuse(self, setup: Setup, error: BaseException) -> NoReturn:
        wanted = setup.preload or forking.Preload(setup.entry, os.getcwd())
        self._say(forking.PreloadFailed(refusal_of_preload(wanted, error)))
        end = time.monotonic() + LAST_WORDS
        while self._outgoing and self._supervisor is not None and time.monotonic() < end:
            select.select([], [self._supervisor], [], end - time.monotonic())
            self._flush()
        raise PreloadRefused from error

    def _execute_anew(self, setup: Setup) -> NoReturn:
        """Start over in the same process without the threads that preloading brought."""
        saved = os.memfd_create("setup")
        os.write(saved, forking.encode(setup))
        again = [*sys.orig_argv, "--setup", str(saved)]
        kept = set(self._inherited) | {saved}
        if self._supervisor is not None:
            again += ["--supervisor", str(self._supervisor.fileno())]
            kept.add(self._supervisor.fileno())
        for fd in kept:
            os.set_inheritable(fd, True)
        os.execv(sys.executable, again)

    def _fork(self, order: forking.Fork) -> None:
        worker = order.worker
        if worker in self._children:
            return self._say_forked(self._children[worker])
        if self._entry is None or self._leaving or worker in self._ended:
            return self._say(forking.ForkFailed(worker, 0, "this zygote forks no more, or has not begun"))
        try:
            child = Newborn.fork(worker, order.birth, self._entry, self._own_descriptors(), order.rolled)
        except NotForked as error:
            return self._say(forking.ForkFailed(worker, error.errno, error.reason))
        self._children[worker] = child
        if self._setup is not None:
            self._setup = msgspec.structs.replace(self._setup, rolled=order.rolled)
        self._say_forked(child)
        self._show()

    def _own_descriptors(self) -> tuple[int, ...]:
        siblings = [fd for child in self._children.values() for fd in child.descriptors()]
        peer = () if self._supervisor is None else (self._supervisor.fileno(),)
        return (self._listening.fileno(), self._wakes, self._wake, self._pidfd, self._stacks, *peer, *siblings)

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
        self._say(forking.Forked(child.worker, child.pid, child.rolled), (child.pidfd, child.stacks))

    def _say(self, report: ZygoteReport, fds: tuple[int, ...] = ()) -> None:
        if self._supervisor is not None:
            self._outgoing.append((report, fds))
            self._flush()

    def _flush(self) -> None:
        while self._outgoing and self._supervisor is not None:
            report, fds = self._outgoing[0]
            try:
                send_packet(self._supervisor, forking.encode(report), fds)
            except OSError as error:
                if error.errno not in _BUSY:
                    self._disconnect()
                return
            self._outgoing.popleft()

    def _repeat(self) -> None:
        if self._supervisor is None or self._outgoing or time.monotonic() - self._repeated < REPEAT:
            return
        self._repeated = time.monotonic()
        for worker, status in self._ended.items():
            self._say(forking.Exited(worker, status))

    def _show(self, state: str = "") -> None:
        if self._setup is not None:
            count = len(self._children)
            told = state or f"{count} worker{'' if count == 1 else 's'}"
            alone = "" if self._supervisor is not None else "; no supervisor"
            setproctitle.setproctitle(zygote_phrase(self._setup.name, self._setup.cohort, told + alone))

    def _take_signals(self) -> None:
        """Install our handlers; once more after preloading, which may have brought its own."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for signum in IGNORED:
            signal.signal(signum, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._term)

    def _term(self, _signum: int, _frame: FrameType | None) -> None:
        self._termed = True

    def _heed_term(self) -> None:
        """Without a supervisor TERM is for us; whether there is one is known once everything that arrived is read."""
        termed, self._termed = self._termed, False
        if termed and self._supervisor is None:
            self._leaving = True
            for child in self._children.values():
                child.ask_to_leave()


def main(arguments: Sequence[str]) -> NoReturn:
    """Run a zygote in this process until it leaves."""
    parser = argparse.ArgumentParser(prog="changeover.workers.zygote")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--stacks", type=int, required=True)
    parser.add_argument("--no-new-privs", action="store_true")
    parser.add_argument("--write-below", action="append")
    parser.add_argument("--supervisor", type=int)
    parser.add_argument("--setup", type=int)
    given = parser.parse_args(arguments)
    if given.no_new_privs:
        give_up_new_privileges()
    if given.write_below is not None:
        write_only_below(given.write_below)
    faulthandler.enable(file=given.stacks)
    faulthandler.register(STACKS_SIGNAL, file=given.stacks)
    inherited = frozenset(fd for fd in open_descriptors() if fd > 2) - {given.setup, given.supervisor}
    for fd in inherited:
        os.set_inheritable(fd, False)
    supervisor = None if given.supervisor is None else _socket(given.supervisor)
    zygote = Zygote(_socket(given.socket), supervisor, given.stacks, inherited)
    leave(zygote.run(None if given.setup is None else _read_setup(given.setup)))


def _socket(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    os.set_inheritable(fd, False)
    return sock


def _read_setup(fd: int) -> Setup:
    with os.fdopen(fd, "rb") as saved:
        saved.seek(0)
        setup = forking.decode_order(saved.read())
    if not isinstance(setup, Setup):
        raise AssertionError("bug: the saved order is no Setup")
    return setup


if __name__ == "__main__":
    main(sys.argv[1:])
