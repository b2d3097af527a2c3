"""One worker process, from its sockets to its exit status."""

import asyncio
import contextvars
import enum
import logging
import os
import random
import signal
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from changeover.workers.channel.connections import Connections
from changeover.workers.generation.cell import SharedCell
from changeover.workers.generation.proof import Proof, Proven
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.generation.workshop import Workshop
from changeover.workers.http.initializer import HttpInitializer
from changeover.workers.http2.initializer import http2_or_none
from changeover.workers.link.worker import WorkerLink
from changeover.workers.message.initializer import MessageInitializers
from changeover.workers.message.site import MessageSite
from changeover.workers.participant import events
from changeover.workers.participant.machine import Identity, Machine, Patience
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import SupervisorMessage, WorkerMessage
from changeover.workers.protocol.snapshot import Snapshot, UnitKey
from changeover.workers.protocol.table import BugFound
from changeover.workers.runtime import heap, vitals
from changeover.workers.runtime.accept import Acceptor, State
from changeover.workers.runtime.access_log import access_log, making_of
from changeover.workers.runtime.counts import Counts
from changeover.workers.runtime.farewells import Farewells
from changeover.workers.runtime.handover import Handover
from changeover.workers.runtime.handshakes import Handshakes
from changeover.workers.runtime.inheritance import Inheritance
from changeover.workers.runtime.leadership import LOCK, Leadership
from changeover.workers.runtime.lives import Lives
from changeover.workers.runtime.observatory import Observatory
from changeover.workers.runtime.residency import end_leases
from changeover.workers.runtime.server_hooks import ServerHooks
from changeover.workers.runtime.settings import Birth
from changeover.workers.runtime.shell import AFTERMATH, Shell
from changeover.workers.runtime.title import set_title
from changeover.workers.serving import attribution, overdue
from changeover.workers.serving.dispatch import LiveDispatcher

logger = logging.getLogger("changeover.worker")

T = TypeVar("T")

CRASHED = 70
"""Exit status of a worker that found itself in a state that cannot be (EX_SOFTWARE)."""
LINK_UP = 1.0
"""Seconds after which a worker goes on as if it had a supervisor that listens."""
STAY = (0.1, 0.25)
"""Seconds, at least and at most, that a worker stays which has passed everything on: who took it has a backlog, and
ending needs as much of the processor as serving does. Not all that a roll replaces end at the same time."""
QUICK = 2.0
"""Seconds that lifespans and hooks have at the least."""
SHARE_OF_REQUESTS = 0.8
"""How much of the graceful deadline requests may use; the rest is for lifespans and hooks."""


class Urgency(enum.Enum):
    """How a worker leaves."""

    GRACEFUL = "graceful"
    QUICK = "quick"


