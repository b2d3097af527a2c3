"""Answers with lines that name epoch, slot, start and content; every piece of an answer names them anew."""

import asyncio
from collections.abc import AsyncIterator

from changeover.plugin import CallContext, LoadContext, Plugin, Request, Response, Service, service

from .content import MARKER

PIECES = 20
STREAMED = 1.0
"""Seconds over which `Stream` answers."""
LONG = 1.5
"""Seconds that `long` takes."""


class Probe(Plugin[None]):
    """Keeps some memory of its own, so that an instance that is not let go of shows."""

    marker = MARKER

    async def on_load(self, ctx: LoadContext) -> None:
        self.ballast = bytearray(64 * 1024)
        self.loaded = ctx.epoch

    @service
    async def echo(self, request: Request, call: CallContext) -> Response:
        """Give a body back between two lines."""
        head = line(call)
        body = await request.body()
        return Response(head + body + line(call))


class Stream(Service):
    """Answers over a second, in pieces; each piece looks up anew who makes it."""

    def __init__(self, plugin: Probe) -> None:
        self.plugin = plugin

    async def __call__(self, request: Request, call: CallContext) -> Response:
        return Response(pieces(call))


@service
async def fast(request: Request, call: CallContext) -> Response:
    """Answer at once."""
    return Response(line(call))


@service
async def long(request: Request, call: CallContext) -> Response:
    """Answer after a while, with what is looked up then."""
    await asyncio.sleep(LONG)
    return Response(line(call))


def line(call: CallContext) -> bytes:
    """Who answers; the content is imported anew, so that a module of another generation would show."""
    from .content import MARKER as marker

    return b"epoch=%d slot=%d started=%d marker=%b\n" % (call.epoch, call.worker, call.started, marker.encode())


async def pieces(call: CallContext) -> AsyncIterator[bytes]:
    """So many lines over a second."""
    yield line(call)
    for _ in range(PIECES - 1):
        await asyncio.sleep(STREAMED / (PIECES - 1))
        yield line(call)
