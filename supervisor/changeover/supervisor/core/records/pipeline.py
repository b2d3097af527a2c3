"""What operators hear of pipelines."""

from changeover.supervisor.core.records.record import WorkerRecord
from changeover.workers.protocol.observed import PipelineEventKind


class PipelineEventTold(WorkerRecord, frozen=True):
    """Something happened in a pipeline of a worker, `count` times since that was told last.

    Attributes:
        kind: What.
        pipeline: Its name; empty where none was reached, and where so much happened that only its kind was kept.
        subject: The handler, service, initializer or outcome that it is about; may be empty.
        detail: In words, of the latest.
        count: How often, by this worker; the first is told at once, those like it every 10 seconds.
    """

    kind: PipelineEventKind
    pipeline: str
    subject: str
    detail: str
    count: int
