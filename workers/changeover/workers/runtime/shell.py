"""Performs what the participant decides, and tells it what happened."""

import asyncio
import contextlib
import contextvars
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from changeover.workers.generation import inspection
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.generation.workshop import Workshop
from changeover.workers.participant import effects, events
from changeover.workers.participant.effects import Effect
from changeover.workers.participant.events import Event, Timer
from changeover.workers.participant.machine import Machine
from changeover.workers.protocol.feeder import Feeder
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import TellLeases, TellPipelines, TellRegistry, WorkerMessage
from changeover.workers.protocol.plugin_messages import TellLeaks, TellPlugins
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import Snapshot, UnitKey
from changeover.workers.runtime.vitals import leak_views, lease_views
from changeover.workers.serving.counters import Counters

AFTERMATH = 0.005
"""Seconds after an activation in which hooks and drains wait: other workers need the processor to follow."""


class Surroundings(Protocol):
    """What the shell needs of the worker around it."""

    def send(self, message: WorkerMessage) -> None:
        """Report to the supervisor; may be lost."""

    def expect(self, *, relieves: bool) -> None:
        """Let connections be handed over already; workers that serve may do so."""

    def accept(self) -> None:
        """Start to accept connections."""

    def switched(self, epoch: int) -> None:
        """The generation of `epoch` serves from now on: requests that were held can be dispatched."""

    def released(self, units: tuple[UnitKey, ...]) -> None:
        """Units ended here, and should be gone."""

    def connect(self, candidate: Snapshot, successors: tuple[WorkerId, ...]) -> None:
        """Reach those who would take over; answer Connected or ConnectFailed."""

    def disconnect(self) -> None:
        """Forget those who would take over."""

    def hand_over(self, successors: tuple[WorkerId, ...]) -> None:
        """Dispatch nothing any more, pass all connections on, and exit when nothing is left."""

    def leave(self, reason: str) -> None:
        """Stop accepting, finish what is in flight, exit."""

    def crashed(self, error: BaseException) -> None:
        """Something failed that must not: say so and exit; a fresh worker is better than one in doubt."""


