"""A few routes with models."""

import os

from fastapi import FastAPI
from pydantic import BaseModel


class Item(BaseModel):
    """Something to buy."""

    name: str
    price: float


app = FastAPI()


@app.get("/fast")
async def fast() -> Item:
    """Answer at once."""
    return Item(name="spoon", price=1.5)


@app.post("/items")
async def items(item: Item) -> Item:
    """Give back what came."""
    return item


@app.get("/process")
async def process() -> int:
    """Say which process answers."""
    return os.getpid()
