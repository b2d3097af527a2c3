"""A FastAPI application that asks plugins for prices, in the middle of its own code."""

import asyncio
from typing import Annotated, Protocol

from fastapi import FastAPI, Query
from pydantic import BaseModel

from changeover.plugin import extension_point


class Pricer(Protocol):
    """What a plugin offers: a change to the price of an item, and who made it."""

    version: str

    def price(self, item: str, before: int) -> int: ...


pricers = extension_point("shop.pricing", Pricer)
app = FastAPI()

CATALOG = {"reel": 1200, "lamp": 10000, "screen": 25000}


class Line(BaseModel):
    """One line of a cart."""

    item: str
    price: int
    by: list[str]


def priced(item: str) -> Line:
    """Ask all plugins, one after the other."""
    price, by = CATALOG[item], []
    for pricer in pricers():
        price = pricer.price(item, price)
        by.append(pricer.version)
    return Line(item=item, price=price, by=by)


async def stocked(item: str) -> None:
    """Stands for a question to a warehouse, during which anything may be reloaded."""
    await asyncio.sleep(0.005)


@app.get("/cart")
async def cart(items: Annotated[list[str], Query()]) -> list[Line]:
    lines = []
    for item in items:
        await stocked(item)
        lines.append(priced(item))
    return lines


@app.get("/receipt")
def receipt(items: Annotated[list[str], Query()]) -> dict[str, int]:
    """Runs in a thread, and asks there."""
    return {item: priced(item).price for item in items}
