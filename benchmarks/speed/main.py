"""What the servers are compared by: an ASGI application that does as little as can be done itself."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HELLO = b"Hello, world!"
HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
PIECE = b"x" * 65536
PIECES = 160
"""Of them `/download` has 10 MiB."""


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer one request, or run for one WebSocket or lifespan."""
    kind = scope["type"]
    if kind == "http":
        answer = OTHERS.get(scope["path"])
        if answer is None:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await send({"type": "http.response.body", "body": HELLO})
        else:
            await answer(receive, send)
    elif kind == "websocket":
        await _converse(receive, send)
    else:
        await _live(receive, send)


async def _answer(send: Send, body: bytes, kind: bytes) -> None:
    headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _json(receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    await _answer(send, msgspec.json.encode(msgspec.json.decode(body)), b"application/json")


async def _upload(receive: Receive, send: Send) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    await _answer(send, b"%d" % size, b"text/plain")


async def _download(receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % (len(PIECE) * PIECES))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(PIECES):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _converse(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


OTHERS = {"/json": _json, "/upload": _upload, "/download": _download}
