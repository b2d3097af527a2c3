"""The lifespan of one application instance: one task for its whole life."""

import asyncio
import enum
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.late import HookTimeout, waiting_at

log = logging.getLogger("changeover.lifespan")

_VERSIONS = {"version": "3.0", "spec_version": "2.0"}
_ENDING = 2.0
"""Seconds that a cancelled lifespan has to end."""


class LifespanPhase(enum.Enum):
    """Which half of a lifespan."""

    STARTUP = "startup"
    SHUTDOWN = "shutdown"


class LifespanFailed(ChangeoverError):
    """An application did not start, or did not shut down cleanly. What it raised is the cause.

    Attributes:
        name: The application.
        phase: Which half failed.
        reason: The application's own words; a traceback when it sent one.
    """

    def __init__(self, name: str, phase: LifespanPhase, reason: str) -> None:
        self.name = name
        self.phase = phase
        self.reason = reason
        super().__init__(f"lifespan {phase.value} of application {name} failed: {reason}")


class ExitCalled(ChangeoverError):
    """The application called `sys.exit`, which would have ended the worker.

    Attributes:
        code: The exit status it gave.
    """

    def __init__(self, code: object) -> None:
        self.code = code
        super().__init__(f"it called sys.exit({code!r}); raise an exception that says what is wrong")


class NotALifespan(ChangeoverError):
    """The application answers a lifespan with messages of another protocol: it has none.

    Attributes:
        type: The message's type.
    """

    def __init__(self, type: str) -> None:
        self.type = type
        super().__init__(f"{type!r} is no message of a lifespan")


class _State(enum.Enum):
    NEW = "new"
    STARTED = "started"
    WITHOUT = "the application has no lifespan"
    ENDED = "ended"


class Lifespan:
    """Starts and stops one application instance.

    Args:
        name: The application's name, for messages.
        call: The ASGI 3 callable.
        state: Filled by the application during startup.
    """

    def __init__(self, name: str, call: Callable[[Any, Any, Any], Awaitable[None]], state: dict[str, Any]) -> None:
        self._name = name
        self._call = call
        self._values = state
        self._state = _State.NEW
        self._task: asyncio.Task[None] | None = None
        self._asked = False
        self._stop = asyncio.Event()
        self._started: asyncio.Future[str | None] | None = None
        self._stopped: asyncio.Future[str | None] | None = None

    async def start(self, deadline: float) -> None:
        """Run startup to its end, or find that the application has none.

        Args:
            deadline: Seconds.

        Raises:
            LifespanFailed: The application refused to start, raised, or took longer.
        """
        loop = asyncio.get_running_loop()
        self._started, self._stopped = loop.create_future(), loop.create_future()
        self._task = loop.create_task(self._run(), name=f"changeover: lifespan of {self._name}")
        try:
            await asyncio.wait((self._task, self._started), timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self._end()
            raise
        await self._judge_start(self._task, self._started, deadline)

    async def stop(self, deadline: float) -> None:
        """Run shutdown to its end. Does nothing unless the application is started and has a lifespan.

        Args:
            deadline: Seconds.

        Raises:
            LifespanFailed: The application raised, or took longer; its task is ended all the same.
        """
        if self._state is not _State.STARTED or self._task is None or self._stopped is None:
            self._state = _State.ENDED
            return
        self._state = _State.ENDED
        self._stop.set()
        await asyncio.wait((self._task,), timeout=deadline)
        if not self._task.done():
            await self._end_late(self._task, LifespanPhase.SHUTDOWN, deadline)
        error = _error_of(self._task)
        message = self._stopped.result() if self._stopped.done() else None
        if message is not None or error is not None:
            raise LifespanFailed(self._name, LifespanPhase.SHUTDOWN, message or repr(error)) from error

    async def _judge_start(
        self, task: asyncio.Task[None], started: asyncio.Future[str | None], deadline: float
    ) -> None:
        if started.done() and started.result() is None:
            return
        if not started.done() and not task.done():
            await self._end_late(task, LifespanPhase.STARTUP, deadline)
        await asyncio.wait((task,), timeout=_ENDING)
        await self._end()
        error = _error_of(task)
        if not started.done() and not self._asked:
            log.info("application %s has no lifespan (%s)", self._name, repr(error) if error else "it returned at once")
            self._state = _State.WITHOUT
            return
        words = started.result() if started.done() else None
        words = words or (repr(error) if error else "it returned before lifespan.startup.complete")
        raise LifespanFailed(self._name, LifespanPhase.STARTUP, words) from error

    async def _end_late(self, task: asyncio.Task[None], phase: LifespanPhase, deadline: float) -> NoReturn:
        late = HookTimeout(deadline, waiting_at(task))
        await self._end()
        reason = f"it took longer than {deadline:g} s; allow it more time or make its {phase.value} shorter"
        raise LifespanFailed(self._name, phase, reason) from late

    async def _end(self) -> None:
        self._state = _State.ENDED
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait((self._task,), timeout=_ENDING)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": _VERSIONS, "state": self._values}
        try:
            await self._call(scope, self._receive, self._send)
        except (Exception, SystemExit) as error:
            if self._state is _State.STARTED:
                log.exception("the lifespan of application %s failed while it serves", self._name)
            if isinstance(error, SystemExit):
                raise ExitCalled(error.code) from error
            raise

    async def _receive(self) -> dict[str, str]:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stop.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._state = _State.STARTED
            _settle(self._started, None)
        elif kind == "lifespan.startup.failed":
            _settle(self._started, message.get("message") or "it gave no reason")
        elif kind == "lifespan.shutdown.complete":
            _settle(self._stopped, None)
        elif kind == "lifespan.shutdown.failed":
            _settle(self._stopped, message.get("message") or "it gave no reason")
        else:
            self._asked = False
            raise NotALifespan(kind)


def _settle(future: asyncio.Future[str | None] | None, reason: str | None) -> None:
    if future is not None and not future.done():
        future.set_result(reason)


def _error_of(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() and not task.cancelled() else None
