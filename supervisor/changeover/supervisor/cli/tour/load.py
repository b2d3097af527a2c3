"""Clients that count every answer, every failure, and every close that they did not ask for."""

import asyncio
import enum
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import msgspec

from changeover.supervisor.cli.tour.answer import NoResponse, read_answer

TIMEOUT = 10.0
"""Seconds for one answer."""
EPOCH_FIELD = b"x-changeover-epoch"


class Habit(enum.Enum):
    """What a client does with its connection."""

    KEEP = "keep-alive"
    LEAVE = "a connection per request"


class Sample(msgspec.Struct, frozen=True):
    """One answered request.

    Attributes:
        began: When it was sent, CLOCK_MONOTONIC in seconds.
        took: Seconds until its last byte.
        epoch: The epoch that answered, 0 when the answer did not say.
        body: The beginning of what was answered.
    """

    began: float
    took: float
    epoch: int
    body: bytes


class Asking(msgspec.Struct, frozen=True):
    """What clients ask for, and how.

    Attributes:
        path: What they ask for.
        right: Whether a status is the right answer.
        pause: Seconds between two requests of one client: busy, and not a measurement of the machine's limits.
        kept: How many bytes of each answer's body are kept.
    """

    path: str = "/quote"
    right: Callable[[int], bool] = lambda status: status == 200
    pause: float = 0.004
    kept: int = 1024


class Unanswered(Exception):
    """A request did not get the answer it should have."""


class ClosedUnasked(Unanswered):
    """The server closed a connection that the client wanted to keep."""


class Load:
    """Clients under way while the `async with` block runs.

    Args:
        host: Where the server listens.
        port: Where the server listens.
        keeping: How many clients keep their connection.
        leaving: How many make a connection for each request.
        asking: What they ask for.

    Attributes:
        samples: Every answer.
        failures: Every request without the right answer, in words.
        closes: Connections that the server closed unasked.
    """

    def __init__(self, host: str, port: int, keeping: int = 10, leaving: int = 2, asking: Asking | None = None) -> None:
        self._address = (host, port)
        self._asking = asking or Asking()
        self._request_head = f"GET {self._asking.path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: ".encode()
        self._habits = [Habit.KEEP] * keeping + [Habit.LEAVE] * leaving
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self.samples: list[Sample] = []
        self.failures: list[str] = []
        self.closes = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._client(habit)) for habit in self._habits]
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping = True
        _, late = await asyncio.wait(self._tasks, timeout=2 * TIMEOUT)
        for task in late:
            task.cancel()
            self.failures.append("a client did not end")
        for task in self._tasks:
            if task not in late and (failure := task.exception()) is not None:
                raise failure

    async def _client(self, habit: Habit) -> None:
        while not self._stopping:
            try:
                await self._connection(habit)
            except ClosedUnasked as closed:
                self.closes += 1
                self.failures.append(f"{habit.value}: {closed}")
            except (Unanswered, OSError, TimeoutError) as error:
                self.failures.append(f"{habit.value}: {error!r}")

    async def _connection(self, habit: Habit) -> None:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await asyncio.open_connection(*self._address)
        try:
            while not self._stopping:
                await self._request(reader, writer, habit)
                await asyncio.sleep(self._asking.pause)
                if habit is Habit.LEAVE:
                    return
        finally:
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, habit: Habit) -> None:
        connection = b"close" if habit is Habit.LEAVE else b"keep-alive"
        began = time.monotonic()
        async with asyncio.timeout(TIMEOUT):
            try:
                writer.write(self._request_head + connection + b"\r\n\r\n")
                answer = await read_answer(reader)
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise ClosedUnasked(f"closed while a request was under way ({type(error).__name__})") from error
            except NoResponse as error:
                raise Unanswered(str(error)) from error
        if not self._asking.right(answer.status):
            raise Unanswered(answer.line)
        epoch = int(answer.fields.get(EPOCH_FIELD, b"0"))
        self.samples.append(Sample(began, time.monotonic() - began, epoch, bytes(answer.body[: self._asking.kept])))
        if habit is Habit.KEEP and (answer.fields.get(b"connection", b"").lower() == b"close" or reader.at_eof()):
            raise ClosedUnasked("closed after an answer")
