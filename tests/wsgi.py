"""WSGI applications behind pipelines, and their threads."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from changeover.workers.serving.wsgi import WsgiApplication, WsgiCallable

OK = "200 OK"
PLAIN = [("Content-Type", "text/plain")]


@asynccontextmanager
async def application(call: WsgiCallable, threads: int = 2) -> AsyncIterator[WsgiApplication]:
    """An application whose threads have all left at the end."""
    made = WsgiApplication("app", call, threads=threads)
    yield made
    await made.close(5)
    assert made.pool.unfinished() == ()


def answering(*pieces: bytes, status: str = OK) -> WsgiCallable:
    """What answers every request alike, in pieces."""

    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, PLAIN)
        yield from pieces

    return app
