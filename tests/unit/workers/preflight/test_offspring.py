"""Everything below a process ends, whatever it does to stay."""

import os
import signal
import sys
import time
from collections.abc import Callable

import multiprocess
import pytest

from changeover.workers.preflight import offspring
from changeover.workers.runtime import kernel
from tests.rehearsing import running
from tests.waits import until_sync

SLEEPER = ("sleep", f"86401.{os.getpid()}")
"""Nobody else runs that, not even another process of the same tests."""


def stay() -> None:
    os.execvp(SLEEPER[0], SLEEPER)


def one() -> None:
    if os.fork() == 0:
        stay()


def several_in_sessions_of_their_own_whose_parents_left() -> None:
    for _ in range(3):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                stay()
            os._exit(0)


def a_deep_line_of_them() -> None:
    for _ in range(10):
        if os.fork():
            time.sleep(86402)
    stay()


def some_that_heed_no_signal() -> None:
    if os.fork() == 0:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        stay()


def ones_that_fork_whenever_one_is_gone() -> None:
    for _ in range(4):
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            while True:
                if os.fork() == 0:
                    time.sleep(0.001)
                    if os.getppid() != 1:
                        os._exit(0)


def _ends(begin: Callable[[], None]) -> None:
    kernel.prctl("", kernel.PR_SET_CHILD_SUBREAPER, 1)
    child = os.fork()
    if child == 0:
        begin()
        time.sleep(86403)
    until_sync(lambda: offspring.children_of(child), "it to have children")
    assert offspring.end_all(5.0)
    assert offspring.children_of(os.getpid()) == []
    sys.exit(0)


@pytest.mark.parametrize(
    "begin",
    [
        one,
        several_in_sessions_of_their_own_whose_parents_left,
        a_deep_line_of_them,
        some_that_heed_no_signal,
        ones_that_fork_whenever_one_is_gone,
    ],
)
def test_nothing_stays(begin: Callable[[], None]) -> None:
    process = multiprocess.get_context("fork").Process(target=_ends, args=(begin,))
    process.start()
    process.join(20)
    assert process.exitcode == 0
    process.close()
    assert running(*SLEEPER) == []
