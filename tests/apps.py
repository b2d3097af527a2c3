"""Applications as people write them, unmodified: Starlette and FastAPI with what they are used with."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException
from fastapi import Request as FastAPIRequest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route


class Pool:
    """Something that a lifespan opens and closes."""

    def __init__(self) -> None:
        self.open = True
        self.beats = 0


class Timing(BaseHTTPMiddleware):
    """A middleware that runs the application in a task group of its own."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-timing"] = "taken"
        return response


class Notes:
    """What an application did, for its test to look at."""

    def __init__(self) -> None:
        self.background = asyncio.Event()
        self.done: list[str] = []
        self.closed = asyncio.Event()
        self.pool = Pool()


async def hello(request: Request) -> Response:
    return PlainTextResponse(f"hello {request.query_params.get('name', 'you')}")


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers.get("content-type"))


async def upload(request: Request) -> Response:
    size = 0
    async for piece in request.stream():
        size += len(piece)
    return JSONResponse({"size": size})


async def form(request: Request) -> Response:
    return JSONResponse(parse_qs((await request.body()).decode()))


async def pool(request: Request) -> Response:
    return JSONResponse({"open": request.state.pool.open, "beats": request.state.pool.beats})


def blocking(request: Request) -> Response:
    return PlainTextResponse(threading.current_thread().name)


async def stream(request: Request) -> Response:
    async def numbers() -> AsyncIterator[bytes]:
        for number in range(5):
            yield f"{number}\n".encode()
            await asyncio.sleep(0)

    return StreamingResponse(numbers(), media_type="text/plain")


async def broken(request: Request) -> Response:
    raise RuntimeError("broken")


async def handled(request: Request) -> Response:
    raise LookupError


async def teapot(request: Request, error: Exception) -> Response:
    return PlainTextResponse("short and stout", 418)


class Noting:
    """Endpoints and a lifespan whose tests look at what they did."""

    def __init__(self, notes: Notes) -> None:
        self.notes = notes

    async def events(self, request: Request) -> Response:
        async def silent() -> AsyncIterator[bytes]:
            try:
                yield b"data: hello\n\n"
                await asyncio.Event().wait()
            finally:
                self.notes.closed.set()

        return StreamingResponse(silent(), media_type="text/event-stream")

    async def background(self, request: Request) -> Response:
        async def later() -> None:
            await self.notes.background.wait()
            self.notes.done.append("later")

        return PlainTextResponse("at once", background=BackgroundTask(later))

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async def beat() -> None:
            while True:
                self.notes.pool.beats += 1
                await asyncio.sleep(0.01)

        beating = asyncio.create_task(beat())
        yield {"pool": self.notes.pool}
        beating.cancel()
        self.notes.pool.open = False


def starlette_app(notes: Notes) -> Starlette:
    """Routes for every kind of response, behind three middlewares."""
    noting = Noting(notes)
    return Starlette(
        routes=[
            Route("/", hello),
            Route("/echo", echo, methods=["POST"]),
            Route("/upload", upload, methods=["POST"]),
            Route("/form", form, methods=["POST"]),
            Route("/pool", pool),
            Route("/blocking", blocking),
            Route("/stream", stream),
            Route("/events", noting.events),
            Route("/background", noting.background),
            Route("/broken", broken),
            Route("/handled", handled),
        ],
        middleware=[
            Middleware(Timing),
            Middleware(CORSMiddleware, allow_origins=["https://shop.example"]),
            Middleware(GZipMiddleware, minimum_size=500),
        ],
        exception_handlers={LookupError: teapot},
        lifespan=noting.lifespan,
    )


class Cart(BaseModel):
    """A body that FastAPI validates."""

    items: list[str]


def fastapi_app(notes: Notes) -> FastAPI:
    """Dependencies with clean-up, validation, background tasks, synchronous endpoints."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.pool = notes.pool
        yield
        notes.pool.open = False

    app = FastAPI(lifespan=lifespan)
    app.add_middleware(Timing)

    async def session() -> AsyncIterator[str]:
        yield "session"
        notes.done.append("session closed")

    @app.get("/carts/{number}")
    async def cart(number: int, session: str = Depends(session)) -> dict[str, Any]:
        return {"number": number, "session": session}

    @app.post("/carts")
    async def buy(cart: Cart, tasks: BackgroundTasks) -> dict[str, int]:
        tasks.add_task(notes.done.append, "mail")
        return {"items": len(cart.items)}

    @app.get("/blocking")
    def blocking(request: FastAPIRequest) -> dict[str, bool]:
        return {"open": request.app.state.pool.open}

    @app.get("/missing")
    async def missing() -> None:
        raise HTTPException(404, "no such cart")

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("broken")

    return app
