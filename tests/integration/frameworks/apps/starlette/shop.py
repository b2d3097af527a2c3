"""A shop in Starlette."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypedDict

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

VERSION = "1"
INSTANCE = uuid.uuid4().hex
FILES = Path(__file__).parent / "files"
NOTES = Path(os.environ["SHOP_NOTES"])


class State(TypedDict):
    opened: str


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    yield {"opened": "by the lifespan"}
    (NOTES / f"ended-{os.getpid()}").touch()


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


async def version(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"{VERSION} {INSTANCE} {os.getpid()}")


async def opened(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.state.opened)


async def item(request: Request) -> JSONResponse:
    return JSONResponse({"number": request.path_params["number"], "q": request.query_params.getlist("q")})


async def add(request: Request) -> JSONResponse:
    return JSONResponse(await request.json(), status_code=201)


async def form(request: Request) -> JSONResponse:
    async with request.form() as fields:
        return JSONResponse({"name": fields["name"]})


async def upload(request: Request) -> JSONResponse:
    async with request.form() as fields:
        file = fields["file"]
        assert isinstance(file, UploadFile)
        return JSONResponse({"title": fields["title"], "file": file.filename, "size": len(await file.read())})


async def cookie(request: Request) -> JSONResponse:
    response = JSONResponse({"flavour": request.cookies.get("flavour")})
    response.set_cookie("flavour", "oat", httponly=True)
    response.set_cookie("shape", "round")
    return response


async def old(request: Request) -> RedirectResponse:
    return RedirectResponse(request.url_for("item", number=1))


async def stream(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/plain")


async def events(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        try:
            for number in range(3):
                yield f"data: {number}\n\n"
            await asyncio.Event().wait()
        finally:
            (NOTES / "left").touch()

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def file(request: Request) -> FileResponse:
    return FileResponse(FILES / "book.txt")


async def later(request: Request) -> PlainTextResponse:
    return PlainTextResponse("at once", background=BackgroundTask((NOTES / "later").touch))


async def large(request: Request) -> PlainTextResponse:
    return PlainTextResponse("x" * 5000)


async def visits(request: Request) -> JSONResponse:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse(request.session["visits"])


async def broken(request: Request) -> Response:
    raise RuntimeError("secret")


async def me(request: Request) -> JSONResponse:
    assert request.client
    return JSONResponse({"client": list(request.client), "host": request.url.hostname, "scheme": request.url.scheme})


async def where(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(request.url_for("item", number=1)))


async def echo(websocket: WebSocket) -> None:
    await websocket.accept(subprotocol="echo" if "echo" in websocket.scope["subprotocols"] else None)
    try:
        while True:
            message = await websocket.receive_text()
            if message == "bye":
                await websocket.close(4001, "bye then")
                return
            await websocket.send_text(message)
    except WebSocketDisconnect as left:
        (NOTES / f"closed-{left.code}").touch()


async def refuse(websocket: WebSocket) -> None:
    await websocket.close(1008)


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/", hello),
        Route("/version", version),
        Route("/opened", opened),
        Route("/items/{number:int}", item, name="item"),
        Route("/items", add, methods=["POST"]),
        Route("/form", form, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/cookie", cookie),
        Route("/old", old),
        Route("/stream", stream),
        Route("/events", events),
        Route("/file", file),
        Route("/later", later, methods=["POST"]),
        Route("/large", large),
        Route("/visits", visits),
        Route("/broken", broken),
        Route("/me", me),
        Route("/where", where),
        WebSocketRoute("/ws", echo),
        WebSocketRoute("/refused", refuse),
        Mount("/static", StaticFiles(directory=FILES), name="static"),
    ],
    middleware=[
        Middleware(CORSMiddleware, allow_origins=["https://shop.example"], allow_methods=["GET", "PUT"]),
        Middleware(GZipMiddleware),
        Middleware(SessionMiddleware, secret_key="of a test"),
    ],
)
