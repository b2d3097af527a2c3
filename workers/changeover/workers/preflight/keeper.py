"""Keeps a rehearsal: starts it, listens to it, ends it with everything that it started, and says how it went.

No code of anybody else runs here. A keeper keeps one rehearsal in its life, and ends with whoever waits for its report.
"""

import os
import select
import signal
import socket
import time

import msgspec

from changeover.workers.plugins.refused import MAX_TRACEBACK
from changeover.workers.preflight import offspring
from changeover.workers.preflight.account import Account, account
from changeover.workers.preflight.believing import LONGEST, believed, lacking
from changeover.workers.preflight.birth import SAID, Womb, be_first
from changeover.workers.preflight.confining import Terms, may_write
from changeover.workers.preflight.endings import (
    UNWATCHED,
    Ending,
    ending_of,
    is_barred,
    not_forked,
    overdue,
    report_of,
)
from changeover.workers.preflight.listening import Heard
from changeover.workers.preflight.namespaces import separate
from changeover.workers.preflight.page import Page
from changeover.workers.preflight.temporary import Temporary
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.forking import STACKS_SIGNAL
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.rehearsal import MAX_REPORT, RehearsalOrder, RehearsalReport
from changeover.workers.runtime import kernel

SHARE = 0.5
"""Of its deadline, what a rehearsal may be at what serves: the rest is for the candidate without that."""
ENDING = 3.0
"""Seconds in which what was killed is gone."""
STACKS = 0.5
"""Seconds in which a rehearsal that is late writes where it is."""
LOOK = 0.05
"""Seconds between two looks at whether it wrote all of that."""
MOST_OUTPUT = MAX_REPORT // 8
"""Bytes of output that are kept at the most: what is no UTF-8 takes three times as many."""


class Unwanted(Exception):
    """Nobody waits for the report any more."""


class Keeper:
    """Of one rehearsal, which waits until `report` lets it begin.

    Args:
        order: What is to be rehearsed.
        name: The service's name, for titles; empty for none.
        folder: For its temporary files; empty for none.
        account: Whom it runs as, None for ourselves.

    Raises:
        OSError: The system refuses.
    """

    def __init__(self, order: RehearsalOrder, name: str, folder: str, account: Account | None) -> None:
        self._order = order
        self._page = Page()
        self._began = time.monotonic()
        self._given = order.settings.deadline
        self._stacks = os.memfd_create("stacks of a rehearsal", os.MFD_CLOEXEC)
        self._said, said = socket.socketpair()
        output, written = os.pipe2(os.O_CLOEXEC)
        report, reported = os.pipe2(os.O_CLOEXEC)
        self._output = Heard(output, min(order.settings.output, MOST_OUTPUT))
        self._report = Heard(report, LONGEST)
        self._separation = separate()
        terms = Terms(order.settings, folder, may_write(order), self._separation.counted, account)
        self._first = os.fork()
        if self._first == 0:
            be_first(said, Womb(order, terms, name, written, reported, self._stacks), self._page)
        said.close()
        os.close(written)
        os.close(reported)

    def report(self, watched: tuple[int, ...]) -> RehearsalReport:
        """Let it begin, and say how it went once nothing of it is left.

        Args:
            watched: Descriptors that hang up when nobody waits any more.

        Raises:
            Unwanted: Nobody does.
        """
        try:
            self._said.send(b"!")
            said = self._listen_in_time(watched)
            if said is None:
                self._ask_stacks()
        finally:
            is_gone = self._end()
        standing, stacks = self._page.read(), self._written_stacks()
        report = self._reported(said)
        if isinstance(report, Ending):
            report = report_of(report, standing, stacks, self._order)
        return msgspec.structs.replace(
            report,
            output=self._output.kept.decode("utf-8", "replace"),
            missing=self._separation.missing + lacking(standing.missing),
            warnings=report.warnings if is_gone else (*report.warnings, "left: processes of it that cannot be killed"),
        )

    def _listen_in_time(self, watched: tuple[int, ...]) -> bytes | None:
        """As `_listen`: what serves may take its share of the deadline, and who comes to the candidate all of it."""
        if self._order.may_be_barred():
            self._given = self._order.settings.deadline * SHARE
            said = self._listen(self._began + self._given, watched)
            if said is not None or is_barred(self._page.read(), self._order):
                return said
        self._given = self._order.settings.deadline
        return self._listen(self._began + self._given, watched)

    def _listen(self, until: float, watched: tuple[int, ...] = ()) -> bytes | None:
        """What the first process says, empty when it ended without a word; None when the time is over."""
        pipes = {heard.fd: heard for heard in (self._output, self._report)}
        poll = select.poll()
        for fd in (self._said.fileno(), *pipes):
            poll.register(fd, select.POLLIN)
        for fd in watched:
            poll.register(fd, 0)  # which is told of hanging up alone
        while (left := until - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                if fd == self._said.fileno():
                    return self._said.recv(SAID.size)
                if fd not in pipes:
                    raise Unwanted
                if pipes[fd].take() == b"":
                    poll.unregister(fd)
        return None

    def _ask_stacks(self) -> None:
        """Have it write where it is: the first process passes the signal on."""
        os.kill(self._first, STACKS_SIGNAL)
        until, before = time.monotonic() + STACKS, -1
        while time.monotonic() < until and self._listen(time.monotonic() + LOOK) is None:
            size = os.fstat(self._stacks).st_size
            if size and size == before:
                return
            before = size

    def _written_stacks(self) -> str:
        return os.pread(self._stacks, MAX_TRACEBACK, 0).decode("utf-8", "replace")

    def _end(self) -> bool:
        """End everything; whether nothing is left."""
        os.kill(self._first, signal.SIGKILL)
        is_gone = offspring.ended(self._first, ENDING)
        if not self._separation.together:
            is_gone = offspring.end_all(ENDING) and is_gone
        self._output.close()
        self._report.close()
        self._said.close()
        return is_gone

    def _reported(self, said: bytes | None) -> RehearsalReport | Ending:
        if said is None:
            return overdue(self._given)
        if len(said) < SAID.size:
            return UNWATCHED
        status, number = SAID.unpack(said)
        if number:
            return not_forked(number)
        if status or not self._report.kept:
            return ending_of(status)
        if self._report.cut:
            return Ending(Fault.CRASH, f"it reported more than {LONGEST} bytes")
        try:
            return believed(bytes(self._report.kept), self._order)
        except MalformedFrame as error:
            return Ending(Fault.CRASH, f"it reported what is no report ({error.reason})")


def keep(order: RehearsalOrder, name: str, watched: tuple[int, ...]) -> RehearsalReport:
    """Have something rehearsed below this process, which has one thread and is good for nothing else afterwards.

    Args:
        order: What is to be rehearsed.
        name: The service's name, for titles; empty for none.
        watched: Descriptors that hang up when nobody waits any more.

    Raises:
        Unwanted: Nobody does; nothing of the rehearsal is left.
    """
    began = time.monotonic()
    kernel.prctl("orphans cannot be taken over", kernel.PR_SET_CHILD_SUBREAPER, 1)
    other = account()
    with Temporary(other) as temporary:
        try:
            report = Keeper(order, name, temporary.folder, other).report(watched)
        except OSError as error:
            report = report_of(not_forked(error.errno or 0), Page().read(), "", order)
    missing = (() if temporary.folder else ("a folder for temporary files",)) + report.missing
    if os.geteuid() == 0 and other is None:
        missing += ("another user (root has not the capabilities for it)",)
    warnings = report.warnings + temporary.left
    return msgspec.structs.replace(report, missing=missing, warnings=warnings, took=time.monotonic() - began)
