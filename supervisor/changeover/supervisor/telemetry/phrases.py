"""Phrases that lines, commands and pages have in common: who asked, who refused, and why. Pure."""

import signal
from collections.abc import Iterable

from changeover.supervisor.core.entries import Origin, SlotRefusal, Trigger
from changeover.supervisor.core.outcome import Action, ExtraMemory, Strategy
from changeover.supervisor.core.records.cutover import CutoverBegan
from changeover.supervisor.core.records.record import WorkerRecord
from changeover.supervisor.telemetry.amounts import MOST_NAMED, NOT_TAKEN, age, size, workers
from changeover.workers.protocol.messages import LeaseView


def by(origin: Origin) -> str:
    """Who asked: `HUP`, or `deploy (uid 1001)`."""
    if origin.trigger not in (Trigger.COMMAND, Trigger.API):
        return str(origin.trigger.value)
    if origin.uid < 0:
        return origin.user or origin.trigger.value
    return f"{origin.user} (uid {origin.uid})" if origin.user else f"uid {origin.uid}"


def succession(record: CutoverBegan) -> str:
    """Which epoch follows which: `7 -> 8`, or the first one's number alone."""
    return f"{record.previous} -> {record.epoch}" if record.previous else str(record.epoch)


def by_strategy(record: CutoverBegan) -> str:
    """How a candidate comes to be served: `swap in 4 workers`, `roll to 4 workers`."""
    how = "roll to" if record.strategy is Strategy.ROLL else "swap in"
    return f"{how} {workers(record.workers)}"


def extra_memory(needs: ExtraMemory) -> str:
    """What a roll needs: `about 340 M beside what is there, for 4 workers of 85 M; 2.1 G available`."""
    about = "about" if needs.exact else "at most about"
    amount = f"{about} {size(needs.needed)} beside what is there, for {workers(needs.workers)} of {size(needs.each)}"
    if needs.available < 0:
        return amount
    short = "warning: only " if needs.is_short else ""
    return f"{amount}; {short}{size(needs.available)} available"


def rehearsed(modules: int, passed: int, tests: int) -> str:
    """What a rehearsal did: `20 modules, 3 of 3 self-tests`."""
    loaded = f"{modules} module{'' if modules == 1 else 's'}"
    tested = f", {passed} of {tests} self-test{'' if tests == 1 else 's'}"
    return loaded + (tested if tests else "")


def refused_by(refusal: SlotRefusal) -> str:
    """Who refused: `slot 2 (pid 4127)`, or the stage when no worker was asked."""
    if refusal.slot < 0:
        return refusal.refusal.stage.value
    return f"slot {refusal.slot} (pid {refusal.pid})" if refusal.pid else f"slot {refusal.slot}"


def exit_status(status: int | None) -> str:
    """How a process ended: `status 3`, `SIGSEGV`."""
    if status is None:
        return "unknown status"
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def lease(view: LeaseView) -> str:
    """A lease in words: `http /prices on epoch 6, 12 s old`."""
    return f"{view.kind} {view.path} on epoch {view.epoch}, {age(view.age)} old"


def leases(views: tuple[LeaseView, ...]) -> str:
    """Some leases in words; `details` has all of them."""
    more = f" and {len(views) - MOST_NAMED} more" if len(views) > MOST_NAMED else ""
    return "; ".join(map(lease, views[:MOST_NAMED])) + more


def member(record: WorkerRecord) -> str:
    """Which worker it is: `slot 2 (pid 4127)`."""
    pid = f" (pid {record.pid})" if record.pid else ""
    return f"slot {record.worker.slot}{pid}"


_CONTENT = {
    Action.RELOAD: "what is on disk",
    Action.ROLLBACK: "what the rollback wants",
    Action.EDIT: "what the edit would make",
}

_TAKEN = {
    **_CONTENT,
    Action.RELOAD: "what can be taken from disk",
}
"""Of the same, where something is left out."""


def unchanged(serving: int, action: Action, notes: Iterable[str] = ()) -> str:
    """That the content that somebody wants is what serves, as far as it is taken."""
    left_out = any(note.startswith(NOT_TAKEN) for note in notes)
    content = _TAKEN[action] if left_out else _CONTENT[action]
    return f"nothing changed: {content} is epoch {serving}, which serves"
