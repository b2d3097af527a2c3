"""What operators hear of one worker's life."""

from changeover.supervisor.core.records.record import WorkerRecord
from changeover.workers.protocol.messages import Farewell, OwedResponse


class WorkerForked(WorkerRecord, frozen=True):
    """A worker process exists."""


class WorkerAdopted(WorkerRecord, frozen=True):
    """A worker that a former supervisor had forked is ours; it serves `epoch`."""

    epoch: int


class WorkerServing(WorkerRecord, frozen=True):
    """A worker that came serves `epoch`: told again where another was committed before it could accept connections."""

    epoch: int


class WorkerSilent(WorkerRecord, frozen=True):
    """A worker said nothing for `seconds`. That is not death."""

    seconds: float


class WorkerHeard(WorkerRecord, frozen=True):
    """A silent worker spoke again after `seconds`."""

    seconds: float


class WorkerHangs(WorkerRecord, frozen=True):
    """A worker owes a response for longer than `deadlines.request`; it is replaced, its other connections go over.

    Attributes:
        request: What it owes a response to.
        stacks: What all its threads and tasks were doing; empty when that could not be had.
    """

    request: OwedResponse
    stacks: str = ""


class WorkerTired(WorkerRecord, frozen=True):
    """A worker did all it may do (`[recycle]`): another one is made that serves first."""

    reason: str


class MemoryLimitLow(WorkerRecord, frozen=True):
    """A worker was beyond `recycle.memory` soon after its birth, as the one before it was: it stays for a while.

    Attributes:
        limit: What is allowed, in bytes.
        rss: What it holds, in bytes.
        lived: How old it is, in seconds.
    """

    limit: int
    rss: int
    lived: float


class ReliefWaits(WorkerRecord, frozen=True):
    """A worker is tired, or hangs, and no slot number is free for the one that would take its place."""

    reason: str


class WorkerStopping(WorkerRecord, frozen=True):
    """A worker was told to leave."""

    reason: str


class WorkerYields(WorkerRecord, frozen=True):
    """A worker begins no request any more and passes its connections on; then it leaves."""


class FarewellsSaid(WorkerRecord, frozen=True):
    """A worker that leaves ended what it could not hand over, one after the other, and said so to the clients.

    Attributes:
        kind: The class: `http`, `stream`, `websocket`, `task`.
        why: `overdue`: requests or streams that outlived their drain deadline; `untaken`: connections that no successor
            took in time; `fixed`: connections of a kind that cannot go on in another process.
        count: How many since the last record of this worker, class and reason.
        oldest: Age of the oldest in seconds: since its request began, since it waited to be taken, since it was opened.
    """

    kind: str
    why: Farewell
    count: int
    oldest: float


class WorkerKilled(WorkerRecord, frozen=True):
    """A worker is killed, because it could not do what it had to.

    Attributes:
        reason: What it could not do.
        stacks: What all its threads and tasks were doing; empty when that could not be had.
        no_stacks: Why that could not be had; empty where nobody asked for it.
    """

    reason: str
    stacks: str = ""
    no_stacks: str = ""


class WorkerExited(WorkerRecord, frozen=True):
    """A worker is confirmed dead.

    Attributes:
        status: Exit status, negative for a signal's number; None when unknown.
        expected: Whether it had been told to leave.
    """

    status: int | None
    expected: bool
