"""Words for what happens without being asked for: what a person who edits files wants to hear, and nothing else."""

from changeover.supervisor.core import records
from changeover.supervisor.core.outcome import Action
from changeover.supervisor.telemetry import shell
from changeover.supervisor.telemetry.amounts import NOT_TAKEN, changes
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.worded import Worded

_CONTENT = {
    Action.RELOAD: "what is on disk",
    Action.ROLLBACK: "what the rollback wants",
    Action.EDIT: "what the edit would make",
}


def unchanged(serving: int, action: Action) -> str:
    """That the content that somebody wants is what serves."""
    return f"nothing changed: {_CONTENT[action]} is epoch {serving}, which serves"


def nothing_changed(record: records.NothingChanged) -> Worded:
    """That nothing changed is no news where nobody asked, unless content was left out."""
    left_out = [note for note in record.notes if note.startswith(NOT_TAKEN)]
    if record.origin.trigger.automatic and left_out:
        return Worded(Level.INFO, f"nothing changed: {changes(left_out)}   (try it again: changeover reload)")
    level = Level.DEBUG if record.origin.trigger.automatic else Level.INFO
    return Worded(level, unchanged(record.serving, record.action))


def roll_needed(record: records.RollNeeded) -> Worded:
    """A change that no swap can take, named by the files that were touched where these are known."""
    label = f"{record.origin.label}: " if record.origin.trigger.automatic and record.origin.label else ""
    return Worded(Level.WARNING, f"{label}nothing changed: no swap can take {', '.join(record.changed)}")


def began(record: shell.WatchingBegan) -> Worded:
    """What is taken by itself, said when it begins and when it changes."""
    if not record.policies:
        return Worded(Level.INFO, "changed files are taken only when somebody asks for it")
    return Worded(Level.INFO, f"changed files are taken without being asked for: {', '.join(record.policies)}")


def blind(record: shell.WatchingBlind) -> Worded:
    """Why changes are noticed late, and what to raise."""
    return Worded(
        Level.ERROR,
        f"the kernel tells of no changes: {record.reason}; files are looked at every {record.seconds:g} s "
        "(its limits: sysctl fs.inotify.max_user_watches and fs.inotify.max_user_instances)",
    )


WORDS = (nothing_changed, roll_needed, began, blind)
"""One for each record."""
