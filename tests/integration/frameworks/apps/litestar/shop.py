"""A shop in Litestar."""

import asyncio
import os
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from litestar import Litestar, MediaType, Request, Response, WebSocket, get, post, route, websocket
from litestar.background_tasks import BackgroundTask
from litestar.config.compression import CompressionConfig
from litestar.config.cors import CORSConfig
from litestar.datastructures import Cookie, State, UploadFile
from litestar.di import Provide
from litestar.enums import HttpMethod, RequestEncodingType
from litestar.exceptions import WebSocketDisconnect
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.params import Body, Parameter
from litestar.response import File, Redirect, ServerSentEvent, Stream
from litestar.static_files import create_static_files_router

VERSION = "1"
INSTANCE = uuid.uuid4().hex
FILES = Path(__file__).parent / "files"
NOTES = Path(os.environ["SHOP_NOTES"])


@dataclass
class Item:
    name: str
    price: float


@dataclass
class Name:
    name: str


@dataclass
class Upload:
    title: str
    file: UploadFile


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    app.state.opened = "by the lifespan"
    yield
    (NOTES / f"ended-{os.getpid()}").touch()


async def session() -> AsyncGenerator[str, None]:
    yield "open"
    (NOTES / "cleaned").touch()


@route("/", http_method=[HttpMethod.GET, HttpMethod.HEAD], media_type=MediaType.TEXT)
async def hello(request: Request[Any, Any, State]) -> str:
    return "" if request.method == "HEAD" else "hello"


@get("/version", media_type=MediaType.TEXT)
async def version() -> str:
    return f"{VERSION} {INSTANCE} {os.getpid()}"


@get("/opened", media_type=MediaType.TEXT)
async def opened(state: State) -> str:
    return str(state.opened)


@get("/items/{number:int}", name="item")
async def item(number: int, q: list[str]) -> dict[str, Any]:
    return {"number": number, "q": q}


@post("/items")
async def add(data: Item) -> Item:
    return data


@post("/form", status_code=200)
async def form(data: Annotated[Name, Body(media_type=RequestEncodingType.URL_ENCODED)]) -> Name:
    return data


@post("/upload", status_code=200)
async def upload(data: Annotated[Upload, Body(media_type=RequestEncodingType.MULTI_PART)]) -> dict[str, Any]:
    return {"title": data.title, "file": data.file.filename, "size": len(await data.file.read())}


@get("/cookie")
async def cookie(flavour: Annotated[str | None, Parameter(cookie="flavour")] = None) -> Response[dict[str, str | None]]:
    cookies = [Cookie("flavour", value="oat", httponly=True), Cookie("shape", value="round")]
    return Response({"flavour": flavour}, cookies=cookies)


@get("/old", status_code=307)
async def old(request: Request[Any, Any, State]) -> Redirect:
    return Redirect(request.url_for("item", number=1), status_code=307)


@get("/stream")
async def stream() -> Stream:
    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return Stream(pieces(), media_type="text/plain")


@get("/events")
async def events() -> ServerSentEvent:
    async def pieces() -> AsyncIterator[str]:
        try:
            for number in range(3):
                yield str(number)
            await asyncio.Event().wait()
        finally:
            (NOTES / "left").touch()

    return ServerSentEvent(pieces())


@get("/file")
async def file() -> File:
    return File(FILES / "book.txt", filename="book.txt")


@post("/later", status_code=200, media_type=MediaType.TEXT)
async def later() -> Response[str]:
    return Response("at once", background=BackgroundTask((NOTES / "later").touch))


@get("/large", media_type=MediaType.TEXT)
async def large() -> str:
    return "x" * 5000


@get("/visits")
async def visits(request: Request[Any, Any, State]) -> int:
    count = int(request.session.get("visits", 0)) + 1
    request.set_session({"visits": count})
    return count


@get("/broken")
async def broken() -> None:
    raise RuntimeError("secret")


@get("/cleanup", media_type=MediaType.TEXT, dependencies={"session_of_request": Provide(session)})
async def cleanup(session_of_request: str) -> str:
    return session_of_request


@get("/me")
async def me(request: Request[Any, Any, State]) -> dict[str, Any]:
    assert request.client
    return {"client": list(request.client), "host": request.url.hostname, "scheme": request.url.scheme}


@get("/where", media_type=MediaType.TEXT)
async def where(request: Request[Any, Any, State]) -> str:
    return request.url_for("item", number=1)


@websocket("/ws")
async def echo(socket: WebSocket[Any, Any, State]) -> None:
    await socket.accept(subprotocols="echo" if "echo" in socket.scope["subprotocols"] else None)
    try:
        while True:
            message = await socket.receive_text()
            if message == "bye":
                await socket.close(4001, "bye then")
                return
            await socket.send_text(message)
    except WebSocketDisconnect as left:
        (NOTES / f"closed-{left.code}").touch()


@websocket("/refused")
async def refuse(socket: WebSocket[Any, Any, State]) -> None:
    await socket.close(1008)


app = Litestar(
    route_handlers=[
        hello,
        version,
        opened,
        item,
        add,
        form,
        upload,
        cookie,
        old,
        stream,
        events,
        file,
        later,
        large,
        visits,
        broken,
        cleanup,
        me,
        where,
        echo,
        refuse,
        create_static_files_router(path="/static", directories=[FILES]),
    ],
    lifespan=[lifespan],
    cors_config=CORSConfig(allow_origins=["https://shop.example"], allow_methods=["GET", "PUT"]),
    compression_config=CompressionConfig(backend="gzip"),
    middleware=[CookieBackendConfig(secret=b"a secret of test").middleware],
)
