"""Clients that stay: WebSockets and connections of a raw protocol, with the product's own farewells and sessions."""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, cast

from changeover.workers.channel.connection import Parting
from changeover.workers.channel.limits import Limits
from changeover.workers.generation.drain import Drains
from changeover.workers.message.assembly import FunctionInitializer, Served
from changeover.workers.message.chain import Chain
from changeover.workers.message.channel import Channel, Pressure
from changeover.workers.message.contract import MessageCall, MessageService
from changeover.workers.message.framing import LineCodec
from changeover.workers.message.pipeline import MessagePipeline, configured
from changeover.workers.message.session import Session
from changeover.workers.message.site import Generation, MessageSite
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.snapshot import UnitKey
from changeover.workers.runtime.farewells import Farewells
from changeover.workers.runtime.residency import end_leases
from changeover.workers.runtime.settings import DrainDeadlines
from changeover.workers.serving.handshake import HandshakeOutcome
from changeover.workers.serving.lease import Lease, LeaseKind, UnitSet

if TYPE_CHECKING:
    from tests.simulation.worker import Worker

DRAIN = DrainDeadlines(http=3.0, stream=3.0, websocket=0.8, task=3.0)
GRACE = 0.6
RESTART = 1012
BOUND = 2
"""Most copies of a unit that are resident in a worker."""
ADDRESS, NAME = "shop:1", "pricing:lines"
MOST = 3
"""Most clients of a worker that stay."""
GOES = 0.1
"""Chance that a client of the raw protocol leaves, and says nothing more."""


class Timer:
    """Something that may still be called off."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """The loop of a worker, as far as farewells need one: it stands still while the process does."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def time(self) -> float:
        return self._worker.agenda.now

    def call_later(self, seconds: float, action: Callable[..., None], *arguments: Any) -> Timer:
        timer = Timer(partial(action, *arguments))
        self._worker.agenda.after(seconds, partial(self._fire, timer))
        return timer

    def _fire(self, timer: Timer) -> None:
        if self._worker.frozen:
            self._worker.agenda.after(0.1, partial(self._fire, timer))
        elif self._worker.alive and not timer.cancelled:
            timer.action()


class WebSocket:
    """One WebSocket: it stays in the process that accepted it until one side ends it."""

    kind, parting = LeaseKind.WEBSOCKET, Parting.STAYS

    def __init__(self, sessions: "Sessions", unit_set: UnitSet, epoch: int) -> None:
        self.since = sessions.worker.agenda.now
        self.lease = Hold(unit_set, LeaseKind.WEBSOCKET, epoch, "/live", 0, socket=self)
        unit_set.leases.add(self.lease)
        self._sessions = sessions

    def farewell(self, *, asked: bool = False) -> None:
        self._sessions.end_socket(self, RESTART, "service restart")

    def cancel(self, reason: str) -> None:
        """What speaks over it is cancelled."""
        self._sessions.end_socket(self, RESTART, reason)

    def leave(self) -> None:
        """The client goes."""
        self._sessions.end_socket(self, 1000, "")


class Hold(Lease):
    """Its lease, of which the holder is no task."""

    socket: WebSocket | None = None

    def end(self, reason: str) -> bool:
        assert self.socket is not None
        self.socket.cancel(reason)
        return True


class Tally(MessageService):
    """Answers each message with how many came on its connection."""

    def __init__(self, exported: Callable[[], None]) -> None:
        self._exported = exported

    def opened(self, channel: Channel) -> None:
        channel.state = 0

    def __call__(self, message: str, call: MessageCall) -> str:
        call.channel.state += 1
        return str(call.channel.state)

    def export_state(self, channel: Channel) -> bytes:
        self._exported()
        return str(channel.state).encode()

    def import_state(self, channel: Channel, state: bytes) -> None:
        channel.state = int(state)


def tally(exported: Callable[[], None]) -> MessagePipeline:
    """The pipeline of one version."""

    def configure(chain: Chain, channel: Served) -> None:
        chain.codec(LineCodec())
        chain.service(service)

    service = Tally(exported)
    return configured(NAME, FunctionInitializer(configure), Served(ADDRESS))


class Talk:
    """One connection of a raw protocol, which goes over between two messages: in a swap, and in a roll."""

    outcome = HandshakeOutcome(listener=ADDRESS)
    pressure, client_shut = Pressure.FREE, False

    def __init__(self, sessions: "Sessions", said: int = 0, state: bytes | None = None) -> None:
        self.said = said
        self.heard = ""
        self.busy = False
        self.session = Session(sessions.site, NAME, Channel(self))
        self.session.arrive(state)
        self._sessions = sessions
        self._worker = sessions.worker
        sessions.enter(self)

    # What a switch of generations calls.

    def hold(self, generation: Generation) -> None:
        self.session.hold(generation)

    def move(self) -> None:
        if not self.busy and self.session.outdated and not self._worker.yielding:
            generation = self._sessions.site.admission.admit()
            if generation is not None:
                self.session.turn_to(generation)

    # What its client does.

    def say(self) -> None:
        """A message comes; what cannot be dispatched now comes again."""
        worker = self._worker
        if not worker.alive or self not in self._sessions.talks:
            return
        worker.agenda.after(self._sessions.random.uniform(0.1, 0.6), self.say)
        if worker.frozen or self.busy or worker.yielding:
            return
        if self._sessions.random.random() < GOES:
            self._sessions.exit(self)
            self.session.end()
            return
        generation = worker.switch.admit()
        if generation is None:
            return
        target = self.session.turn_to(generation)
        if target is not None:
            self._answer(self.session.call(target, 0), target.pipeline)

    def _answer(self, call: MessageCall, pipeline: MessagePipeline) -> None:
        self.said, self.busy = self.said + 1, True
        for _ in pipeline.steps("another", call):
            raise AssertionError("bug: nothing waits here")
        self._worker.world.on_answered(self._worker, self.heard, self.said)
        held = 0.01 if self._sessions.random.random() < 0.7 else self._sessions.random.uniform(0.1, 1.0)
        self._worker.agenda.after(held, partial(self._done, call))

    def _done(self, call: MessageCall) -> None:
        if not self._worker.alive:
            return
        self._worker.world.on_done(self._worker, call.lease)
        call.lease.release()
        self.busy = False
        if self._worker.yielding:
            self._sessions.go_over(self)
        else:
            self.move()

    # What its channel needs.

    @property
    def way(self) -> "Talk":
        return self

    def post(self, message: Any) -> None:
        self.heard = message

    def flush(self) -> None: ...

    async def drain(self) -> None: ...

    async def next_message(self) -> Any: ...

    def shut(self) -> None: ...

    def leave_off(self) -> None: ...


