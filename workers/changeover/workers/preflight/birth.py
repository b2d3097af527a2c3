"""From the keeper's forks to the report: the first process of a namespace, which runs no code of anybody else, and
the rehearsal in it."""

import gc
import io
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Collection
from types import FrameType
from typing import NoReturn

import msgspec
import setproctitle

from changeover.workers.preflight.audit import WatchedLoop, watch
from changeover.workers.preflight.beginning import begin
from changeover.workers.preflight.believing import bounded
from changeover.workers.preflight.confining import Terms, confine
from changeover.workers.preflight.page import Page
from changeover.workers.preflight.rehearsal import Note, rehearsed
from changeover.workers.protocol.forking import STACKS_SIGNAL
from changeover.workers.protocol.phrase import preflight_phrase
from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport, encode
from changeover.workers.runtime import kernel
from changeover.workers.runtime.birth import NEWBORN_SIGNALS, leave
from changeover.workers.runtime.forking import open_descriptors
from changeover.workers.runtime.main import run_to_end
from changeover.workers.runtime.preload import prepend_path
from changeover.workers.runtime.stacks import write_when_asked

SAID = struct.Struct("=ii")
"""What the first process says: the rehearsal's status, and the system's error number if it could not be forked."""
STANDARD = (0, 1, 2)


class Womb(msgspec.Struct, frozen=True):
    """What a rehearsal gets from its keeper.

    Attributes:
        order: What it is to rehearse.
        terms: How it is confined.
        name: The service's name, for titles; empty for none.
        output: Pipe for whatever it writes.
        report: Pipe for its report.
        stacks: Descriptor of its stacks file.
    """

    order: RehearsalOrder
    terms: Terms
    name: str
    output: int
    report: int
    stacks: int


def be_first(said: socket.socket, womb: Womb, page: Page) -> NoReturn:
    """Be the first process: begin when the keeper says so, fork the rehearsal, reap until it ended, and say how."""
    try:
        kernel.prctl("it cannot be ended with its keeper", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if said.recv(1):
            said.send(_forked(said, womb, page))
    except BaseException:  # noqa: BLE001 - this frame is the process: nobody is left to tell but stderr
        traceback.print_exc()
    finally:
        os._exit(0)


def _forked(said: socket.socket, womb: Womb, page: Page) -> bytes:
    try:
        rehearsal = os.fork()
    except OSError as error:
        return SAID.pack(0, error.errno or 0)
    if rehearsal == 0:
        live(womb, page)
    let_go((said.fileno(), *STANDARD))

    def pass_on(signum: int, frame: FrameType | None) -> None:
        os.kill(rehearsal, signum)

    signal.signal(STACKS_SIGNAL, pass_on)
    while True:
        pid, status = os.wait()
        if pid == rehearsal:
            return SAID.pack(os.waitstatus_to_exitcode(status), 0)


def live(womb: Womb, page: Page) -> NoReturn:
    """Be the rehearsal."""
    status = 1
    try:
        _enter(womb)
        report = _rehearsed(womb, Note(page, confine(womb.terms)))
        _write(womb.report, encode(bounded(report)))
        status = 0
    except BaseException:  # noqa: BLE001 - this frame is the process: nobody is left to tell but its output
        traceback.print_exc()
    finally:
        leave(status)


def _enter(womb: Womb) -> None:
    """Be a process of its own, with nothing of others but what its keeper listens to."""
    os.setsid()
    for fd in STANDARD[1:]:
        os.dup2(womb.output, fd)
    let_go((womb.report, womb.stacks, *STANDARD[1:]))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(write_through=True)  # what a process that crashes has not written is lost
    write_when_asked(womb.stacks)
    for signum, disposition in NEWBORN_SIGNALS.items():
        signal.signal(signum, disposition)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    gc.enable()
    if womb.name:
        setproctitle.setproctitle(preflight_phrase(womb.name, f"epoch {womb.order.candidate.epoch}"))


def _rehearsed(womb: Womb, note: Note) -> RehearsalReport:
    """What workers do; of a cohort that preloaded nothing, they find the application, and import it with its unit."""
    if womb.order.preload is not None:
        prepend_path((womb.order.preload.directory,))
    warnings = begin(womb.order, womb.name, note)
    return run_to_end(WatchedLoop(), rehearsed(womb.order, note, watch(womb.order.fresh()), warnings))


def _write(pipe: int, data: bytes) -> None:
    while data:
        data = data[os.write(pipe, data) :]


def let_go(kept: Collection[int]) -> None:
    """Let go of all descriptors but these.

    The numbers stay taken, by the null device: objects that were inherited close them one day.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for fd in open_descriptors() - {null, *kept}:
        os.dup2(null, fd, inheritable=False)
    os.close(null)
