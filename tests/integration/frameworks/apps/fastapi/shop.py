"""A shop in FastAPI."""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import (
    BackgroundTasks,
    Cookie,
    Depends,
    FastAPI,
    Form,
    Query,
    Request,
    Response,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from fastapi.middleware.cors import CORSMiddleware
from fastapi.middleware.gzip import GZipMiddleware
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel
from starlette.middleware.sessions import SessionMiddleware

VERSION = "1"
INSTANCE = uuid.uuid4().hex
FILES = Path(__file__).parent / "files"
NOTES = Path(os.environ["SHOP_NOTES"])


class Item(BaseModel):
    name: str
    price: float


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.opened = "by the lifespan"
    yield
    (NOTES / f"ended-{os.getpid()}").touch()


app = FastAPI(lifespan=lifespan)
app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"], allow_methods=["GET", "PUT"])
app.add_middleware(GZipMiddleware)
app.add_middleware(SessionMiddleware, secret_key="of a test")
app.mount("/static", StaticFiles(directory=FILES), name="static")


def session() -> Iterator[str]:
    yield "open"
    (NOTES / "cleaned").touch()


@app.api_route("/", methods=["GET", "HEAD"], response_class=PlainTextResponse)
async def hello() -> str:
    return "hello"


@app.get("/version", response_class=PlainTextResponse)
async def version() -> str:
    return f"{VERSION} {INSTANCE} {os.getpid()}"


@app.get("/opened", response_class=PlainTextResponse)
async def opened(request: Request) -> str:
    return str(request.app.state.opened)


@app.get("/items/{number}")
def item(number: int, q: Annotated[list[str], Query()]) -> dict[str, Any]:
    return {"number": number, "q": q}


@app.post("/items", status_code=201)
async def add(item: Item) -> Item:
    return item


@app.post("/form")
async def form(name: Annotated[str, Form()]) -> dict[str, str]:
    return {"name": name}


@app.post("/upload")
async def upload(title: Annotated[str, Form()], file: UploadFile) -> dict[str, Any]:
    return {"title": title, "file": file.filename, "size": len(await file.read())}


@app.get("/cookie")
async def cookie(response: Response, flavour: Annotated[str | None, Cookie()] = None) -> dict[str, str | None]:
    response.set_cookie("flavour", "oat", httponly=True)
    response.set_cookie("shape", "round")
    return {"flavour": flavour}


@app.get("/old")
async def old(request: Request) -> RedirectResponse:
    return RedirectResponse(request.url_for("item", number=1))


@app.get("/stream")
async def stream() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(pieces(), media_type="text/plain")


@app.get("/events")
async def events(request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        try:
            for number in range(3):
                yield f"data: {number}\n\n"
            await asyncio.Event().wait()
        finally:
            (NOTES / "left").touch()

    return StreamingResponse(pieces(), media_type="text/event-stream")


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(FILES / "book.txt")


@app.post("/later", response_class=PlainTextResponse)
async def later(tasks: BackgroundTasks) -> str:
    tasks.add_task((NOTES / "later").touch)
    return "at once"


@app.get("/large", response_class=PlainTextResponse)
def large() -> str:
    return "x" * 5000


@app.get("/visits")
async def visits(request: Request) -> int:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return int(request.session["visits"])


@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("secret")


@app.get("/cleanup", response_class=PlainTextResponse)
async def cleanup(session: Annotated[str, Depends(session)]) -> str:
    return session


@app.get("/me")
async def me(request: Request) -> dict[str, Any]:
    assert request.client
    return {"client": list(request.client), "host": request.url.hostname, "scheme": request.url.scheme}


@app.get("/where", response_class=PlainTextResponse)
async def where(request: Request) -> str:
    return str(request.url_for("item", number=1))


@app.websocket("/ws")
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


@app.websocket("/refused")
async def refuse(websocket: WebSocket) -> None:
    raise WebSocketException(1008)
