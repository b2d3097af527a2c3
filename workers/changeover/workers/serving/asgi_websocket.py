"""One WebSocket of an ASGI application, between its `receive` and `send` and the WebSocket."""

import enum

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.asgi import Application, Message, Scope
from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.message import Headers, Response
from changeover.workers.serving.session import CloseCode, Session, WebSocketClosed
from changeover.workers.serving.websocket import WebSocket

MAX_REJECTION = 1024 * 1024
"""Most bytes of a response that rejects: it is held until it is complete."""
SCHEMES = {"https": "wss"}


class Phase(enum.Enum):
    """How far the application is."""

    ASKED = "before websocket.accept"
    REJECTING = "after websocket.http.response.start"
    OPEN = "after websocket.accept"
    CLOSED = "after the end"


_OPEN = Phase.OPEN  # looking a member up costs at every message


class UnexpectedWebSocketMessage(ChangeoverError):
    """The application sent a message that cannot come at this point.

    Attributes:
        type: The message's type.
        phase: How far the application was.
    """

    def __init__(self, type: str, phase: Phase) -> None:
        self.type = type
        self.phase = phase
        super().__init__(f"the application sent {type!r} {phase.value}; accept or reject once, then send, then close")


class AsgiWebSocket:
    """Drives one application over one WebSocket.

    Args:
        application: What speaks.
        socket: The WebSocket.
        call: Its call context.
    """

    __slots__ = ("_application", "_body", "_call", "_connected", "_head", "_phase", "_session", "_socket")

    def __init__(self, application: Application, socket: WebSocket, call: CallContext) -> None:
        self._application = application
        self._socket = socket
        self._call = call
        self._phase = Phase.ASKED
        self._connected = False
        self._session: Session | None = None
        self._head = Response()
        self._body: list[bytes] = []

    async def run(self) -> None:
        """Call the application."""
        await self._application.call(self._scope(), self.receive, self.send)

    def _scope(self) -> Scope:
        scope = self._application.scope_of(self._socket.request, self._call)
        del scope["method"]
        scope["type"] = "websocket"
        scope["scheme"] = SCHEMES.get(scope["scheme"], "ws")
        scope["subprotocols"] = list(self._socket.subprotocols)
        own = {name: told for name, told in scope["extensions"].items() if not name.startswith("http.")}
        scope["extensions"] = own | {"websocket.http.response": {}}
        return scope

    async def receive(self) -> Message:
        """What the application awaits: that it is asked, the messages, and the end, again and again."""
        session = self._session
        if session is None and not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        try:
            if session is None:
                session = await self._opened()
            while not session.at_hand:
                await session.stir()
            message = session.pop()
        except WebSocketClosed as closed:
            self._phase = Phase.CLOSED
            return {"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason}
        return {"type": "websocket.receive", "text" if isinstance(message, str) else "bytes": message}

    async def _opened(self) -> Session:
        if self._socket.session is None:
            await self._socket.gone()
        if self._socket.session is None:
            raise WebSocketClosed(CloseCode.LOST)
        self._session = self._socket.session
        return self._session

    async def send(self, message: Message) -> None:
        """What the application answers with.

        Raises:
            UnexpectedWebSocketMessage: Out of order.
            WebSocketClosed: The WebSocket is closed; it is an OSError, as ASGI 2.4 wants it.
        """
        kind = message["type"]
        if kind == "websocket.send" and self._phase is _OPEN:
            session = self._session
            if session is None:
                await self._socket.send(_content(message))
            else:
                session.send(_content(message))
                if session.pressed:
                    await session.drain()
        elif kind == "websocket.accept" and self._phase is Phase.ASKED:
            self._phase = Phase.OPEN
            await self._socket.accept(message.get("subprotocol"), _headers(message))
        elif kind == "websocket.close" and self._phase is not Phase.REJECTING:
            await self._close(message)
        elif kind == "websocket.http.response.start" and self._phase is Phase.ASKED:
            self._phase = Phase.REJECTING
            self._head = Response(b"", message["status"], _headers(message))
        elif kind == "websocket.http.response.body" and self._phase is Phase.REJECTING:
            self._reject(message)
        elif self._phase is Phase.CLOSED:
            raise self._socket.closed or WebSocketClosed(CloseCode.LOST)
        else:
            raise UnexpectedWebSocketMessage(kind, self._phase)

    async def _close(self, message: Message) -> None:
        if self._phase is not Phase.CLOSED:
            self._phase = Phase.CLOSED
            await self._socket.close(message.get("code", CloseCode.DONE), message.get("reason") or "")

    def _reject(self, message: Message) -> None:
        self._body.append(bytes(message.get("body", b"")))
        if sum(map(len, self._body)) > MAX_REJECTION:
            raise ValueError(f"the response that rejects a WebSocket is longer than {MAX_REJECTION} bytes")
        if not message.get("more_body", False):
            self._phase = Phase.CLOSED
            self._head.body = b"".join(self._body)
            self._socket.reject(self._head)


def _content(message: Message) -> str | bytes:
    text, data = message.get("text"), message.get("bytes")
    if isinstance(text, str):
        return text
    if text is None and isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    found = type(data if text is None else text).__name__
    raise TypeError(f"the application sent websocket.send with {found}; give `text` as str, or `bytes` as bytes")


def _headers(message: Message) -> Headers:
    return Headers([(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())])
