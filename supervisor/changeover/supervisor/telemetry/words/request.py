"""Words for requests that led to no cutover."""

from changeover.supervisor.core.entries import Trigger
from changeover.supervisor.core.records.request import ChangePlanned, NothingChanged, RequestRefused, RollNeeded
from changeover.supervisor.telemetry.amounts import NOT_TAKEN, changes
from changeover.supervisor.telemetry.phrases import by, unchanged
from changeover.supervisor.telemetry.worded import DEBUG, ERROR, INFO, WARNING, Worded, word


@word.register
def _(record: RequestRefused) -> Worded:
    return Worded(ERROR, f"refused, asked for by {by(record.origin)}: {record.reason}; nothing changed")


@word.register
def _(record: NothingChanged) -> Worded:
    """That nothing changed is no news where nobody asked, unless content was left out."""
    left_out = [note for note in record.notes if note.startswith(NOT_TAKEN)]
    if record.origin.trigger.automatic and left_out:
        return Worded(INFO, f"nothing changed: {changes(left_out)}   (try it again: changeover reload)")
    if record.origin.trigger is Trigger.BOOT:
        whole = "what can be taken from disk" if left_out else "what is on disk"
        return Worded(INFO, f"{whole} is epoch {record.serving}, the last committed")
    level = DEBUG if record.origin.trigger.automatic else INFO
    return Worded(level, unchanged(record.serving, record.action, record.notes))


@word.register
def _(record: RollNeeded) -> Worded:
    """A change that no swap can take, named by the files that were touched where these are known."""
    label = f"{record.origin.label}: " if record.origin.trigger.automatic and record.origin.label else ""
    return Worded(WARNING, f"{label}nothing changed: no swap can take {', '.join(record.changed)}")


@word.register
def _(record: ChangePlanned) -> Worded:
    return Worded(INFO, f"asked by {by(record.origin)}, a reload would change: {changes(record.summary)}; nothing did")