class Sessions:
    """All clients of a worker that stay.

    Attributes:
        worker: Theirs.
        random: Chance, apart from that of the world.
        site: What connections of the raw protocol share.
        sockets: Open WebSockets.
        talks: Open connections of the raw protocol.
        drains: What was superseded and is still here, for the residency bound.
    """

    def __init__(self, worker: "Worker", random: Random) -> None:
        self.worker = worker
        self.random = random
        self.site = MessageSite(worker.switch, Limits(), worker.worker.slot)
        self.sockets: set[WebSocket] = set()
        self.talks: set[Talk] = set()
        self._successors: tuple[WorkerId, ...] = ()
        self._pipelines: dict[UnitKey, MessagePipeline] = {}
        loop = cast(asyncio.AbstractEventLoop, Clock(worker))
        self.drains = Drains(lambda units: None)
        self._farewells = Farewells(loop, DRAIN, GRACE, self.sockets, self._leases, worker.feed)

    def pipeline(self, unit: UnitKey) -> MessagePipeline:
        """That of one content of the plugin; the same content has the same."""
        if unit not in self._pipelines:
            self._pipelines[unit] = tally(partial(self._exported, unit))
        return self._pipelines[unit]

    def come(self) -> None:
        """Clients come, again and again."""
        worker = self.worker
        if not worker.alive:
            return
        worker.agenda.after(self.random.uniform(0.2, 1.0), self.come)
        if worker.frozen or not worker.accepting or worker.yielding or len(self.sockets) + len(self.talks) >= MOST:
            return
        if self.random.random() < 0.5:
            self._open_socket()
        else:
            self.adopt(0, None)

    def _open_socket(self) -> None:
        generation = self.worker.switch.admit()
        if generation is None:
            return
        self.worker.world.on_dispatch(self.worker, generation)
        targets = generation.router.targets
        if targets:
            socket = WebSocket(self, self.random.choice(targets).unit_set, generation.epoch)
            self.sockets.add(socket)
            self.worker.agenda.after(self.random.uniform(0.2, 2.5), socket.leave)

    def adopt(self, said: int, state: bytes | None) -> None:
        """A connection of the raw protocol comes, of a client or of another worker."""
        talk = Talk(self, said, state)
        self.worker.agenda.after(self.random.uniform(0.01, 0.3), talk.say)

    def enter(self, talk: Talk) -> None:
        """It is open."""
        self.talks.add(talk)
        self.site.enter(talk)

    def exit(self, talk: Talk) -> None:
        """It is open no more, or not here."""
        self.talks.discard(talk)
        self.site.exit(talk)

    def end_socket(self, socket: WebSocket, code: int, reason: str) -> None:
        """One side ends a WebSocket."""
        if socket in self.sockets and self.worker.alive:
            self.sockets.discard(socket)
            if code != 1000:
                self.worker.world.on_cut(self.worker, socket.lease, code, reason)
            self.worker.world.on_done(self.worker, socket.lease)
            socket.lease.release()

    def switched(self, new: Generation) -> None:
        """Another generation serves; connections follow in a moment, and the residency bound holds."""
        self.site.hold(new)
        self.worker.agenda.after(self.random.uniform(0.001, 0.2), self._settle)

    def _settle(self) -> None:
        if self.worker.frozen:
            self.worker.agenda.after(0.1, self._settle)
        elif self.worker.alive:
            self.site.move()
            over = self.drains.leases_over(BOUND, self.worker.resident)
            for report in end_leases(over, BOUND, self.worker.epoch):
                self.worker.feed(report)

    def leave(self, successors: tuple[WorkerId, ...]) -> None:
        """The worker leaves: what can go over does, between two messages, and farewells begin."""
        self._successors = successors
        self._farewells.begin()
        for talk in tuple(self.talks):
            if not talk.busy:
                self.go_over(talk)

    def go_over(self, talk: Talk) -> None:
        """Another worker goes on with a connection."""
        talk.session.part()
        self.exit(talk)
        self.worker.world.hand_talk(self._successors, talk.said, talk.session.exported())

    def _leases(self) -> list[Lease]:
        return [socket.lease for socket in self.sockets]

    def _exported(self, unit: UnitKey) -> None:
        self.worker.world.on_exported(self.worker, unit)
