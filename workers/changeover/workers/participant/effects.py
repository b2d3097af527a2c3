"""Everything a worker's machine can want done, performed by the runtime in the order given."""

import msgspec

from changeover.workers.participant.events import Timer
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import WorkerMessage
from changeover.workers.protocol.snapshot import Snapshot, UnitKey


class Effect(msgspec.Struct, frozen=True):
    """Something to be done."""


class Send(Effect, frozen=True):
    """Report to the supervisor; may be lost, is repeated when it matters."""

    message: WorkerMessage


class Build(Effect, frozen=True):
    """Build a generation aside, off the loop where that takes time; answer Built or BuildFailed.

    The one before is served or discarded by then; a discarded build that still runs is waited for.
    """

    snapshot: Snapshot


class Discard(Effect, frozen=True):
    """Forget a generation that was built or is being built, and is not served: unwind it. Not answered."""

    epoch: int


class Activate(Effect, frozen=True):
    """Let the switch follow: `epoch` was built and is committed; answer Activated, also when it serves already."""

    epoch: int


class Release(Effect, frozen=True):
    """Unload units that drained everywhere; answer UnitsReleased, also for units that are not here."""

    units: tuple[UnitKey, ...]


class Expect(Effect, frozen=True):
    """Let workers that leave hand connections over already: they do so only once what is prepared is committed.

    Attributes:
        relieves: Whether something was committed before: whoever serves it may hand over.
    """

    relieves: bool = False


class Accept(Effect, frozen=True):
    """Start to accept connections. Comes once, after the first activation."""


class Connect(Effect, frozen=True):
    """Connect to those of `successors` that are not connected yet, and give one of them the state of plugins.

    Answer Connected or ConnectFailed.

    Attributes:
        candidate: What they are to serve.
        successors: Workers that take over.
    """

    candidate: Snapshot
    successors: tuple[WorkerId, ...]


class Disconnect(Effect, frozen=True):
    """Forget all successors. Not answered."""


class HandOver(Effect, frozen=True):
    """Dispatch nothing any more, hand every connection over, and leave when nothing is left.

    Comes again with further successors; those of before that still live remain.
    """

    successors: tuple[WorkerId, ...]


class AnswerRegistry(Effect, frozen=True):
    """Send TellRegistry(stamp, ticket) out of one read."""

    ticket: int
    stamp: Stamp


class AnswerLeases(Effect, frozen=True):
    """Send TellLeases(stamp, ticket)."""

    ticket: int
    stamp: Stamp


class AnswerPipelines(Effect, frozen=True):
    """Send TellPipelines(stamp, ticket) out of one read."""

    ticket: int
    stamp: Stamp


class AnswerPlugins(Effect, frozen=True):
    """Send TellPlugins(stamp, ticket) out of one read."""

    ticket: int
    stamp: Stamp


class AnswerLeaks(Effect, frozen=True):
    """Send TellLeaks(stamp, ticket)."""

    ticket: int
    stamp: Stamp


class Migrate(Effect, frozen=True):
    """Run `migrate` of what `epoch`, which is prepared, changes; answer Migrated or MigrateFailed."""

    epoch: int


class Unmigrate(Effect, frozen=True):
    """Undo that, once it has come to its end, or what another worker did; answer Unmigrated.

    Comes before `Discard`, which waits for it.
    """

    epoch: int


class SetTimer(Effect, frozen=True):
    """Answer TimerFired(timer) after so many seconds; moves a timer that is set."""

    timer: Timer
    after: float


class CancelTimer(Effect, frozen=True):
    """Forget a timer."""

    timer: Timer


class LeaveGracefully(Effect, frozen=True):
    """Stop accepting, finish what is in flight, exit."""

    reason: str
