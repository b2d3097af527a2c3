"""Workers that hand connections over to each other, inside one process, for tests."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from changeover.workers.handover.departure import PATIENCE, Departure
from changeover.workers.handover.reception import Reception
from changeover.workers.http.connections import Connections
from changeover.workers.link import endpoints
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from tests.wire import WireServer

JOURNAL = "journal"


def worker_id(incarnation: int) -> WorkerId:
    """A worker of its own slot and cohort."""
    return WorkerId(incarnation, incarnation, incarnation)


class Side:
    """The handover's two ends of one worker.

    Attributes:
        worker: Who it is.
        connections: Its connections.
        room: How many more it may hold.
        reception: Takes connections.
        departure: Hands them over.
    """

    def __init__(
        self,
        runtime: Path,
        incarnation: int,
        connections: Connections,
        *,
        journal: str = JOURNAL,
        patience: float = PATIENCE,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.worker = worker_id(incarnation)
        self.connections = connections
        self.room = 100_000
        self.reception = Reception(
            loop, endpoints.handover(runtime, self.worker), journal, connections, lambda: self.room
        )
        self.departure = Departure(
            loop, runtime, self.worker, lambda: Stamp(journal, 1, incarnation), connections, patience
        )

    async def leave_to(self, *others: "Side") -> None:
        """Connect and begin."""
        await self.departure.connect([other.worker for other in others], 5.0)
        self.departure.begin()

    def close(self) -> None:
        self.departure.close()
        self.reception.close()


class Sides:
    """Some workers with the same answers.

    Args:
        runtime: Where their sockets are.
        server: The first one; accepts connections.
    """

    def __init__(self, runtime: Path, server: WireServer) -> None:
        self.runtime = runtime
        self.server = server
        self.all: list[Side] = []

    def add(
        self, connections: Connections | None = None, *, journal: str = JOURNAL, patience: float = PATIENCE
    ) -> Side:
        """One more worker, that listens."""
        if connections is None:
            connections = Connections(self.server.dispatcher, self.server.connections._site.limits)
        side = Side(self.runtime, len(self.all) + 1, connections, journal=journal, patience=patience)
        side.reception.start()
        self.all.append(side)
        return side


@asynccontextmanager
async def sides(runtime: Path, server: WireServer) -> AsyncIterator[Sides]:
    """Workers that are gone at the end, with their connections."""
    them = Sides(runtime, server)
    try:
        yield them
    finally:
        for side in them.all:
            side.close()
        for client in server.clients:
            await client.close()
        for side in them.all:
            for connection in side.connections:
                connection.abort()


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))


