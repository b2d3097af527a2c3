"""What each kind of client does, over and over, until it is told to stop."""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from benchmarks.load.judgement import Expected
from benchmarks.load.line import Ask, Line
from benchmarks.load.record import Kind

HEAD = "{method} {path} HTTP/1.1\r\nhost: load\r\n{fields}\r\n"
STREAMED = 20
"""Pieces of the streamed answer; the plugin sends as many."""
PIECES = 10
PIECE = bytes(range(65, 91)) * 40
BODY = PIECE * PIECES


@dataclass
class Conduct:
    """How the clients of one process behave.

    Attributes:
        pace: Seconds between two requests of a busy client.
        random: Seeded, so that two runs do the same.
        stopping: Whether each client is to finish what it does and leave.
    """

    pace: float
    random: random.Random
    stopping: bool = False


def _head(path: str, method: str = "GET", **fields: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return HEAD.format(method=method, path=path, fields=lines).encode()


FAST = Ask((_head("/fast"),))
FAST_AND_CLOSE = Ask((_head("/fast", connection="close"),), expected=Expected(closing=True))
SLOWLY = Ask(tuple(bytes([byte]) for byte in _head("/fast")), gap=0.01)
STREAM = Ask((_head("/stream"),), expected=Expected(lines=STREAMED))
LONG = Ask((_head("/long"),))
SIZED_POST = Ask(
    (_head("/echo", "POST", content_length=str(len(BODY))), *[PIECE] * PIECES),
    gap=1 / PIECES,
    expected=Expected(lines=2, echo=BODY),
)
CHUNKED_POST = Ask(
    (
        _head("/echo", "POST", transfer_encoding="chunked"),
        *[b"%x\r\n%b\r\n" % (len(PIECE), PIECE)] * PIECES,
        b"0\r\n\r\n",
    ),
    gap=1 / PIECES,
    expected=Expected(lines=2, echo=BODY),
)


async def busy(line: Line, conduct: Conduct) -> None:
    """Send at a steady pace; a request that waits for the answer before it is late from when it was due."""
    pace = int(conduct.pace * 1e9)
    due = time.monotonic_ns()
    while not conduct.stopping:
        await line.ask(FAST, due)
        now = time.monotonic_ns()
        due = max(due + pace, now - 1_000_000_000)
        if due > now:
            await asyncio.sleep((due - now) / 1e9)
            due = max(due, time.monotonic_ns())


async def idle(line: Line, conduct: Conduct) -> None:
    """Keep a connection that says something now and then; at the end it must still be there."""
    while not conduct.stopping:
        await line.ask(FAST)
        await asyncio.sleep(conduct.random.uniform(1.0, 2.0))
    await line.ask(FAST)


async def fresh(line: Line, conduct: Conduct) -> None:
    """Connect for every request; the server closes every other one, as it is asked to."""
    while not conduct.stopping:
        await line.ask(FAST)
        line.close()
        await line.ask(FAST_AND_CLOSE)
        line.close()
        await asyncio.sleep(0.02)


async def silent(line: Line, conduct: Conduct) -> None:
    """Be accepted, and say nothing for a second."""
    while not conduct.stopping:
        await line.open()
        await asyncio.sleep(1.0)
        await line.ask(FAST)
        line.close()


async def post(line: Line, conduct: Conduct) -> None:
    """Send a body over a second, framed both ways in turn."""
    while not conduct.stopping:
        await line.ask(SIZED_POST)
        await line.ask(CHUNKED_POST)


async def dribble(line: Line, conduct: Conduct) -> None:
    """Send a head one byte at a time."""
    while not conduct.stopping:
        await line.ask(SLOWLY)


async def stream(line: Line, conduct: Conduct) -> None:
    """Read an answer that comes over a second."""
    while not conduct.stopping:
        await line.ask(STREAM)


async def long(line: Line, conduct: Conduct) -> None:
    """Wait for an answer that takes 1.5 s."""
    while not conduct.stopping:
        await line.ask(LONG)


ACTS: dict[Kind, Callable[[Line, Conduct], Coroutine[Any, Any, None]]] = {
    Kind.BUSY: busy,
    Kind.IDLE: idle,
    Kind.FRESH: fresh,
    Kind.SILENT: silent,
    Kind.POST: post,
    Kind.DRIBBLE: dribble,
    Kind.STREAM: stream,
    Kind.LONG: long,
}
