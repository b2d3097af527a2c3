"""A keeper that was forked off a zygote, from there to its end."""

import gc
import os
import select
import signal
import time
import traceback
from typing import NoReturn

import setproctitle

from changeover.workers.preflight.birth import let_go
from changeover.workers.preflight.keeper import Unwanted, keep
from changeover.workers.protocol.phrase import preflight_phrase
from changeover.workers.protocol.rehearsal import MAX_ORDER, decode_order, encode
from changeover.workers.runtime.birth import NEWBORN_SIGNALS, leave

SENDING = 5.0
"""Seconds in which a supervisor takes the report."""


def live(order: int, name: str, answer: int, line: int) -> NoReturn:
    """Be a keeper; signals are blocked when it is called.

    Args:
        order: Descriptor of a file with a `RehearsalOrder`.
        name: The service's name.
        answer: Descriptor of the socket for the report.
        line: Descriptor of a pipe whose end means that nobody waits any more.
    """
    status = 1
    try:
        _detach()
        with open(order, "rb") as file:
            file.seek(0)
            data = file.read(MAX_ORDER + 1)
        let_go((0, 1, 2, answer, line))
        wanted = decode_order(data)
        setproctitle.setproctitle(preflight_phrase(name, f"epoch {wanted.candidate.epoch}; keeper"))
        _send(answer, encode(keep(wanted, name, (answer, line))))
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
