"""Clients of the authorization example: each answer is judged, and timed from when its question was due.

An answer is wrong when it is mixed, and when it is older than what somebody was told before its question was sent: that
another epoch serves, or that a fact is written. What was written is asked about after each write, too.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import msgspec

from tests.authz import BEN_PROJECTS, BEN_SHOWS, VOTE, Decision, path, posted
from tests.service import Answer, Connection

CLIENTS = 16
PACE = 0.05
"""Seconds between two questions of a client."""
WRITE = 0.1
"""Seconds between two changes of facts."""
READERS = 4
"""Connections on which what was written is asked about, after each write."""
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


class Known(msgspec.Struct, frozen=True):
    """What somebody was told: no answer to a question that is sent afterwards is older.

    Attributes:
        epoch: That it serves.
        facts: That this version of them is written.
        ben: Whether by then Ben is one who shows films.
    """

    epoch: int = 1
    facts: int = 0
    ben: bool = False

    def wrong(self, query: str, decision: Decision) -> str:
        """What is wrong with an answer; empty when nothing is.

        Args:
            query: The question: `VOTE`, or `BEN_SHOWS` while nobody writes.
            decision: The answer.
        """
        because = [f"v{decision.epoch}"] if query == VOTE else ["projection-shows"] if self.ben else []
        if decision.epoch < self.epoch:
            return f"by epoch {decision.epoch} after {self.epoch} served"
        if decision.facts < self.facts:
            return f"by the facts of {decision.facts} after those of {self.facts} were written"
        if (decision.allowed, decision.because) != (bool(because), because):
            return "mixed, or not by the epoch that it names" if query == VOTE else "not by what was written"
        return ""


class Deciding:
    """What clients were told.

    Attributes:
        answered: Every right answer to the question that is timed.
        wrong: Answers that are mixed, older than what was known, or not by what was written.
        failed: Questions without an answer, and changes that were not taken.
        written: Changes of facts that were taken.
        decided: Every question with every answer to it that was right; an answer names its epoch and its facts.
    """

    def __init__(self) -> None:
        self.answered: list[Answered] = []
        self.wrong: list[str] = []
        self.failed: list[str] = []
        self.written = 0
        self.decided: set[tuple[str, str]] = set()
        self._known = Known()
        self._over = asyncio.Event()

    def serves(self, epoch: int) -> None:
        """Have no answer by an older epoch from now on: this one was committed, and whoever asked for it knows."""
        self._known = msgspec.structs.replace(self._known, epoch=epoch)

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
                    if (epoch := await self._told(connection, VOTE)) is not None:
                        self.answered.append(Answered(due, time.monotonic(), epoch))
                    due += PACE
            finally:
                connection.close()

    async def write(self, address: str) -> None:
        """Change facts that the timed question does not depend on, only its cached answer does; ask about them, too."""
        with self._noting():
            connections = [await Connection.open(address) for _ in range(1 + READERS)]
            try:
                while not self._over.is_set():
                    await self._change(connections[0])
                    for reader in connections[1:]:
                        await self._told(reader, BEN_SHOWS)
                    await asyncio.sleep(WRITE)
            finally:
                for connection in connections:
                    connection.close()

    async def _change(self, connection: Connection) -> None:
        kind = ("remove", "add")[not self._known.ben]
        async with asyncio.timeout(DEADLINE):
            told = await posted(connection, "/facts", {kind: [BEN_PROJECTS]})
        self._known = msgspec.structs.replace(self._known, facts=told["version"], ben=kind == "add")
        self.written += 1

    async def _told(self, connection: Connection, query: str) -> int | None:
        """Ask; by which epoch the answer is, None when it is wrong or there is none."""
        known = self._known
        async with asyncio.timeout(DEADLINE):
            answer = await connection.get(path(query))
        return self.judge(known, query, answer)

    def judge(self, known: Known, query: str, answer: Answer) -> int | None:
        """Note what an answer is; by which epoch it is when it is right.

        Args:
            known: What was known when it was asked for.
            query: The question.
            answer: The answer.
        """
        if answer.status != 200:
            self.failed.append(f"{answer.status} {answer.body}")
            return None
        decision = msgspec.json.decode(answer.body, type=Decision)
        if why := known.wrong(query, decision):
            self.wrong.append(f"{why}: {answer.body}")
            return None
        self.decided.add((query, answer.body))
        return decision.epoch

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
