"""Counts and hears what happens in the pipelines of one worker, and reports both."""

import asyncio
from collections.abc import Callable

from changeover.workers.participant import events
from changeover.workers.participant.digest import Digest
from changeover.workers.participant.events import Event
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.observation import PipelineEvent

RHYTHM = 2.0
"""Seconds between two reports of what was counted: what a worker that is killed counted since the last one is lost."""
GATHER = 0.05
"""Seconds in which events gather before the first of them is told."""


class Observatory:
    """Implements `Observer` for one worker.

    Args:
        loop: The worker's loop; events are noted on its thread.
        feed: Takes what is to be reported.

    Attributes:
        counters: All counters of the worker.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, feed: Callable[[Event], None]) -> None:
        self._loop = loop
        self._feed = feed
        self._digest = Digest()
        self._telling: asyncio.TimerHandle | None = None
        self._reporting: asyncio.TimerHandle | None = None
        self.counters = Counters(self)

    def note(self, event: PipelineEvent) -> None:
        """See `Observer`."""
        self.counters.note_event(event.kind.value)
        begins = self._digest.note(event)
        if self._telling is None or (begins and self._telling.when() > self._loop.time() + GATHER):
            self._tell_later()

    def begin(self) -> None:
        """Report what was counted, again and again."""
        self._feed(events.CountsDue(self.counters.counts()))
        self._reporting = self._loop.call_later(RHYTHM, self.begin)

    def close(self) -> None:
        """Report the rest: the worker leaves. What happens from here on is counted and told to nobody."""
        for timer in (self._telling, self._reporting):
            if timer is not None:
                timer.cancel()
        if rest := self._digest.rest(self._loop.time()):
            self._feed(events.PipelineEventsDue(rest))
        self._feed(events.CountsDue(self.counters.counts()))

    def _tell_later(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        wait = self._digest.wait(self._loop.time())
        self._telling = None if wait is None else self._loop.call_later(max(wait, GATHER), self._tell)

    def _tell(self) -> None:
        if told := self._digest.take(self._loop.time()):
            self._feed(events.PipelineEventsDue(told))
        self._tell_later()
