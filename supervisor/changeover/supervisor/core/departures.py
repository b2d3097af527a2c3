"""What operators hear of workers that leave; beside `records`."""

from changeover.supervisor.core.record import WorkerRecord
from changeover.workers.protocol.messages import Farewell


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
