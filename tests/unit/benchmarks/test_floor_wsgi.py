"""The smallest hop to a thread goes on answering when a client leaves before its answer."""

import asyncio
import time
from typing import Any, cast

import pytest
from benchmarks.speed.floor import Head
from benchmarks.speed.floor_wsgi import Hop

from tests.waits import until

WAYS = {"REMOTE_ADDR": "127.0.0.1", "REMOTE_PORT": "9", "SERVER_NAME": "127.0.0.1", "SERVER_PORT": "8"}


class Client:
    """A transport that refuses to write once it is closed, as the loop's does."""

    def __init__(self, closed: bool) -> None:
        self.written = b""
        self._closed = closed

    def is_closing(self) -> bool:
        return self._closed

    def write(self, data: bytes) -> None:
        if self._closed:
            raise RuntimeError("the handler is closed")
        self.written += data


@pytest.mark.filterwarnings("error")
async def test_who_left_before_the_answer_keeps_nobody_else_from_theirs() -> None:
    hop, left, stays = Hop(), Client(closed=True), Client(closed=False)
    head = Head("GET", b"/", [])
    hop.ask(head, cast(Any, WAYS), cast(asyncio.Transport, left))
    answered_by(hop, 1)
    hop.ask(head, cast(Any, WAYS), cast(asyncio.Transport, stays))
    answered_by(hop, 2)
    await until(lambda: stays.written.startswith(b"HTTP/1.1 200"), "the one that stays to be answered")


def answered_by(hop: Hop, count: int) -> None:
    """Let threads answer while the loop does nothing, so that one turn of it sends all."""
    until_then = time.monotonic() + 10
    while len(hop._answers) < count:
        assert time.monotonic() < until_then
