"""Confines a rehearsal, before any code runs that it is there for; there is no way back.

The order matters: another user before what takes its rights away, limits last, because the steps before need room. What
the kernel lacks is left out and told.
"""

import os
import signal
import tempfile
from collections.abc import Callable

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.preflight import filtering, limits
from changeover.workers.preflight.account import Account, become
from changeover.workers.protocol.rehearsal import Confinement, RehearsalOrder
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot
from changeover.workers.runtime import kernel, landlock
from changeover.workers.runtime.privileges import give_up_new_privileges

STEPS = (
    "another user",
    "its end with its keeper",
    "no new privileges",
    "writing by Landlock",
    "signals by Landlock",
    "a filter of system calls",
    "limits",
)
"""What confines a rehearsal, in order, as what could not be had begins."""
WRITE = "write"
"""The capability of plugins that may write files."""


class Terms(msgspec.Struct, frozen=True):
    """How a rehearsal is to be confined.

    Attributes:
        settings: What it may use up.
        folder: Its own folder for temporary files; empty for none.
        writes: Whether it may write wherever its user may.
        counted: Whether processes are counted anew for it.
        account: Whom it is to run as; None leaves it who it is.
    """

    settings: Confinement
    folder: str
    writes: bool
    counted: bool
    account: Account | None


def confine(terms: Terms) -> tuple[str, ...]:
    """Confine this process, and all that it starts.

    Returns:
        What could not be had, in words.
    """
    if terms.folder:
        os.environ["TMPDIR"] = tempfile.tempdir = terms.folder
    steps: tuple[Callable[[], None], ...] = (
        lambda: become(terms.account),
        _end_with_parent,
        give_up_new_privileges,
        lambda: None if terms.writes else landlock.write_only_below(()),
        landlock.reach_nobody,
        filtering.install,
        lambda: limits.limit(terms.settings, terms.counted),
    )
    return tuple(missing for name, step in zip(STEPS, steps, strict=True) if (missing := _missing(name, step)))


def _end_with_parent() -> None:
    kernel.prctl("it cannot be ended with its parent", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)


def _missing(name: str, step: Callable[[], None]) -> str:
    try:
        step()
    except (OSError, ChangeoverError) as error:
        return f"{name} ({error})"
    return ""


def may_write(order: RehearsalOrder) -> bool:
    """Whether something in a rehearsal may write files: an application, or a plugin that was granted it."""
    return any(map(_writes, (order.candidate, order.current or order.candidate)))


def _writes(snapshot: Snapshot) -> bool:
    granted = (unit.granted for unit in snapshot.units if isinstance(unit, PluginSpec))
    return snapshot.application is not None or any(WRITE in each for each in granted)
