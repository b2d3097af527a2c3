"""A worker's two ends of a handover: it takes connections in while it serves, and passes its own on when it leaves."""

import asyncio
import contextvars
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from changeover.workers.channel.connections import Connections
from changeover.workers.handover.departure import Departure
from changeover.workers.handover.errors import Unreachable
from changeover.workers.handover.events import Room
from changeover.workers.handover.reception import Reception
from changeover.workers.link import endpoints
from changeover.workers.participant.events import Connected, ConnectFailed, Event
from changeover.workers.protocol import belongings
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import Snapshot
from changeover.workers.runtime.farewells import Farewells
from changeover.workers.runtime.inheritance import Inheritance
from changeover.workers.runtime.settings import Birth
from changeover.workers.runtime.warmup import warm_up
from changeover.workers.serving.lease import LeaseKind

REACH = 5.0
"""Seconds in which successors have to be reached; they have answered the supervisor by then."""


class Handover:
    """Everything about passing connections between this worker and others.

    Args:
        loop: The worker's loop.
        birth: Who it is.
        connections: Its connections.
        room: How many more it may hold.
        stamp: Where in history it stands, whenever asked.
        feed: Takes the answers to `connect`.
        farewells: Says over which time ends are spread, and hears of them.
        on_arrival: Told of a socket of each address by which connections that are taken in came.
        inheritance: Gives and takes the state of plugins.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        birth: Birth,
        connections: Connections,
        room: Callable[[], Room],
        stamp: Callable[[], Stamp],
        feed: Callable[[Event], None],
        farewells: Farewells,
        on_arrival: Callable[[socket.socket], None],
        inheritance: Inheritance,
    ) -> None:
        self._loop = loop
        self._birth = birth
        self._runtime = Path(birth.settings.runtime)
        self._connections = connections
        self._stamp = stamp
        self._feed = feed
        self._farewells = farewells
        self._inheritance = inheritance
        self._reception = Reception(
            loop,
            endpoints.handover(self._runtime, birth.worker),
            birth.journal,
            connections,
            room,
            self._belongings,
            on_arrival,
            inheritance.take,
        )
        self._warming: asyncio.Task[None] | None = None
        self._pidfd = os.pidfd_open(os.getpid())
        self._departure: Departure | None = None
        self._reaching: asyncio.Task[None] | None = None
        self._successors: tuple[WorkerId, ...] = ()

    def open(self) -> None:
        """Let workers that leave reach this one; nothing is taken before there is room.

        Raises:
            OSError: Its socket cannot be bound.
        """
        self._reception.start()

    def refresh(self) -> None:
        """There may be room now: tell those who wait for it."""
        self._reception.refresh()

    def warm_up(self) -> None:
        """Connections may soon come all at once; comes to nothing the second time."""
        if self._warming is None:
            self._warming = self._loop.create_task(warm_up(), context=contextvars.Context())

    def connect(self, candidate: Snapshot, successors: Sequence[WorkerId]) -> None:
        """Reach successors, which are to serve the candidate, and give one of them the state of plugins.

        Answered by `Connected` or `ConnectFailed`, unless it is asked anew meanwhile.
        """
        if self._reaching is not None:
            self._reaching.cancel()
        reach = self._reach(self._leaving(), candidate, successors)
        self._reaching = self._loop.create_task(reach, context=contextvars.Context())

    async def _reach(self, departure: Departure, candidate: Snapshot, successors: Sequence[WorkerId]) -> None:
        try:
            await departure.connect(successors, REACH)
        except Unreachable as error:
            refusal: Refusal | None = Refusal(Stage.PREPARE, Fault.RESOURCE, str(error))
        else:
            refusal = await self._inheritance.promise(departure.giver, successors, candidate)
        answer = Connected(candidate.epoch) if refusal is None else ConnectFailed(candidate.epoch, refusal)
        self._loop.call_soon(self._feed, answer)

    def disconnect(self) -> None:
        """Forget all successors: the worker stays."""
        if self._reaching is not None:
            self._reaching.cancel()
            self._reaching = None
        self._inheritance.forget()
        if self._departure is not None:
            self._departure.close()
            self._departure = None

    def begin(self, successors: Sequence[WorkerId]) -> None:
        """Take nothing in any more, and pass everything on, to `successors` too; may come again with others."""
        self._reception.close()
        self._successors = tuple(successors)
        departure = self._leaving()
        departure.add(successors)
        departure.begin()

    async def give_state(self) -> None:
        """Give a successor what came to plugins since it was given the last time; what goes wrong is told."""
        if self._departure is not None:
            await self._inheritance.hand_on(self._departure.giver, lambda: self._successors)

    async def done(self) -> None:
        """Return when no connection is left here."""
        if self._departure is not None:
            await self._departure.done()

    def close(self) -> None:
        """Let go of both ends; what nobody has taken is closed politely."""
        self.disconnect()
        self._reception.close()

    def _belongings(self) -> tuple[bytes, tuple[int, ...]]:
        """What a supervisor is told and given that did not have this worker forked."""
        told = self._birth.told(os.getpid())
        return belongings.encode(told), (self._pidfd, self._birth.stacks, *told.belongings.descriptors())

    def _leaving(self) -> Departure:
        if self._departure is None:
            self._departure = Departure(
                self._loop,
                self._runtime,
                self._birth.worker,
                self._stamp,
                self._connections,
                self._birth.settings.drain.http,
                self._farewells.window(LeaseKind.HTTP),
                self._farewells.untaken,
            )
        return self._departure
