"""Words for what happens in pipelines."""

from changeover.supervisor.core.records.pipeline import PipelineEventTold
from changeover.supervisor.telemetry.phrases import member
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.worded import Worded, word
from changeover.workers.protocol.observed import PipelineEventKind as Kind

LEVELS = {
    Kind.ASSEMBLED: Level.DEBUG,
    Kind.ACTIVATED: Level.DEBUG,
    Kind.DRAINED: Level.DEBUG,
    Kind.HANDLER_FAILED: Level.WARNING,
    Kind.NOT_READY_BEGAN: Level.WARNING,
    Kind.NOT_READY_ENDED: Level.INFO,
    Kind.SHEDDING_BEGAN: Level.WARNING,
    Kind.SHEDDING_ENDED: Level.INFO,
    Kind.BACKPRESSURE_BEGAN: Level.DEBUG,
    Kind.BACKPRESSURE_ENDED: Level.DEBUG,
    Kind.WAIT_BEGAN: Level.DEBUG,
    Kind.WAIT_ENDED: Level.DEBUG,
    Kind.HANDSHAKE_REFUSED: Level.INFO,
    Kind.INITIALIZER_UNMATCHED: Level.ERROR,
    Kind.INITIALIZER_FAILED: Level.ERROR,
}
"""How much each kind asks of a person: what goes on at every cutover, or with every slow client, nothing."""


@word.register
def _(record: PipelineEventTold) -> Worded:
    """What happened where, and how often."""
    pipeline = f", pipeline {record.pipeline}" if record.pipeline else ""
    subject = f", {record.subject}" if record.subject else ""
    often = f" ({record.count} times)" if record.count > 1 else ""
    detail = f": {record.detail}" if record.detail else ""
    return Worded(LEVELS[record.kind], f"{member(record)}{pipeline}{subject}: {record.kind.value}{often}{detail}")
