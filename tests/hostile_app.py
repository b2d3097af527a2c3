"""An application for clients who do no good, and for responses that take their time."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

HERE = Path(os.environ["STORY"])
PIECE = b"x" * 65536


async def hello(request: Request) -> Response:
    return PlainTextResponse("hello")


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_text():
        await socket.send_text(text)


async def endless(request: Request) -> Response:
    async def pieces() -> AsyncIterator[bytes]:
        while True:
            yield PIECE

    return StreamingResponse(pieces())


async def feed(socket: WebSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_bytes(PIECE)


async def large(request: Request) -> Response:
    return FileResponse(HERE / "large")


async def asked(request: Request) -> Response:
    body = await request.body()
    client = request.client
    return JSONResponse(
        {
            "client": None if client is None else client.host,
            "url": str(request.url),
            "fields": [name for name, _ in request.headers.items()],
            "size": len(body),
        }
    )


async def events(request: Request) -> Response:
    """One event, then silence; how long it took to hear that the client left is written down."""

    async def stream() -> AsyncIterator[bytes]:
        try:
            yield b"data: first\n\n"
            while not (HERE / "second").exists():
                await asyncio.sleep(0.005)
            yield b"data: second\n\n"
            await asyncio.sleep(3600)
        finally:
            (HERE / "heard").write_bytes(msgspec.json.encode(time.time()))

    return StreamingResponse(stream(), media_type="text/event-stream")


framework = Starlette(
    routes=[
        Route("/hello", hello),
        WebSocketRoute("/chat", chat),
        Route("/endless", endless),
        WebSocketRoute("/feed", feed),
        Route("/large", large),
        Route("/asked", asked, methods=["GET", "POST"]),
        Route("/events", events),
    ]
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers /fresh itself: of what a framework leaves for the collector, nothing is to be seen there."""
    if scope.get("path") != "/fresh":
        await framework(scope, receive, send)
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": PIECE[1:] + b"y", "more_body": True})
