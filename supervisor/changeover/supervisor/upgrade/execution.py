"""Becomes another program: everything that it is to have stays open, everything else ends with this one."""

import json
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import NoReturn

import msgspec

from changeover.supervisor.process.signals import RULES
from changeover.supervisor.upgrade import handed as handing
from changeover.supervisor.upgrade.archive import path_of
from changeover.supervisor.upgrade.errors import NotExecuted
from changeover.supervisor.upgrade.handed import Handed
from changeover.supervisor.upgrade.launch import Launch
from changeover.supervisor.upgrade.launcher import LAUNCH

MODULE = "changeover.supervisor"
TAKES = 30.0
"""Seconds that the new program has to take over."""
RETURNS = 30.0
"""Seconds in which the program before it runs again, at the latest, where it does not."""


def execute(launch: Launch, python: str, archive: int, handed: Handed) -> NoReturn:
    """Become the new program. Signals that arrive meanwhile wait for it.

    Args:
        launch: How this one was started.
        python: The interpreter that is to run the new one.
        archive: The program that runs now.
        handed: What the new one is handed; its `ready` is made here.

    Raises:
        NotExecuted: The system does not let us; nothing has changed.
    """
    taken, ready = os.pipe()
    full = msgspec.structs.replace(handed, ready=ready)
    passed = handing.leave(full)
    plan = _write_down(launch, archive, full, taken, passed)
    opened = (taken, ready, passed, plan)
    inherited = (*full.descriptors(), taken, passed, plan, archive)
    environment = {**launch.again(), handing.VARIABLE: str(passed)}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, RULES)
    # The launcher that we came through may have its deadline still ahead; the next one would not know what it means.
    deadline, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        _set_inheritable(inherited, True)
        os.chdir(launch.directory)
        sys.stderr.flush()
        sys.stdout.flush()
        os.execve(python, [python, "-P", path_of(archive), LAUNCH, str(plan)], environment)
    except OSError as error:
        _set_inheritable(inherited, False)
        for fd in opened:
            os.close(fd)
        signal.setitimer(signal.ITIMER_REAL, deadline)
        raise NotExecuted(python, error.strerror or str(error)) from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _write_down(launch: Launch, archive: int, handed: Handed, taken: int, passed: int) -> int:
    """The launcher's plan."""
    plan = {
        "module": MODULE,
        "arguments": launch.arguments,
        "directory": launch.directory,
        "environment": {**launch.again(), handing.VARIABLE: str(passed)},
        "python": launch.python,
        "archive": archive,
        "descriptors": [*handed.descriptors(), passed, archive],
        "taken": taken,
        "deadline": TAKES,
        "reason": handing.REASON,
        "signals": sorted(RULES),
    }
    fd = os.memfd_create("changeover-plan", os.MFD_CLOEXEC)
    os.write(fd, json.dumps(plan).encode())
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _set_inheritable(descriptors: Iterable[int], inheritable: bool) -> None:
    for fd in descriptors:
        with suppress(OSError):
            os.set_inheritable(fd, inheritable)
