"""Answers with lines that name epoch, slot, start and content; every piece of an answer names them anew.

Where the `stamp` plugin stands before it, epoch, slot and start are the worker's. Anywhere else the version stands in
for the epoch, the process for the slot, and the start is when the application was called.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .content import VERSION

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PIECES = 20
STREAMED = 1.0
"""Seconds over which `/stream` answers."""
LONG = 1.5
"""Seconds that `/long` takes."""
SLOTS = 2**16
SERVED = VERSION
"""What this module was imported with; `content` is imported anew for every line."""


class Call:
    """One request, and who answers it."""

    def __init__(self, scope: Message) -> None:
        stamp: tuple[int, int, int] | None = scope.get("extensions", {}).get("changeover", {}).get("stamp")
        self._own = stamp is None
        self._epoch, self._slot, self._started = stamp or (SERVED, os.getpid() % SLOTS, time.monotonic_ns())

    def line(self) -> bytes:
        """Who answers, looked up now."""
        from .content import VERSION as version

        epoch = version if self._own else self._epoch
        return b"epoch=%d slot=%d started=%d marker=v%d\n" % (epoch, self._slot, self._started, version)

    def start(self, length: int | None = None) -> Message:
        """The head of the answer; it names the epoch where no server does that."""
        headers = [] if length is None else [(b"content-length", b"%d" % length)]
        if self._own:
            headers.append((b"x-changeover-epoch", b"%d" % self._epoch))
        return {"type": "http.response.start", "status": 200, "headers": headers}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Answer one request, or run for one lifespan."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    call = Call(scope)
    if scope["path"] == "/stream":
        await _stream(call, send)
        return
    if scope["path"] == "/long":
        await asyncio.sleep(LONG)
    head = call.line()
    text = head + await _body(receive) + call.line() if scope["path"] == "/echo" else head
    await send(call.start(len(text)))
    await send({"type": "http.response.body", "body": text})


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send(await _startup())
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _startup() -> Message:
    return {"type": "lifespan.startup.complete"}


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _stream(call: Call, send: Send) -> None:
    await send(call.start())
    for piece in range(PIECES):
        await asyncio.sleep(STREAMED / (PIECES - 1) if piece else 0)
        await send({"type": "http.response.body", "body": call.line(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
