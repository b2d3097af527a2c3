"""The first process of a container inherits every orphan in it, and has to reap what it never started.

The supervisor must not: `waitpid(-1)` would take the ends of its own children from whoever waits for them. So a
supervisor that finds itself to be process 1 leaves that place to a reaper: the process forks before anything else is
there, the child becomes the supervisor, and the parent reaps, hands signals on, and ends as the child ends.
"""

import os
import signal
from typing import NoReturn

from changeover.supervisor.process.signals import RULES

FIRST = 1
SI_KERNEL = 0x80
"""Who sent it: the kernel, for a key that was typed; then the whole foreground has it already."""
BY_SIGNAL = 128
"""Added to the number of the signal that ended the supervisor, as shells have it."""
HANDED_ON = frozenset(RULES)


def leave_first_place() -> None:
    """Return in a process that is not the first one; called while there are no threads, children or handlers."""
    if os.getpid() != FIRST:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, HANDED_ON | {signal.SIGCHLD})
    supervisor = os.fork()
    if supervisor:
        _reap(supervisor)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    for name in ("LISTEN_PID", "WATCHDOG_PID"):
        if os.environ.get(name) == str(FIRST):
            os.environ[name] = str(os.getpid())


def _reap(supervisor: int) -> NoReturn:
    while True:
        arrived = signal.sigwaitinfo(HANDED_ON | {signal.SIGCHLD})
        if arrived.si_signo == signal.SIGCHLD:
            _reap_all(supervisor)
        elif arrived.si_code != SI_KERNEL:
            os.kill(supervisor, arrived.si_signo)


def _reap_all(supervisor: int) -> None:
    """Reap whoever has ended; when that is the supervisor, end as it did."""
    while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)) is not None:
        if ended.si_pid == supervisor:
            os._exit(ended.si_status if ended.si_code == os.CLD_EXITED else BY_SIGNAL + ended.si_status)
