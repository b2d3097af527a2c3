"""Which application and interpreter a candidate takes, or those that serve, and whether that needs new processes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.application import ApplicationContent
from changeover.supervisor.artifacts.candidate import application_spec
from changeover.supervisor.artifacts.layout import APP
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.artifacts.withheld import WHY
from changeover.supervisor.config.settings import App
from changeover.supervisor.core.entries import Held, Trigger
from changeover.supervisor.core.holding import application_content
from changeover.supervisor.core.outcome import CutoverRequest, Strategy
from changeover.supervisor.interpreters.answer import Answer
from changeover.workers.pinned.announced import Announced
from changeover.workers.protocol.snapshot import OWN, ApplicationSpec, Interpreter, Snapshot, UnitKind


class Taken(msgspec.Struct, frozen=True):
    """The application of a candidate, and what executes it: one is not taken without the other.

    Attributes:
        spec: What serves it; None for plugins alone.
        interpreter: What executes it.
        rolls: Whether it takes new processes.
        changed: What differs on disk and is not taken because the request keeps to the living workers, for people.
        held: What differs on disk and is not taken because a rollback set it aside, for people.
    """

    spec: ApplicationSpec | None
    interpreter: Interpreter
    rolls: bool
    changed: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


class Disk(msgspec.Struct, frozen=True):
    """The application as it lies on disk, and the interpreter that is wanted.

    Attributes:
        answer: What the interpreter says of itself.
        app: Its settings; None for plugins alone.
        content: Its files, and what is installed with it.
        interpreter: What is to execute it.
    """

    answer: Answer
    app: App | None = None
    content: ApplicationContent = ApplicationContent()
    interpreter: Interpreter = OWN

    def announced(self, executes: Interpreter) -> tuple[Announced, ...] | None:
        """What is installed for what executes a candidate; None where that is another one than was asked."""
        return self.answer.plugins if executes.python == self.interpreter.python else None

    def spec(self, epoch: int) -> ApplicationSpec | None:
        """It as a unit."""
        if self.app is None:
            return None
        return application_spec(self.app, self.content.artifact, self.content.installed, epoch)


def take(
    disk: Disk,
    request: CutoverRequest,
    reach: Reach,
    epoch: int,
    current: Snapshot | None,
    held: Iterable[Held],
    store: Path,
) -> Taken:
    """Decide.

    Args:
        disk: What lies on disk.
        request: What is wanted.
        reach: How far it reaches.
        epoch: The number of the candidate.
        current: What is committed; None before the first commit.
        held: What rollbacks set aside.
        store: Where the content of what is committed is.

    Raises:
        ArtifactError: What is committed is not in the store as it was stored.
    """
    cold = current is None or request.origin.trigger is Trigger.BOOT
    rolls = cold or request.strategy is Strategy.ROLL
    fresh = disk.spec(epoch)
    if current is None:
        return Taken(fresh, disk.interpreter, rolls)
    serving, executes = current.application, current.interpreter
    reached = cold or (reach.configuration if fresh is None and serving is None else reach.application)
    named = not reach.names or APP in reach.names
    same = application_content(fresh) == application_content(serving)
    if same and not disk.interpreter.is_other(executes):
        return Taken(serving, disk.interpreter if reached and named else executes, rolls)
    if not same and _is_held(fresh, held):
        return Taken(serving, executes, rolls, held=(f"not taken: app ({WHY})",))
    if not reached:
        return Taken(serving, executes, rolls)
    if not cold and (request.strategy is Strategy.SWAP or not named):
        changes = _changes(disk, current, store)
        return Taken(serving, executes, rolls, changed=tuple(f"{what} (needs a roll)" for what in changes))
    return Taken(fresh, disk.interpreter, True)


def _is_held(fresh: ApplicationSpec | None, held: Iterable[Held]) -> bool:
    content = application_content(fresh)
    return any(each.ref.kind is UnitKind.APPLICATION and each.content == content for each in held)


def _changes(disk: Disk, current: Snapshot, store: Path) -> Iterator[str]:
    if disk.interpreter.is_other(current.interpreter):
        yield f"python {current.interpreter} -> {disk.interpreter}"
    fresh, serving = disk.app, current.application
    if fresh is None:
        yield from ("app: not configured any more",) if serving is not None else ()
    elif serving is None:
        yield f"app: {fresh.target} is new"
    elif application_content(disk.spec(current.epoch)) != application_content(serving):
        changes = tuple(disk.content.changes(serving, store)) or ("other settings",)
        yield from (f"app: {what}" for what in changes)
