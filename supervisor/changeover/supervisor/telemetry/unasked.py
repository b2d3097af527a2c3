"""Words for how it ended when nobody asked: what a person who edits files wants to hear, and nothing else. Pure."""

from changeover.supervisor.core import records
from changeover.supervisor.telemetry.stream import Level

NOT_TAKEN = "not taken: "


def nothing_changed(record: records.NothingChanged) -> tuple[Level, str]:
    """That nothing changed is no news where nobody asked, unless content was left out."""
    left_out = [note for note in record.notes if note.startswith(NOT_TAKEN)]
    if record.origin.trigger.automatic and left_out:
        return Level.INFO, f"nothing changed: {'; '.join(left_out)}   (try it again: changeover reload)"
    level = Level.DEBUG if record.origin.trigger.automatic else Level.INFO
    return level, f"nothing changed: what is on disk is epoch {record.serving}, which serves"


def roll_needed(record: records.RollNeeded) -> tuple[Level, str]:
    """A change that only new processes can serve, named as the files that the person touched where these are known."""
    if record.origin.trigger.automatic and record.origin.label:
        return Level.WARNING, f"{record.origin.label} changed: this version needs a restart for that"
    changed = ", ".join(record.changed)
    return (
        Level.WARNING,
        f"only new processes can serve this change: {changed}; nothing changed, restart to take it",
    )
