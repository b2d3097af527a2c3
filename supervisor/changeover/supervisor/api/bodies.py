"""Every body that the API takes or answers with, beside the views of `control`."""

import msgspec

from changeover.supervisor.control import HistoryLine, Milestone, SlotView
from changeover.supervisor.core.edits import Add, Remove, Replace
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.outcome import Outcome, SilentWorkers, Strategy
from changeover.supervisor.telemetry.stream import Told


class Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client sends: a field that is not known is refused, not ignored."""


class CutoverBody(Body, frozen=True):
    """A wish to take what is on disk.

    Attributes:
        only: Names of the units to take; empty takes everything.
        label: The operator's words for it.
        force: Take content that is held after a rollback or a removal, make an epoch of unchanged content, and go on
            without state that plugins which serve fail to give.
        dry_run: Scan and compare only.
        on_silent_workers: What becomes of a worker that lets the prepare deadline pass; null leaves it to the server.
        until: How far to wait after a commit.
        strategy: Whether living workers swap, new processes roll into their places, or whichever is needed.
        python: Absolute path of an interpreter, or of a virtual environment's folder, to roll to; empty for the one
            that serves, or that the configuration names since.
        batch: How many workers of a roll boot at once; null is all of them.
        surge: How many extra workers may exist during a roll; null is as many as there are, fewer are refused.
        allow_partial: Let a roll that may have fewer serve part by part instead.
    """

    only: tuple[str, ...] = ()
    label: str = ""
    force: bool = False
    dry_run: bool = False
    on_silent_workers: SilentWorkers | None = None
    until: Milestone = Milestone.ACTIVE
    strategy: Strategy = Strategy.AUTO
    python: str = ""
    batch: int | None = None
    surge: int | None = None
    allow_partial: bool = False


class RollbackBody(Body, frozen=True):
    """A wish to put earlier committed content back, as a new epoch.

    Attributes:
        to: The epoch whose content to put back; null goes back to the one before.
        label: The operator's words for it.
        until: How far to wait after the commit.
    """

    to: int | None = None
    label: str = ""
    until: Milestone = Milestone.ACTIVE


class HandlersBody(Body, frozen=True):
    """A wish to edit the handlers of a pipeline that serves, without a file.

    Attributes:
        edits: What to do, in order; all of it or nothing.
        label: The operator's words for it.
        dry_run: Check and compare only.
        until: How far to wait after the commit.
    """

    edits: tuple[Add | Remove | Replace, ...]
    label: str = ""
    dry_run: bool = False
    until: Milestone = Milestone.ACTIVE


class RemovalBody(Body, frozen=True):
    """A wish that a plugin serves no more, whatever lies on disk.

    Attributes:
        label: The operator's words for it.
        dry_run: Check and compare only.
        until: How far to wait after the commit.
    """

    label: str = ""
    dry_run: bool = False
    until: Milestone = Milestone.ACTIVE


class ScaleBody(Body, frozen=True):
    """A wish for another number of workers.

    Attributes:
        slots: How many, at least 1.
    """

    slots: int


class StopBody(Body, frozen=True):
    """A wish that the server ends.

    Attributes:
        urgency: How to treat what is under way.
    """

    urgency: Urgency = Urgency.GRACEFUL


class UpgradeBody(Body, frozen=True):
    """A wish that the supervisor becomes another program.

    Attributes:
        python: The interpreter that is to run it; empty for the one that runs now.
        label: The operator's words for it.
    """

    python: str = ""
    label: str = ""


class CutoverAnswer(msgspec.Struct, frozen=True):
    """How a cutover ended.

    Attributes:
        outcome: Its end; `type` says which of them it is.
        reached: How far it came after a commit; null when nothing was committed.
    """

    outcome: Outcome
    reached: Milestone | None


class HistoryAnswer(msgspec.Struct, frozen=True):
    """The journal's latest epochs, newest first."""

    epochs: tuple[HistoryLine, ...]


class WorkersAnswer(msgspec.Struct, frozen=True):
    """Every slot, with the committed epoch out of the same read."""

    epoch: int
    slots: tuple[SlotView, ...]


class Accepted(msgspec.Struct, frozen=True):
    """The wish is known and being followed.

    Attributes:
        epoch: The committed epoch.
    """

    epoch: int


class Health(msgspec.Struct, frozen=True):
    """Whether the server is well enough for what was asked.

    Attributes:
        well: The answer; a status of 503 says no as well.
        epoch: The committed epoch.
        serving: How many slots serve it.
        slots: How many slots there are.
    """

    well: bool
    epoch: int
    serving: int
    slots: int


class EventsAnswer(msgspec.Struct, frozen=True):
    """What is kept of what the server told, oldest first."""

    events: tuple[Told, ...]
