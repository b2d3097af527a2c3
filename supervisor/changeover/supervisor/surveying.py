"""Looks at what lies on disk for whoever asks, one at a time: a disk that hangs keeps one thread, however many ask."""

import asyncio
from collections.abc import Callable

from changeover.supervisor.artifacts.survey import Survey
from changeover.supervisor.core.entries import Held, Quarantined
from changeover.supervisor.core.view import Overview
from changeover.supervisor.views import serving_of
from changeover.workers.protocol.snapshot import Snapshot

SURVEY = 5.0
"""Seconds that the disk has to show what lies there."""


class Surveying:
    """Has the disk looked at in a thread.

    Args:
        picture: Reads the core.
        survey: Looks at what lies on disk; blocks on it.
    """

    def __init__(
        self,
        picture: Callable[[], Overview],
        survey: Callable[[Snapshot | None, frozenset[Held], tuple[Quarantined, ...]], Survey],
    ) -> None:
        self._picture = picture
        self._survey = survey
        self._look: asyncio.Future[Survey] | None = None

    async def look(self) -> Survey:
        """A look that began after this was called, shared with whoever waits for it too; or that the disk is silent."""
        try:
            async with asyncio.timeout(SURVEY):
                return await self._next()
        except TimeoutError:
            return Survey(problem=f"the disk did not answer within {SURVEY:g} s")

    async def _next(self) -> Survey:
        before = self._look
        if before is not None:
            await asyncio.wait([before])
        if self._look is None or self._look is before:
            seen = self._picture()
            looking = asyncio.to_thread(self._survey, serving_of(seen), seen.held, seen.quarantine)
            self._look = asyncio.ensure_future(looking)
        # The thread cannot be given up, so that whoever gives up waiting leaves it to those who follow.
        return await asyncio.shield(self._look)
