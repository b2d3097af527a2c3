"""Words for what happens without being asked for: what a person who edits files wants to hear, and nothing else."""

from changeover.supervisor.core import records
from changeover.supervisor.telemetry import shell
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.worded import Worded

NOT_TAKEN = "not taken: "


def nothing_changed(record: records.NothingChanged) -> Worded:
    """That nothing changed is no news where nobody asked, unless content was left out."""
    left_out = [note for note in record.notes if note.startswith(NOT_TAKEN)]
    if record.origin.trigger.automatic and left_out:
        return Worded(Level.INFO, f"nothing changed: {'; '.join(left_out)}   (try it again: changeover reload)")
    level = Level.DEBUG if record.origin.trigger.automatic else Level.INFO
    return Worded(level, f"nothing changed: what is on disk is epoch {record.serving}, which serves")


def roll_needed(record: records.RollNeeded) -> Worded:
    """A change that only new processes can serve, named by the files that were touched where these are known."""
    if record.origin.trigger.automatic and record.origin.label:
        return Worded(Level.WARNING, f"{record.origin.label} changed: this version needs a restart for that")
    changed = f"only new processes can serve this change: {', '.join(record.changed)}"
    return Worded(Level.WARNING, f"{changed}; nothing changed, restart to take it")


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
