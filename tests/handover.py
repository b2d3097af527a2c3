"""Workers that hand connections over to each other, inside one process, for tests."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from changeover.workers.channel.connections import Connections
from changeover.workers.handover import events
from changeover.workers.handover.departure import PATIENCE, Departure
from changeover.workers.handover.messages import State
from changeover.workers.handover.reception import Reception, TakeState
from changeover.workers.link import endpoints
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Refusal
from tests.waits import DEADLINE, until
from tests.wire import FakeDispatcher, WireServer, connections_of

JOURNAL = "journal"


def worker_id(incarnation: int) -> WorkerId:
    """A worker of its own slot and cohort."""
    return WorkerId(incarnation, incarnation, incarnation)


class Side:
    """The handover's two ends of one worker.

    Attributes:
        worker: Who it is.
        dispatcher: Takes its requests.
        connections: Its connections.
        room: How many more it may hold.
        reception: Takes connections.
        departure: Hands them over.
        waited: How long each had waited that nobody took, in seconds.
        arrived: Where each connection that was adopted had come in.
        taken: The state of plugins that was given to it: what it is, what was imported, what is latest.
        refusal: What it says of state that it is given.
        gate: Has to be set before it says anything of state.
        takes: Takes it; nobody does unless it is set.
    """

    def __init__(
        self,
        runtime: Path,
        incarnation: int,
        dispatcher: FakeDispatcher,
        connections: Connections,
        *,
        journal: str = JOURNAL,
        patience: float = PATIENCE,
        window: float = 0.0,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.worker = worker_id(incarnation)
        self.dispatcher = dispatcher
        self.connections = connections
        self.room = 100_000
        self.arrived: list[object] = []
        self.taken: list[tuple[State, bytes, bytes]] = []
        self.refusal: Refusal | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.takes: TakeState | None = None
        self.reception = Reception(
            loop,
            endpoints.handover(runtime, self.worker),
            journal,
            connections,
            lambda: events.Room(self.room, 100_000),
            lambda: (b"nobody's", ()),
            lambda sock: self.arrived.append(sock.getsockname()),
            self.take_state,
        )
        self.waited: list[float] = []
        self.departure = Departure(
            loop,
            runtime,
            self.worker,
            lambda: Stamp(journal, 1, incarnation),
            connections,
            patience,
            window,
            self.waited.append,
        )

    async def take_state(self, state: State, imported: bytes, latest: bytes) -> Refusal | None:
        """Remember what a plugin is given."""
        self.taken.append((state, imported, latest))
        await asyncio.wait_for(self.gate.wait(), DEADLINE)
        return self.refusal if self.takes is None else await self.takes(state, imported, latest)

    async def leave_to(self, *others: "Side") -> None:
        """Connect and begin."""
        await self.departure.connect([other.worker for other in others], 5.0)
        self.departure.begin()

    async def gone(self) -> None:
        """Wait until no connection is left."""
        await asyncio.wait_for(self.departure.done(), DEADLINE)

    @property
    def paths(self) -> list[str]:
        """What it was asked for."""
        return [exchange.request.path for exchange in self.dispatcher.seen]

    def close(self) -> None:
        self.departure.close()
        self.reception.close()


class Sides:
    """Some workers with the same answers and limits.

    Args:
        runtime: Where their sockets are.
        server: Accepts connections, for the first of them.
    """

    def __init__(self, runtime: Path, server: WireServer) -> None:
        self.all: list[Side] = []
        self._runtime = runtime
        self._server = server

    def first(self, patience: float = PATIENCE, window: float = 0.0) -> Side:
        """The worker that accepts."""
        return self.add(server=self._server, patience=patience, window=window)

    def add(
        self,
        *,
        server: WireServer | None = None,
        journal: str = JOURNAL,
        patience: float = PATIENCE,
        window: float = 0.0,
    ) -> Side:
        """One more worker; `server` accepts for it, if given."""
        if server is None:
            dispatcher = FakeDispatcher(self._server.dispatcher.answer)
            connections = connections_of(dispatcher)
        else:
            dispatcher, connections = server.dispatcher, server.connections
        incarnation = len(self.all) + 1
        side = Side(
            self._runtime, incarnation, dispatcher, connections, journal=journal, patience=patience, window=window
        )
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
        await until(lambda: not any(len(side.connections) for side in them.all))
        for task in [task for side in them.all for task in side.dispatcher.tasks]:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def descriptors() -> int:
    """How many this process has open; as many as it may have, when there is none left to look with."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