class Worker:
    """Serves until it is told to leave.

    Args:
        loop: The running loop.
        birth: Who it is, and whose.
        on_arrival: Told of a socket of each address by which connections came that others hand over.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, birth: Birth, on_arrival: Callable[[socket.socket], None]
    ) -> None:
        self._loop = loop
        self._birth = birth
        self._slot = birth.worker.slot
        self._status = 0
        self._passing: asyncio.Task[None] | None = None
        self._urgency = asyncio.Queue[Urgency]()
        settings, deadlines = birth.settings, birth.settings.deadlines
        attribution.install(loop)
        self._counts = Counts(settings.belongings.counts)
        self._observatory = Observatory(loop, lambda event: self._shell.feed(event))
        self._switch = Switch(SharedCell(settings.belongings.cell, birth.part), self._on_switched, self._on_stranded)
        self._workshop = Workshop(
            Path(settings.store),
            hook_deadline=deadlines.hook,
            on_drained=self._on_drained,
            on_degraded=lambda refusal: self._shell.feed(events.HookFailed(refusal)),
            aftermath=AFTERMATH,
            witness=Lives(loop, lambda event: self._shell.feed(event), lambda: self._switch.current.epoch > 0),
            counters=self._observatory.counters,
            leads=False,
        )
        self._leadership = Leadership(loop, Path(settings.runtime) / LOCK, self._workshop.exclusive, self.crashed)
        self._proof = Proof(loop, self._workshop, Path(settings.runtime), self._on_proven)
        self._dispatcher = LiveDispatcher(
            self._switch,
            worker=birth.worker.slot,
            epoch_header=settings.epoch_header,
            counters=self._observatory.counters,
        )
        self._access = access_log(loop, settings.wire)
        making = making_of(settings.wire, self._access, birth.worker.slot)
        self._messages = MessageSite(self._switch, settings.limits, birth.worker.slot)
        self._connections = Connections(
            HttpInitializer(
                self._dispatcher,
                settings.limits,
                making=making,
                http2=http2_or_none(self._dispatcher, settings.limits, making),
            ),
            settings.limits,
            channel_at=lambda address: self._switch.current.channels.get(address),
            witness=Handshakes(loop.time, self._observatory.counters),
            others=MessageInitializers(self._messages),
        )
        self._acceptor = Acceptor(
            {
                socket.socket(fileno=os.dup(each.fd)): each.asked or each.address
                for each in settings.belongings.listeners
            },
            self._connections,
            self._counts,
            birth.worker.slot,
            settings.max_connections,
            settings.slots,
        )
        identity = Identity(birth.worker, birth.nonce, os.getpid(), birth.journal, birth.term, birth.rolled, birth.part)
        self._machine = Machine(identity, Patience(silence=deadlines.silence, orphan=deadlines.orphan))
        counters = self._observatory.counters
        self._shell = Shell(loop, birth.worker, self._machine, self._switch, self._workshop, self, counters)
        self._link = WorkerLink(loop, Path(settings.runtime), birth.worker, self._on_message, self._on_up)
        grace = deadlines.graceful
        self._farewells = Farewells(
            loop, settings.drain, grace, self._connections, self._workshop.leases, self._shell.feed
        )
        self._handover = Handover(
            loop,
            birth,
            self._connections,
            lambda: self._acceptor.room,
            self._stamp,
            self._shell.feed,
            self._farewells,
            on_arrival,
            Inheritance(
                loop, self._workshop, deadlines.hook, lambda refusal: self._shell.feed(events.HookFailed(refusal))
            ),
        )
        self._hooks = ServerHooks(birth)
        self._readying: asyncio.Task[None] | None = None
        self._beat: asyncio.TimerHandle | None = None
        self._memory = vitals.ResidentMemory()

    async def live(self) -> int:
        """Join, serve, leave; the exit status."""
        self._loop.set_exception_handler(self._on_unhandled)
        for signum, urgency in ((signal.SIGTERM, Urgency.GRACEFUL), (signal.SIGQUIT, Urgency.QUICK)):
            self._loop.add_signal_handler(signum, self._urgency.put_nowait, urgency)
        self._handover.open()
        self._loop.call_later(LINK_UP, self._on_up)
        leaving = await self._urgency.get()
        await self._leave(leaving)
        return self._status

    def send(self, message: WorkerMessage) -> None:
        """Report to the supervisor; may be lost."""
        self._link.send(message)

    def expect(self, *, relieves: bool) -> None:
        """Let connections be handed over already: the first request on one of them activates what is prepared."""
        if self._acceptor.state is not State.CLOSED:
            self._acceptor.expect()
            self._handover.refresh()
            if relieves:
                self._handover.warm_up()

    def accept(self) -> None:
        """Start to accept connections, and to take them over; too late for one that was told to leave."""
        if self._acceptor.state is State.CLOSED:
            return
        heap.collect_seldom()
        self._acceptor.start()
        self._handover.refresh()
        self._readying = self._loop.create_task(self._hooks.run("worker_ready"))

    def released(self, units: tuple[UnitKey, ...]) -> None:
        """Units ended here, and should be gone: look for them when nobody is kept waiting by that."""
        self._proof.released(units)

    def connect(self, candidate: Snapshot, successors: tuple[WorkerId, ...]) -> None:
        """Reach those who would take over; answer Connected or ConnectFailed."""
        self._handover.connect(candidate, successors)

    def disconnect(self) -> None:
        """Forget those who would take over."""
        self._handover.disconnect()

    def hand_over(self, successors: tuple[WorkerId, ...]) -> None:
        """Dispatch nothing any more, pass all connections on, and exit when nothing is left."""
        self._acceptor.close()
        self._leadership.give_up()
        self._handover.begin(successors)
        if self._passing is None:
            self._passing = self._loop.create_task(self._pass_on(), context=contextvars.Context())

    async def _pass_on(self) -> None:
        """Stand down, wait until no connection is left here, with those in flight until their deadlines, and leave.

        The state of plugins goes over at once, and what requests in flight still add to it at the end.
        """
        self._farewells.begin()
        try:
            await self._workshop.stand_down()
            await self._handover.give_state()
            await self._handover.done()
            if self._workshop.exporting():
                await self._workshop.settle(self._birth.settings.drain.task)
                await self._handover.give_state()
        except Exception as error:  # noqa: BLE001 - whoever waits for this worker to leave must not wait in vain
            self.crashed(error)
            return
        await asyncio.sleep(random.uniform(*STAY))
        self._urgency.put_nowait(Urgency.GRACEFUL)

    def switched(self, epoch: int) -> None:
        """The generation of `epoch` serves: requests that were held can be dispatched, sessions may go over to it."""
        self._loop.call_soon(self._connections.resume_all)
        self._loop.call_later(AFTERMATH, self._messages.move)
        self._loop.call_later(AFTERMATH, self._settle, epoch)

    def leave(self, reason: str) -> None:
        """Stop accepting, finish what is in flight, exit."""
        logger.warning("slot %d leaves: %s", self._slot, reason)
        self._urgency.put_nowait(Urgency.GRACEFUL)

    def crashed(self, error: BaseException) -> None:
        """Something failed that must not: say so and exit; a fresh worker is better than one in doubt."""
        logger.critical("slot %d: a bug in changeover, the worker leaves", self._slot, exc_info=error)
        self._status = CRASHED
        self._urgency.put_nowait(Urgency.GRACEFUL)

    def _on_unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BugFound):
            self.crashed(error)
        else:
            loop.default_exception_handler(context)

    def _on_up(self) -> None:
        if self._beat is None:
            self._shell.feed(events.LinkUp())
            self._beat_again()
            self._observatory.begin()

    def _on_message(self, message: SupervisorMessage) -> None:
        self._shell.feed(events.Received(message))

    def _on_switched(self, old: Generation, new: Generation) -> None:
        self._messages.hold(new)
        self._shell.switched(old, new)

    def _on_drained(self, units: tuple[UnitKey, ...]) -> None:
        self._shell.feed(events.UnitsDrained(units))

    def _on_proven(self, proven: Proven) -> None:
        self._shell.feed(events.Proved(proven.units, proven.pause, vitals.leak_views(proven.leaks)))

    def _on_stranded(self, epoch: int) -> None:
        self._loop.call_soon(self._shell.feed, events.Stranded(epoch))

    def _settle(self, epoch: int) -> None:
        self._leadership.seek()
        bound = self._birth.settings.max_resident
        for report in end_leases(self._workshop.leases_over(bound), bound, epoch):
            self._shell.feed(report)
        self._show(vitals.leases_by_epoch(self._workshop.leases()))

    def _beat_again(self) -> None:
        self._beat = self._loop.call_later(self._birth.settings.deadlines.heartbeat, self._beat_again)
        self._leadership.seek()
        overdue.end_waits(self._birth.settings.deadlines.request)
        held = self._workshop.leases()
        leases = vitals.leases_by_epoch(held)
        self._shell.feed(
            events.BeatDue(
                leases,
                len(self._connections),
                self._observatory.counters.requests,
                self._memory.read(),
                vitals.owed_response(held),
                self._workshop.left_behind,
                self._workshop.remnants.count,
                self._leadership.leads,
            )
        )
        self._show(leases)

    def _show(self, leases: dict[int, int]) -> None:
        state = vitals.state(self._switch.current.epoch, leases)
        set_title(self._birth.settings.name, self._slot, state)

    def _stamp(self) -> Stamp:
        return Stamp(self._birth.journal, self._birth.term, self._machine.serving)

    async def _leave(self, urgency: Urgency) -> None:
        """Finish requests, then lifespans and hooks, within the graceful deadline; a QUIT meanwhile cuts it short."""
        whole = self._birth.settings.deadlines.graceful if urgency is Urgency.GRACEFUL else 0.0
        until = self._loop.time() + whole
        set_title(self._birth.settings.name, self._slot, f"leaving, {urgency.value}")
        self._leadership.give_up()
        if self._passing is not None:
            self._passing.cancel()
        self._acceptor.empty_queue()
        self._handover.close()
        self._farewells.begin()
        self._farewells.end_within(whole * SHARE_OF_REQUESTS)
        hurried = await self._end_requests(whole * SHARE_OF_REQUESTS)
        await self._be_decided(max(self._birth.settings.deadlines.hook, until - self._loop.time()))
        if self._beat is not None:
            self._beat.cancel()
        self._farewells.close()
        self._observatory.close()
        self._proof.close()
        await self._shell.close()
        await self._end_units(0.0 if hurried else until - self._loop.time())
        if self._readying is not None:
            self._readying.cancel()
        await self._hooks.run("worker_exit", QUICK if hurried else max(QUICK, until - self._loop.time()))
        self._link.close()
        if self._access is not None:
            self._access.close()

    async def _be_decided(self, patience: float) -> None:
        """Let what was migrated here be decided, and undone if it has to be: a QUIT does not cut that short."""
        if not await self._shell.be_decided(patience):
            logger.error(
                "slot %d leaves, and what its plugins migrated is not undone here: whether it is to stay was not heard "
                "within %.1f s, or undoing it took longer; look whether the data fits what serves",
                self._slot,
                patience,
            )

    async def _end_requests(self, deadline: float) -> bool:
        """Let requests finish; whether a QUIT cut that short, which leaves no time for what they leave behind."""
        if await self._unless_hurried(self._connections.stop(deadline)) is not None:
            return False
        await self._connections.stop(0.0)
        return True

    async def _end_units(self, left: float) -> None:
        """End tasks that requests left behind, then hooks and lifespans; the latter have `QUICK` at the least."""
        deadline = max(QUICK, left)
        try:
            async with asyncio.timeout(deadline):
                held = await self._unless_hurried(self._workshop.close(max(0.0, left * SHARE_OF_REQUESTS)))
                if held is None:
                    held = await self._workshop.close()
        except TimeoutError:
            logger.warning(
                "slot %d: lifespans and hooks did not end within %.1f s, it leaves without them", self._slot, deadline
            )
        else:
            for lease in held:
                kind = lease.kind.value
                logger.warning("slot %d leaves without waiting for a %s of %s", self._slot, kind, lease.path)

    async def _unless_hurried(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Do `work`; None when a QUIT came first, and it was given up."""
        doing = self._loop.create_task(work)
        hurrying = self._loop.create_task(self._until_quick())
        try:
            await asyncio.wait({doing, hurrying}, return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            doing.cancel()
            hurrying.cancel()

    async def _until_quick(self) -> None:
        while await self._urgency.get() is not Urgency.QUICK:
            continue
