"""WebSockets as plugins see them, and what of a plugin speaks over one.

Public: re-exported by `changeover.plugin`.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.message import Headers, Request, Response, given_headers
from changeover.workers.serving.session import CloseCode, Session, Upgrade, WebSocketClosed, WebSocketMessage


class WebSocketMisused(ChangeoverError):
    """A WebSocket was used in an order that makes no sense.

    Attributes:
        fact: What came when it could not.
    """

    def __init__(self, fact: str) -> None:
        self.fact = fact
        super().__init__(f"{fact}; accept the WebSocket once, and send then")


class WebSocket:
    """One WebSocket: asked for, then open, then closed.

    Args:
        upgrade: The request for it.

    Attributes:
        request: The request as it came, with `path` behind the mount.
        answer: What the request is answered with: status 101 when it is accepted.
    """

    __slots__ = ("_opened", "_session", "_upgrade", "answer", "request")

    def __init__(self, upgrade: Upgrade) -> None:
        loop = asyncio.get_running_loop()
        self.request: Request = upgrade.request
        self.answer: asyncio.Future[Response] = loop.create_future()
        self._upgrade = upgrade
        self._opened: asyncio.Future[Session] = loop.create_future()
        self._session: Session | None = None

    @property
    def subprotocols(self) -> tuple[str, ...]:
        """What the client offers to speak, in its order."""
        return self._upgrade.subprotocols

    @property
    def session(self) -> Session | None:
        """The open WebSocket; None before it is accepted."""
        return self._session

    @property
    def is_asked(self) -> bool:
        """Whether it still can be accepted or rejected."""
        return not (self.answer.done() or self._opened.done())

    @property
    def closed(self) -> WebSocketClosed | None:
        """Why nothing can be sent any more; None before that."""
        return None if self._session is None else self._session.closed

    async def accept(self, subprotocol: str | None = None, headers: Headers | None = None) -> None:
        """Open it, and return when that is said to the client.

        Args:
            subprotocol: One of `subprotocols`; None for none.
            headers: Fields added to the answer.

        Raises:
            WebSocketMisused: It was accepted or rejected before, or the client does not offer the subprotocol.
            WebSocketClosed: The client is gone, or a handler turned it down.
        """
        if subprotocol is not None and subprotocol not in self.subprotocols:
            offered = ", ".join(self.subprotocols) or "none"
            raise WebSocketMisused(f"subprotocol {subprotocol!r} is accepted and the client offers {offered}")
        fields = Headers([] if headers is None else list(given_headers(headers).raw))
        if subprotocol is not None:
            fields["sec-websocket-protocol"] = subprotocol
        self._settle(Response(b"", 101, fields))
        await self._opened

    def reject(self, response: Response) -> None:
        """Answer the request with a response instead.

        Raises:
            WebSocketMisused: It was accepted or rejected before.
        """
        self._settle(response)

    def _settle(self, response: Response) -> None:
        if self.answer.done():
            raise WebSocketMisused("it is accepted or rejected a second time")
        self.answer.set_result(response)

    async def receive(self) -> WebSocketMessage:
        """The next message: str for text, bytes for binary.

        Raises:
            WebSocketClosed: None will come.
            WebSocketMisused: It was not accepted.
        """
        session = self._open("a message is awaited")
        while not session.at_hand:
            await session.stir()
        return session.pop()

    def __aiter__(self) -> "WebSocket":
        """Iterate over messages until it is closed."""
        return self

    async def __anext__(self) -> WebSocketMessage:
        try:
            return await self.receive()
        except WebSocketClosed:
            raise StopAsyncIteration from None

    async def send(self, message: WebSocketMessage) -> None:
        """Send text or bytes, and wait while the client has much to take.

        Raises:
            WebSocketClosed: It is closed.
            WebSocketMisused: It was not accepted.
        """
        session = self._open("a message is sent")
        session.send(message)
        if session.pressed:
            await session.drain()

    async def close(self, code: int = CloseCode.DONE, reason: str = "") -> None:
        """Close it; before it is accepted, that rejects the request with 403. Does nothing when it is closed.

        Raises:
            ValueError: The code is none that may be sent, or the reason is longer than 123 bytes.
        """
        if self._session is not None:
            self._session.close(code, reason)
        elif not self.answer.done():
            self.answer.set_result(Response(b"", 403))

    async def gone(self) -> None:
        """Return when the client leaves before it is accepted, or when it is accepted."""
        await self._upgrade.wait_disconnected()

    def open(self, session: Session) -> None:
        """The client was told that it is accepted; called by whoever put the answer through the handlers."""
        self._session = session
        if not self._opened.done():
            self._opened.set_result(session)

    def refuse(self, closed: WebSocketClosed) -> None:
        """It will not be open, whatever the application answered; called like `open`."""
        if not self._opened.done():
            self._opened.set_exception(closed)
            self._opened.exception()  # whoever does not wait for it need not hear of it

    def _open(self, what: str) -> Session:
        if self._session is None:
            raise WebSocketMisused(f"{what} before it is accepted")
        return self._session


WebSocketFunction = Callable[[WebSocket, CallContext], Awaitable[Response | None]]


class WebSocketService:
    """A function that speaks over a WebSocket, as a service.

    Args:
        name: For messages.
        function: What was marked `@websocket`.
    """

    __slots__ = ("function", "name")

    def __init__(self, name: str, function: WebSocketFunction) -> None:
        self.name = name
        self.function = function


class MessageHandler(ABC):
    """What answers the messages of one WebSocket; one instance for each, made with the plugin's own instance.

    Between two messages it may be replaced by that of a newer version of its plugin, which goes on with what
    `export_state` gave.

    Attributes:
        socket: The WebSocket; set before any method is called.
        call: The call context; a new one after a move.
    """

    socket: WebSocket
    call: CallContext

    async def on_open(self) -> Response | None:
        """Accept the WebSocket; or return a Response, which rejects it."""
        await self.socket.accept()
        return None

    @abstractmethod
    async def on_message(self, message: WebSocketMessage) -> None:
        """Take one message. The next one is not begun before this returns."""

    async def on_close(self, code: int, reason: str) -> None:  # noqa: B027 - may be left out
        """It is closed: nothing can be sent any more."""

    def export_state(self) -> Any:
        """What the next version's handler needs of this one; anything that msgspec encodes."""
        return None

    def import_state(self, state: bytes) -> None:  # noqa: B027 - may be left out
        """Go on where the version before left off; an error here leaves the WebSocket with that one.

        Args:
            state: What its `export_state` gave, MessagePack.
        """


class MessageService:
    """A class of message handlers, as a service.

    Args:
        name: For messages.
        make: Makes the handler of one WebSocket.
    """

    __slots__ = ("make", "name")

    def __init__(self, name: str, make: Callable[[], MessageHandler]) -> None:
        self.name = name
        self.make = make
