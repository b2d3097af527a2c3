"""Hands each record to everybody who hears of it: the log, the totals, the followers."""

import logging
import time

import msgspec

from changeover.supervisor.core.records.record import Record
from changeover.supervisor.telemetry.counts import Tally
from changeover.supervisor.telemetry.details import details
from changeover.supervisor.telemetry.log import NUMBERS
from changeover.supervisor.telemetry.stream import Stream
from changeover.supervisor.telemetry.tracebacks import Tracebacks
from changeover.supervisor.telemetry.wording import word

logger = logging.getLogger("changeover")


class Teller:
    """What the driver tells records to.

    Args:
        tracebacks: How much of them the log has.

    Attributes:
        tally: Counts them.
        stream: Keeps the latest, and feeds those who follow.
    """

    def __init__(self, tracebacks: Tracebacks = Tracebacks.WHOLE) -> None:
        self._tracebacks = tracebacks
        self.tally = Tally()
        self.stream = Stream()

    def tell(self, record: Record) -> None:
        """Word, log, count and publish a record; never waits."""
        self.tally.take(record)
        worded = word(record)
        name, encoded = type(record).__name__, msgspec.Raw(msgspec.json.encode(record))
        self.stream.publish(time.time(), worded.level, name, worded.line, encoded)
        if logger.isEnabledFor(NUMBERS[worded.level]):
            text = "\n".join((worded.line, *details(record, self._tracebacks)))
            logger.log(NUMBERS[worded.level], "%s", text, extra={"type": name, "record": encoded})
