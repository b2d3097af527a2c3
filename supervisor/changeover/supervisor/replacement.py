"""Performs what the machine decides about an upgrade, and tells it what came of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from changeover.supervisor.core import events
from changeover.supervisor.core.events import Event
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.service import ReadOnly, TermBegan
from changeover.supervisor.core.records.upgrade import FellBack, Upgraded
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.release import VERSION
from changeover.supervisor.telemetry import log
from changeover.supervisor.upgrade.errors import NotExecuted
from changeover.supervisor.upgrade.handed import Handed
from changeover.supervisor.upgrade.program import Program

logger = logging.getLogger("changeover")

ANSWERED = 0.2
"""Seconds that the answer to who asked has to leave, before the program that gave it is gone."""


class Replacement:
    """The supervisor's hands where its own program is concerned.

    Args:
        program: What runs now.
        handed: What the next one would be handed, now.
        copy_journal: Copies the journal into a file.
        feed: Takes what came of it.
        tell: Takes records.
        beat: Called right before nobody runs for a moment.
    """

    def __init__(
        self,
        program: Program,
        handed: Callable[[], Handed],
        copy_journal: Callable[[Path], Awaitable[None]],
        feed: Callable[[Event], None],
        tell: Callable[[Record], None],
        beat: Callable[[], None],
    ) -> None:
        self._program = program
        self._handed = handed
        self._copy_journal = copy_journal
        self._feed = feed
        self._tell = tell
        self._beat = beat
        self._inherited = program.inherited
        self._stopping = ""
        self._becoming: asyncio.TimerHandle | None = None

    @property
    def taken_over(self) -> bool:
        """Whether this program is the one that runs the service, for good."""
        return self._inherited is None

    async def rehearse(self, python: str) -> None:
        """Try another program in a child; answered by ImageRehearsed or ImageRefused."""
        try:
            found = await self._program.rehearse(python, self._copy_journal, self._handed())
        except SupervisorError as error:
            self._feed(events.ImageRefused(str(error)))
        except Exception as error:
            logger.exception("a bug in changeover: the new program could not be tried")
            self._feed(events.ImageRefused(f"a bug in changeover: {error!r}"))
        else:
            self._feed(events.ImageRehearsed(found))

    def execute(self, python: str) -> None:
        """Become another program in a moment; answered by ImageRefused where that cannot be."""
        if self._stopping:
            self._feed(events.ImageRefused(self._stopping))
        else:
            self._becoming = asyncio.get_running_loop().call_later(ANSWERED, self._execute, python)

    def call_off(self, reason: str) -> None:
        """Become no other program any more: it would not know that the service is to end."""
        self._stopping = reason
        if self._becoming is not None:
            self._becoming.cancel()
        self._feed(events.ImageRefused(reason))

    def hear(self, record: Record) -> None:
        """Once the new term began, the service is ours: say so to whoever would bring the program before back."""
        if isinstance(record, TermBegan | ReadOnly):
            self._taken_over()

    def _taken_over(self) -> None:
        self._program.keep()
        inherited, self._inherited = self._inherited, None
        if inherited is None:
            return
        inherited.handed.say_ready()
        if inherited.fell_back:
            self._tell(FellBack(inherited.fell_back))
        else:
            self._tell(Upgraded(inherited.handed.version, VERSION, self._program.python))

    def _execute(self, python: str) -> None:
        log.flush()
        self._beat()
        try:
            self._program.execute(python, self._handed())
        except NotExecuted as error:
            self._feed(events.ImageRefused(str(error)))
        except Exception as error:
            logger.exception("a bug in changeover: the new program could not be executed")
            self._feed(events.ImageRefused(f"a bug in changeover: {error!r}"))