class Shell:
    """Feeds one machine and performs its effects.

    Args:
        loop: The worker's loop.
        worker: Whose shell it is.
        machine: Decides.
        switch: Its pointer is moved here and by dispatches.
        workshop: Makes and unmakes generations.
        around: The worker around the shell.
        counters: What requests are counted by.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        worker: WorkerId,
        machine: Machine,
        switch: Switch,
        workshop: Workshop,
        around: Surroundings,
        counters: Counters,
    ) -> None:
        self._loop = loop
        self._worker = worker
        self._machine = machine
        self._decided = asyncio.Event()
        self._switch = switch
        self._workshop = workshop
        self._around = around
        self._counters = counters
        self._moves: deque[tuple[Generation, Generation]] = deque()
        self._closed = False
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._builds: dict[int, asyncio.Task[None]] = {}
        self._work: set[asyncio.Task[None]] = set()
        perform: dict[type[Effect], Callable[..., None]] = {
            effects.Send: self._send,
            effects.Build: self._start_build,
            effects.Discard: self._discard,
            effects.Activate: self._activate,
            effects.Release: self._release,
            effects.Expect: lambda effect: around.expect(relieves=effect.relieves),
            effects.Accept: lambda _: around.accept(),
            effects.Connect: lambda effect: around.connect(effect.candidate, effect.successors),
            effects.Disconnect: lambda _: around.disconnect(),
            effects.HandOver: lambda effect: around.hand_over(effect.successors),
            effects.AnswerRegistry: self._answer_registry,
            effects.AnswerLeases: self._answer_leases,
            effects.AnswerPipelines: self._answer_pipelines,
            effects.AnswerPlugins: self._answer_plugins,
            effects.AnswerLeaks: self._answer_leaks,
            effects.Migrate: self._start_to_migrate,
            effects.Unmigrate: self._start_to_unmigrate,
            effects.SetTimer: self._set_timer,
            effects.CancelTimer: self._cancel_timer,
            effects.LeaveGracefully: lambda effect: around.leave(effect.reason),
        }
        self._feeder = Feeder(machine, perform, loop.time, self._note_moves)

    def feed(self, event: Event) -> None:
        """Let the machine handle an event; one that an effect causes waits until the effects before it are done."""
        if not self._closed:
            self._feeder.feed(event)
            if not self._machine.undecided:
                self._decided.set()

    def switched(self, old: Generation, new: Generation) -> None:
        """The pointer moved, whoever moved it. Runs no user code.

        The report goes out before anything else is done about it: the last worker's ends the commit. What is
        to be noted is noted in the same turn of the loop, so that nothing sees one without the other.
        """
        self._moves.append((old, new))
        self.feed(events.Activated(new.epoch, time.monotonic_ns()))

    def _note_moves(self) -> None:
        while self._moves:
            old, new = self._moves.popleft()
            self._workshop.activated(old, new)
            self._around.switched(new.epoch)
            self._loop.call_later(AFTERMATH, self._follow_up, old, new)

    def _follow_up(self, old: Generation, new: Generation) -> None:
        self._start(self._workshop.after_activation(old, new))

    async def be_decided(self, patience: float) -> bool:
        """Wait until it is known whether what was migrated here is to stay, and it is undone if not.

        Args:
            patience: Seconds.

        Returns:
            Whether that is so.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._machine.undecided:
                    self._decided.clear()
                    await self._decided.wait()
        return not self._machine.undecided

    async def close(self) -> None:
        """Stop deciding: timers and work under way end, and what happens from here on is told to nobody."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        # An activation happens inside some request's dispatch, and must not be held to be that request's work.
        task = self._loop.create_task(work, context=contextvars.Context())
        self._work.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._around.crashed(error)

    def _send(self, effect: effects.Send) -> None:
        self._around.send(effect.message)

    def _start_build(self, effect: effects.Build) -> None:
        self._builds[effect.snapshot.epoch] = self._start(self._build(effect.snapshot))

    async def _build(self, snapshot: Snapshot) -> None:
        began = self._loop.time()
        built = await self._workshop.build(snapshot)
        del self._builds[snapshot.epoch]
        if isinstance(built, Refusal):
            self.feed(events.BuildFailed(snapshot.epoch, built))
            return
        self._switch.prepared = built
        migrates = self._workshop.migrations.of(built)
        self.feed(events.Built(snapshot.epoch, self._loop.time() - began, migrates))

    def _start_to_migrate(self, effect: effects.Migrate) -> None:
        self._start(self._migrate(effect.epoch))

    async def _migrate(self, epoch: int) -> None:
        began = self._loop.time()
        refusal = await self._workshop.migrations.migrate(epoch)
        if refusal is None:
            self.feed(events.Migrated(epoch, self._loop.time() - began))
        else:
            self.feed(events.MigrateFailed(epoch, refusal))

    def _start_to_unmigrate(self, effect: effects.Unmigrate) -> None:
        self._start(self._unmigrate(effect.epoch))

    async def _unmigrate(self, epoch: int) -> None:
        failed = await self._workshop.migrations.unmigrate(epoch)
        self.feed(events.Unmigrated(epoch, failed))

    def _discard(self, effect: effects.Discard) -> None:
        building, prepared = self._builds.pop(effect.epoch, None), self._switch.prepared
        if building is not None:
            building.cancel()
        elif prepared is not None and prepared.epoch == effect.epoch:
            self._switch.discard()
            self._start(self._workshop.discard(prepared))

    def _activate(self, effect: effects.Activate) -> None:
        current, prepared = self._switch.current, self._switch.prepared
        if prepared is not None and prepared.epoch == effect.epoch:
            self._switch.activate()
        elif current.epoch == effect.epoch:
            self.feed(events.Activated(effect.epoch, time.monotonic_ns()))

    def _release(self, effect: effects.Release) -> None:
        self._start(self._release_all(effect))

    async def _release_all(self, effect: effects.Release) -> None:
        await self._workshop.release(effect.units)
        self._around.released(effect.units)
        self.feed(events.UnitsReleased(effect.units))

    def _answer_registry(self, effect: effects.AnswerRegistry) -> None:
        registry = self._switch.current.registry
        self._around.send(TellRegistry(effect.stamp, self._worker, effect.ticket, registry))

    def _answer_leases(self, effect: effects.AnswerLeases) -> None:
        self._around.send(TellLeases(effect.stamp, self._worker, effect.ticket, lease_views(self._workshop.leases())))

    def _answer_pipelines(self, effect: effects.AnswerPipelines) -> None:
        current, counts = self._switch.current, self._counters.counts()
        found = inspection.pipelines(current)
        self._around.send(TellPipelines(effect.stamp, self._worker, effect.ticket, current.epoch, found, counts))

    def _answer_plugins(self, effect: effects.AnswerPlugins) -> None:
        self._around.send(TellPlugins(effect.stamp, self._worker, effect.ticket, self._workshop.plugins()))

    def _answer_leaks(self, effect: effects.AnswerLeaks) -> None:
        remnants = self._workshop.remnants
        found = (leak_views(remnants.known()), self._workshop.copies(), remnants.forgotten)
        self._around.send(TellLeaks(effect.stamp, self._worker, effect.ticket, *found))

    def _set_timer(self, effect: effects.SetTimer) -> None:
        self._forget(effect.timer)
        self._timers[effect.timer] = self._loop.call_later(effect.after, self._fire, effect.timer)

    def _cancel_timer(self, effect: effects.CancelTimer) -> None:
        self._forget(effect.timer)

    def _forget(self, timer: Timer) -> None:
        if (handle := self._timers.pop(timer, None)) is not None:
            handle.cancel()

    def _fire(self, timer: Timer) -> None:
        del self._timers[timer]
        self.feed(events.TimerFired(timer))
