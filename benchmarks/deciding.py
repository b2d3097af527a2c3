"""Clients of the authorization example: each answer is judged, and timed from when its question was due."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import msgspec

from tests.authz import BEN_PROJECTS, VOTE, Decision, path, posted
from tests.service import Answer, Connection

CLIENTS = 16
PACE = 0.05
"""Seconds between two questions of a client."""
WRITE = 0.1
"""Seconds between two changes of facts."""
DEADLINE = 10.0


class Answered(msgspec.Struct, frozen=True):
    """One right answer.

    Attributes:
        due: When the question was, CLOCK_MONOTONIC in seconds.
        done: When it was answered.
        epoch: By which epoch.
    """

    due: float
    done: float
    epoch: int

    @property
    def latency(self) -> float:
        """Milliseconds."""
        return (self.done - self.due) * 1e3


class Deciding:
    """What clients were told.

    Attributes:
        answered: Every right answer.
        wrong: Answers that were not by rules and policies of the epoch that they name.
        failed: Questions without an answer, and changes that were not taken.
        written: Changes of facts that were taken.
    """

    def __init__(self) -> None:
        self.answered: list[Answered] = []
        self.wrong: list[str] = []
        self.failed: list[str] = []
        self.written = 0
        self._over = asyncio.Event()

    def end(self) -> None:
        """Let every client end with the answer that it waits for."""
        self._over.set()

    async def ask(self, address: str, due: float) -> None:
        """Ask the same question, at a pace, on a connection that is kept."""
        with self._noting():
            connection = await Connection.open(address)
            try:
                while not self._over.is_set():
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    async with asyncio.timeout(DEADLINE):
                        self._judge(due, await connection.get(path(VOTE)))
                    due += PACE
            finally:
                connection.close()

    async def write(self, address: str) -> None:
        """Change facts that the question does not depend on, so that only its cached answer does."""
        with self._noting():
            connection = await Connection.open(address)
            try:
                while not self._over.is_set():
                    kind = ("add", "remove")[self.written % 2]
                    async with asyncio.timeout(DEADLINE):
                        await posted(connection, "/facts", {kind: [BEN_PROJECTS]})
                    self.written += 1
                    await asyncio.sleep(WRITE)
            finally:
                connection.close()

    def _judge(self, due: float, answer: Answer) -> None:
        if answer.status != 200:
            self.failed.append(f"{answer.status} {answer.body}")
            return
        decision = msgspec.json.decode(answer.body, type=Decision)
        if decision.allowed and decision.because == [f"v{decision.epoch}"]:
            self.answered.append(Answered(due, time.monotonic(), decision.epoch))
        else:
            self.wrong.append(answer.body)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        """What ends a client is a failure."""
        try:
            yield
        except (OSError, EOFError, TimeoutError, AssertionError) as error:
            self.failed.append(repr(error))


@contextlib.asynccontextmanager
async def deciding(address: str) -> AsyncIterator[Deciding]:
    """Ask, and write, as long as the context lasts."""
    told = Deciding()
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(CLIENTS):
            group.create_task(told.ask(address, began + PACE * number / CLIENTS))
        group.create_task(told.write(address))
        try:
            yield told
        finally:
            told.end()
