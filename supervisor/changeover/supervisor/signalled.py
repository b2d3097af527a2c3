"""What a service does when a signal arrives."""

import asyncio
import logging
import os
from collections.abc import Callable

from changeover.supervisor.core import events
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.events import Event, Urgency
from changeover.supervisor.core.outcome import CutoverRequest, Outcome
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.desk import Desk
from changeover.supervisor.process.signals import Meaning, Received
from changeover.supervisor.telemetry import log
from changeover.supervisor.telemetry.shell import LogReopened, SignalTaken
from changeover.supervisor.unanswerable import Stopping

logger = logging.getLogger("changeover")

NOBODY_WAITS = 0
"""The ticket of a wish whose end is only told."""


class Signalled:
    """Does what signals mean.

    Args:
        loop: The supervisor's loop.
        desk: Takes wishes.
        stop: Ends the service.
        wanted: How many workers are wanted.
        feed: Takes events.
        tell: Takes records.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        desk: Desk,
        stop: Callable[[Urgency], None],
        wanted: Callable[[], int],
        feed: Callable[[Event], None],
        tell: Callable[[Record], None],
    ) -> None:
        self._loop = loop
        self._desk = desk
        self._stop = stop
        self._wanted = wanted
        self._feed = feed
        self._tell = tell
        self._reloads: set[asyncio.Task[Outcome]] = set()

    def take(self, received: Received) -> None:
        """Do what a signal means."""
        self._tell(SignalTaken(received.signum.name, received.meaning.value))
        match received.meaning:
            case Meaning.RELOAD:
                self._reload()
            case Meaning.STOP_GRACEFULLY:
                self._stop(Urgency.GRACEFUL)
            case Meaning.STOP_QUICKLY:
                self._stop(Urgency.QUICK)
            case Meaning.MORE_WORKERS:
                self._feed(events.ScaleRequested(self._wanted() + 1))
            case Meaning.FEWER_WORKERS:
                self._feed(events.ScaleRequested(max(1, self._wanted() - 1)))
            case Meaning.DRAIN_WORKERS:
                self._feed(events.ScaleRequested(0))
            case Meaning.UPGRADE:
                self._feed(events.UpgradeRequested(NOBODY_WAITS, Origin(Trigger.USR2, uid=os.getuid())))
            case Meaning.REOPEN_LOGS:
                log.reopen()
                self._tell(LogReopened())

    def _reload(self) -> None:
        origin = Origin(Trigger.HUP, uid=os.getuid())
        waiting = self._loop.create_task(self._desk.request_cutover(CutoverRequest(origin)))
        self._reloads.add(waiting)
        waiting.add_done_callback(self._reloaded)

    def _reloaded(self, waiting: asyncio.Task[Outcome]) -> None:
        self._reloads.discard(waiting)
        error = None if waiting.cancelled() else waiting.exception()
        if isinstance(error, Stopping):
            logger.info("HUP has no effect: %s", error)
        elif error is not None:
            self._loop.call_exception_handler({"message": "a reload failed", "exception": error, "task": waiting})
