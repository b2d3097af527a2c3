"""An ordinary Starlette application: it does not know that plugins beside it come and go."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

POOLS = itertools.count(1)


class Pool:
    """Stands for a database pool: made once, in the lifespan."""

    def __init__(self) -> None:
        self.number = next(POOLS)
        self.beats = 0


class State(TypedDict):
    pool: Pool


async def beat(pool: Pool) -> None:
    """Stands for a background task that must not stop."""
    while True:
        pool.beats += 1
        await asyncio.sleep(0.02)


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    pool = Pool()
    task = asyncio.create_task(beat(pool))
    yield {"pool": pool}
    task.cancel()


async def show(request: Request) -> JSONResponse:
    pool: Pool = request.state.pool
    return JSONResponse(
        {"pool": pool.number, "beats": pool.beats, "seen": request.scope["extensions"].get("changeover", {})}
    )


app = Starlette(routes=[Route("/", show)], lifespan=lifespan)
