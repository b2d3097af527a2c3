"""Which application a candidate takes, the disk's or the one that serves, and whether that needs new processes."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.application import ApplicationContent
from changeover.supervisor.artifacts.candidate import application_spec
from changeover.supervisor.artifacts.layout import APP
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.artifacts.withheld import WHY
from changeover.supervisor.config.settings import App
from changeover.supervisor.core.entries import Held, Trigger
from changeover.supervisor.core.holding import ABSENT, application_content
from changeover.supervisor.core.outcome import CutoverRequest, Strategy
from changeover.workers.protocol.snapshot import ApplicationSpec, Snapshot, UnitKind


class Taken(msgspec.Struct, frozen=True):
    """The application of a candidate.

    Attributes:
        spec: What serves it; None for plugins alone.
        rolls: Whether it takes new processes.
        changed: What differs on disk and is not taken because the request keeps to the living workers, for people.
        held: What differs on disk and is not taken because a rollback set it aside, for people.
    """

    spec: ApplicationSpec | None
    rolls: bool
    changed: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


class Disk(msgspec.Struct, frozen=True):
    """The application as it lies on disk.

    Attributes:
        app: Its settings.
        content: Its files, and what is installed with it.
    """

    app: App
    content: ApplicationContent

    def spec(self, epoch: int) -> ApplicationSpec:
        """It as a unit."""
        return application_spec(self.app, self.content.artifact, self.content.installed, epoch)


def take(
    disk: Disk | None,
    request: CutoverRequest,
    reach: Reach,
    epoch: int,
    current: Snapshot | None,
    held: Iterable[Held],
    store: Path,
) -> Taken:
    """Decide.

    Args:
        disk: What lies on disk; None for plugins alone.
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
    fresh, serving = None if disk is None else disk.spec(epoch), None if current is None else current.application
    if current is None or _digest(fresh) == _digest(serving):
        return Taken(fresh if serving is None else serving, rolls)
    if _is_held(fresh, held):
        return Taken(serving, rolls, held=(f"not taken: app ({WHY})",))
    if not cold and not reach.application:
        return Taken(serving, rolls)
    if not cold and (request.strategy is Strategy.SWAP or (reach.names and APP not in reach.names)):
        changes = _changes(disk, serving, store)
        return Taken(serving, rolls, changed=tuple(f"app: {what} (needs a roll)" for what in changes))
    return Taken(fresh, True)


def _digest(spec: ApplicationSpec | None) -> str:
    return "" if spec is None else spec.key.digest


def _is_held(fresh: ApplicationSpec | None, held: Iterable[Held]) -> bool:
    content = ABSENT if fresh is None else application_content(fresh)
    return any(each.ref.kind is UnitKind.APPLICATION and each.content == content for each in held)


def _changes(disk: Disk | None, serving: ApplicationSpec | None, store: Path) -> tuple[str, ...]:
    if disk is None:
        return ("not configured any more",)
    if serving is None:
        return (f"{disk.app.target} is new",)
    return tuple(disk.content.changes(serving, store)) or ("other settings",)
