"""One client: its connection, what it asks, and what it counts."""

import asyncio
import time
from dataclasses import dataclass

from benchmarks.load.answer import Answer
from benchmarks.load.connection import Connection, Cut
from benchmarks.load.judgement import Expected, Wrong, judge
from benchmarks.load.record import Fault, Kind, Tally

CONNECT = 10.0
"""Seconds until a connection counts as not accepted."""
ANSWER = 30.0
"""Seconds without an answer after which a request counts as failed."""
PAUSE = 0.05
"""Seconds before another attempt after a fault, so that a server that is gone is not asked in a loop."""

ONE_LINE = Expected()


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as bytes, and what a right answer to it is.

    Attributes:
        pieces: Sent one by one.
        gap: Seconds between two pieces.
        expected: What a right answer looks like.
    """

    pieces: tuple[bytes, ...]
    gap: float = 0.0
    expected: Expected = ONE_LINE


class Line:
    """A client of one kind; connects again whenever its connection ended.

    Args:
        kind: What it does, for the counts.
        address: Host and port.
        tally: Where it counts.

    Attributes:
        kind: As given.
        asked: Requests that came to an end, one way or the other.
    """

    def __init__(self, kind: Kind, address: tuple[str, int], tally: Tally) -> None:
        self.kind = kind
        self.asked = 0
        self._address = address
        self._tally = tally
        self._connection: Connection | None = None
        self._deadline: float | None = None

    async def open(self) -> Connection | None:
        """The living connection, made when there is none; None when it cannot be made."""
        if self._connection is not None and self._connection.usable:
            return self._connection
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT):
                _, connection = await loop.create_connection(lambda: Connection(self._cut), *self._address)
        except TimeoutError:
            self._fault(Fault.SILENCE, f"not accepted within {CONNECT:g} s")
        except OSError as error:
            reset = isinstance(error, ConnectionResetError)
            self._fault(Fault.RESET_WAITING if reset else Fault.REFUSED, repr(error))
        else:
            self._tally.connections += 1
            self._connection = connection
            return connection
        return None

    async def ask(self, ask: Ask, due: int | None = None) -> None:
        """Send a request and count its answer.

        Args:
            ask: The request.
            due: When it would have been sent, had the answer before it not been late (CLOCK_MONOTONIC,
                nanoseconds): its latency counts from there.
        """
        connection = await self.open()
        if connection is None:
            self.asked += 1
            await asyncio.sleep(PAUSE)
            return
        if ask.expected.closing:
            connection.allow_end()
        try:
            since, answer = await self._exchange(connection, ask)
        except Cut as cut:
            self._cut(cut)
            self.asked += 1
            await asyncio.sleep(PAUSE)
            return
        self._count(answer, ask.expected, min(since, due or since))
        self.asked += 1

    def close(self) -> None:
        """End the connection ourselves."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def look(self, now: float) -> None:
        """Give up on an answer that is overdue; called every second."""
        if self._deadline is not None and now > self._deadline and self._connection is not None:
            self._connection.give_up(Cut(Fault.SILENCE, f"{ANSWER:g} s"))

    async def _exchange(self, connection: Connection, ask: Ask) -> tuple[int, Answer]:
        pending = connection.expect()
        for piece in ask.pieces[:-1]:
            connection.write(piece)
            await asyncio.sleep(ask.gap)
            if pending.done():
                break
        since = time.monotonic_ns()
        if not pending.done():
            connection.write(ask.pieces[-1])
        self._deadline = time.monotonic() + ANSWER
        try:
            return since, await pending
        finally:
            self._deadline = None

    def _count(self, answer: Answer, expected: Expected, since: int) -> None:
        now = time.monotonic_ns()
        if answer.closing and not expected.closing:
            self._fault(Fault.ANNOUNCED, f"status {answer.status}", self._port)
            self.close()
        made = judge(answer, expected)
        if isinstance(made, Wrong):
            self._fault(made.fault, made.detail, self._port)
            return
        self._tally.answered(self.kind, since, now, made.started, made.epoch, made.slot, made.marker)

    def _cut(self, cut: Cut) -> None:
        self._fault(cut.fault, cut.detail, self._port)

    @property
    def _port(self) -> int:
        return 0 if self._connection is None else self._connection.port

    def _fault(self, fault: Fault, detail: str, port: int = 0) -> None:
        self._tally.fault(self.kind, fault, time.monotonic_ns(), detail, port)
