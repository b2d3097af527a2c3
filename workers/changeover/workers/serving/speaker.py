"""What speaks over a WebSocket, whose messages leave when it comes to rest.

Messages of one turn of the loop are to leave in one system call. To hold them until the turn is over costs one turn
more, a sixth of all that an echo takes. Nothing else runs between two times that a coroutine waits, so what it sends in
between can leave when it waits, and has waited for nothing.
"""

from collections.abc import Coroutine
from typing import Any

from changeover.workers.serving.session import Session
from changeover.workers.serving.stepping import Stepping
from changeover.workers.serving.websocket import WebSocket


class Speaker(Stepping[None]):
    """A coroutine that speaks over a WebSocket, and lets go of what it has sent after each of its steps.

    Args:
        work: What to run.
        socket: The WebSocket; it may be opened while this runs.
    """

    __slots__ = ("_go_on", "_session", "_socket")

    def __init__(self, work: Coroutine[Any, Any, None], socket: WebSocket) -> None:
        super().__init__(work)
        self._go_on = work.send
        self._socket = socket
        self._session: Session | None = None

    def send(self, value: Any) -> Any:
        """Take a step."""
        session = self._session or self._opened()
        if session is None:
            return self._go_on(value)
        session.begin()
        try:
            return self._go_on(value)
        finally:
            session.rest()

    def throw(self, *error: Any) -> Any:
        """Take a step into an error."""
        session = self._session or self._opened()
        if session is None:
            return self._work.throw(*error)
        session.begin()
        try:
            return self._work.throw(*error)
        finally:
            session.rest()

    def _opened(self) -> Session | None:
        self._session = self._socket.session
        return self._session
