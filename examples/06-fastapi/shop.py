"""A FastAPI application with validation, a dependency, a stream and a background task."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI()
sold: list[str] = []


class Order(BaseModel):
    item: str
    count: int = 1


def discount(request: Request) -> int:
    """What the plugin in front found out."""
    found: int = request.scope["extensions"]["changeover"]["discount"]
    return found


async def note(item: str) -> None:
    sold.append(item)


@app.post("/orders")
async def order(order: Order, discount: Annotated[int, Depends(discount)], later: BackgroundTasks) -> dict[str, int]:
    later.add_task(note, order.item)
    return {"total": order.count * (100 - discount)}


@app.get("/sold")
async def listed() -> list[str]:
    return sold


@app.get("/ticks")
async def ticks() -> StreamingResponse:
    async def pieces() -> AsyncIterator[str]:
        for number in range(5):
            yield f"{number}\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(pieces(), media_type="text/plain")
