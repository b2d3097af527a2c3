"""Processes of ours that are, or become, somebody else."""

import os
from collections.abc import Callable

import multiprocess

from changeover.workers.runtime import kernel

ANYBODY = 20_000 + os.getpid() % 10_000
"""Nobody else on this machine, other runs of these tests included."""


def as_anybody() -> None:
    """Be a user who is not root; whoever is none already stays who it is."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(ANYBODY, ANYBODY, ANYBODY)
        os.setresuid(ANYBODY, ANYBODY, ANYBODY)
        kernel.prctl("", kernel.PR_SET_DUMPABLE, 1)  # which a program has that is executed as somebody else


def elsewhere(check: Callable[[], None]) -> None:
    """Run `check` in a process forked for it."""
    process = multiprocess.get_context("fork").Process(target=check)
    process.start()
    process.join(30)
    assert process.exitcode == 0
    process.close()
