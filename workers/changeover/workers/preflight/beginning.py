"""What a worker does before anything is loaded, done in a rehearsal too: the function that `after_fork` names.

A command that is named there tells somebody of a new worker, and there is none.
"""

import os

from changeover.workers.preflight.page import Part
from changeover.workers.preflight.rehearsal import Note
from changeover.workers.protocol.rehearsal import RehearsalOrder
from changeover.workers.runtime.hook_command import FUNCTION
from changeover.workers.runtime.server_hooks import FIRST, WHOSE, Told, call_in_time

NOBODY = -1
"""The slot of a process that is no worker."""


def begin(order: RehearsalOrder, name: str, note: Note) -> tuple[str, ...]:
    """Call it in the only thread, before there is a loop.

    Args:
        order: What is to be rehearsed.
        name: The service's name.
        note: Where it is written down, because it may end the process.

    Returns:
        What went wrong, as a warning: nothing of the candidate has run.
    """
    named = order.after_fork
    if not FUNCTION.fullmatch(named):
        return ()
    note.part(Part.CURRENT)
    note.begins(WHOSE, FIRST)
    told: Told = {
        "hook": FIRST,
        "service": name,
        "cohort": NOBODY,
        "slot": NOBODY,
        "incarnation": 0,
        "pid": os.getpid(),
    }
    try:
        call_in_time(named, told, order.after_fork_within)
    except Exception as error:  # noqa: BLE001 - whatever user code raises is told
        return (f"{FIRST} {named} failed in a preflight: {error!r}",)
    return ()
