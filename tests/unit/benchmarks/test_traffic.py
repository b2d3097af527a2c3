"""Every kind of client, against a server that answers as the probe plugin does."""

import asyncio
import random
import socket
import time
from collections.abc import AsyncIterator

import pytest
import uvicorn
from benchmarks.load.line import Line
from benchmarks.load.record import KINDS, QUICK, Kind, Tally
from benchmarks.load.traffic import ACTS, STREAMED, Conduct
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.waits import until

FIELDS = {"x-changeover-epoch": "1"}


def line() -> bytes:
    return b"epoch=1 slot=0 started=%d marker=toy\n" % time.monotonic_ns()


async def fast(request: Request) -> Response:
    return Response(line(), headers=FIELDS)


async def echo(request: Request) -> Response:
    mine = line()
    return Response(mine + await request.body() + mine, headers=FIELDS)


async def stream(request: Request) -> Response:
    mine = line()

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(STREAMED):
            yield mine

    return StreamingResponse(pieces(), headers=FIELDS)


ROUTES = [Route("/fast", fast), Route("/long", fast), Route("/stream", stream), Route("/echo", echo, methods=["POST"])]


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(Starlette(routes=ROUTES), lifespan="off", ws="none", log_level="warning")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        yield listener.getsockname()
        server.should_exit = True
        await serving


async def test_every_kind_of_client_is_answered_whole(address: tuple[str, int]) -> None:
    tally, conduct = Tally(), Conduct(0.001, random.Random(1))
    lines = [Line(kind, address, tally) for kind in KINDS]
    acts = [asyncio.create_task(ACTS[line.kind](line, conduct)) for line in lines]
    await until(lambda: all(line.asked for line in lines), "every client has an answer")
    conduct.stopping = True
    await asyncio.gather(*acts)
    for each in lines:
        each.close()
    report = tally.report()
    assert report.faults == {}, report.troubles
    assert all(report.requests[kind] for kind in KINDS)
    assert report.markers == {1: ("toy",)}
    assert set(QUICK) < set(Kind)
