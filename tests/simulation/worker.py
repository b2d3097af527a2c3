"""A worker process: the real machine, switch and leases; fake units, sockets and time."""

import enum
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, Protocol

from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.message.site import MessageTarget
from changeover.workers.participant import effects, events
from changeover.workers.participant.events import Event, Timer
from changeover.workers.participant.machine import Identity, Machine, Patience
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import SupervisorMessage, TellLeases, TellRegistry, WorkerMessage
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import PipelineSpec, Snapshot, UnitKey
from changeover.workers.serving.lease import Lease, LeaseKind, UnitSet
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import ApplicationRouter, Target
from tests.simulation.contents import Flaw
from tests.simulation.schedule import Agenda
from tests.simulation.sessions import ADDRESS, NAME, Sessions

PATIENCE = Patience(hello=0.4, silence=1.3, orphan=2.0)
BEAT = 0.6
QUICK, SLOW = (0.01, 0.25), (0.65, 0.85)
"""Seconds that it takes to build a candidate, at least and at most."""


class Cell:
    """The shared page: a word for each part."""

    __slots__ = ("words",)

    def __init__(self) -> None:
        self.words = [0, 0]


class Word:
    """One word of it, as a worker reads it."""

    __slots__ = ("_part", "_words")

    def __init__(self, cell: Cell, part: int) -> None:
        self._words = cell.words
        self._part = part

    def read(self) -> int:
        return self._words[self._part]


class Life(enum.Enum):
    """What a process does."""

    RUNNING = "running"
    LEAVING = "leaving"
    FROZEN = "frozen"
    DEAD = "dead"


class Worker:
    """One worker process.

    Args:
        identity: Who it is.
        agenda: Time.
        random: Chance.
        cell: The commit cell.
        world: What it can do to the world around it.

    Attributes:
        word: Its word of the commit cell.
        life: What the process does.
        expecting: Whether it takes connections of others.
        accepting: Whether it takes connections.
        yielding: Whether it dispatches nothing any more.
        unit_sets: Those of every generation that is here, by their units.
        leaving: Superseded units that still have unit sets watched, with those sets.
        released: Units that are gone.
        dispatched: How many requests it began.
        yielding_since: When that began.
        sessions: Clients that stay.
    """

    def __init__(
        self,
        identity: Identity,
        agenda: Agenda,
        random: Random,
        cell: Cell,
        world: "Surroundings",
    ) -> None:
        self.identity = identity
        self.name = f"worker {identity.worker.incarnation % 1000}"
        self.agenda = agenda
        self.random = random
        self.world = world
        self.machine = world.participant(identity)
        self.word = Word(cell, identity.part)
        self.switch = Switch(self.word, self._switched)
        self.life = Life.RUNNING
        self.expecting = self.accepting = False
        self.yielding = False
        self.building = 0
        self._migrating_until = 0.0
        self.draining: dict[UnitKey, set[UnitSet]] = {}
        self.resident: set[UnitKey] = set()
        self.released: set[UnitKey] = set()
        self.dispatched = 0
        self.stranded = 0
        self.yielding_since = 0.0
        self.sessions = Sessions(self, Random(f"{identity.worker.incarnation} of {world.salt}"))
        self._timers: dict[Timer, int] = {}
        self._timer_count = 0
        self._inbox: list[Event] = []
        self._feeding = False
        self._perform: dict[type[effects.Effect], Callable[[Any], None]] = {
            effects.Send: lambda effect: world.report(self, effect.message),
            effects.Build: self._build,
            effects.Discard: self._discard,
            effects.Activate: self._activate,
            effects.Release: self._release,
            effects.Expect: self._expect,
            effects.Accept: self._accept,
            effects.Connect: self._connect,
            effects.Disconnect: lambda _: None,
            effects.HandOver: self._hand_over,
            effects.AnswerRegistry: self._answer_registry,
            effects.AnswerLeases: self._answer_leases,
            effects.Migrate: self._migrate,
            effects.Unmigrate: self._unmigrate,
            effects.SetTimer: self._set_timer,
            effects.CancelTimer: self._cancel_timer,
            effects.LeaveGracefully: lambda _: self.leave(),
        }

    @property
    def worker(self) -> WorkerId:
        """Its identity."""
        return self.identity.worker

    @property
    def alive(self) -> bool:
        """Whether the process exists."""
        return self.life is not Life.DEAD

    @property
    def frozen(self) -> bool:
        """Whether the process stands still."""
        return self.life is Life.FROZEN

    @property
    def epoch(self) -> int:
        """What it serves."""
        return self.switch.current.registry.epoch

    def prepared_keys(self) -> frozenset[UnitKey]:
        """The units that are only built aside."""
        prepared = self.switch.prepared
        return frozenset() if prepared is None else prepared.snapshot.keys() - self.switch.current.snapshot.keys()

    # ---- life ----

    def begin(self) -> None:
        """Connect."""
        self.feed(events.LinkUp())
        self.agenda.after(self.random.uniform(0.1, BEAT), self._beat)
        self.agenda.after(self.random.uniform(0.05, 0.4), self._request)
        self.agenda.after(0.3, self.sessions.come)

    def feed(self, event: Event) -> None:
        """Let the machine handle an event; a frozen process does so when it wakes."""
        if self.life is Life.DEAD:
            return
        self._inbox.append(event)
        if self._feeding or self.life is Life.FROZEN:
            return
        self._drain_inbox()

    def _drain_inbox(self) -> None:
        self._feeding = True
        while self._inbox and self.life not in (Life.DEAD, Life.FROZEN):
            event = self._inbox.pop(0)
            self.world.note(self.name, event)
            for effect in self.machine.handle(event, self.agenda.now):
                self._perform[type(effect)](effect)
        self._feeding = False

    def freeze(self, seconds: float) -> None:
        """Stop the process for a while; what arrives waits."""
        if self.life is Life.RUNNING:
            self.life = Life.FROZEN
            self.agenda.after(seconds, self._wake)

    def _wake(self) -> None:
        if self.life is Life.FROZEN:
            self.life = Life.RUNNING
            self.world.note(self.name, "wakes")
            self._drain_inbox()

    def leave(self) -> None:
        """Stop accepting and be gone soon; a frozen process does not hear that."""
        if self.life is Life.RUNNING:
            self.life = Life.LEAVING
            self.agenda.after(self.random.uniform(0.01, 1.4), lambda: self.world.die(self, 0))

    def bury(self) -> None:
        """The process is no more."""
        self.life = Life.DEAD
        self._inbox.clear()

    # ---- requests ----

    def _beat(self) -> None:
        if self.life is Life.DEAD:
            return
        self.agenda.after(BEAT, self._beat)
        if self.life is not Life.FROZEN:
            self.feed(events.BeatDue(requests=self.dispatched if self.world.tires else 0))

    def _request(self) -> None:
        if self.life is Life.DEAD:
            return
        self.agenda.after(self.random.uniform(0.1, 0.7), self._request)
        if self.life is not Life.FROZEN and self.accepting and not self.yielding:
            self.dispatch()

    def dispatch(self) -> None:
        """A request arrives."""
        generation = self.switch.admit()
        if generation is None:
            epoch = self.word.read()
            if epoch > self.stranded:
                self.stranded = epoch
                self.feed(events.Stranded(epoch))
            return
        self.dispatched += 1
        self.world.on_dispatch(self, generation)
        targets = generation.router.targets
        if not targets:
            return
        target = targets[int(self.random.random() * len(targets))]
        lease = target.unit_set.lease(LeaseKind.HTTP, generation.epoch, target.route.path, 0)
        held = 0.01 if self.random.random() < 0.8 else self.random.uniform(0.2, 2.5)
        self.agenda.after(held, lambda: self._done(lease))

    def _done(self, lease: Lease) -> None:
        if self.life is not Life.DEAD:
            self.world.on_done(self, lease)
            lease.release()

    # ---- generations ----

    def _build(self, effect: effects.Build) -> None:
        snapshot = effect.snapshot
        self.building = snapshot.epoch
        flaw = Flaw(snapshot.label) if self.world.hits(self, snapshot) else Flaw.NONE
        took = self.random.uniform(*(SLOW if flaw is Flaw.SLOW else QUICK))
        if flaw is Flaw.HANGS:
            return
        self.agenda.after(took, lambda: self._built(snapshot, flaw))

    def _built(self, snapshot: Snapshot, flaw: Flaw) -> None:
        if self.life is Life.FROZEN:
            self.agenda.after(0.1, lambda: self._built(snapshot, flaw))
            return
        if self.life is Life.DEAD or self.building != snapshot.epoch:
            return
        self.building = 0
        if flaw is Flaw.CRASHES or (flaw is Flaw.BESIDE and self.epoch):
            self.world.die(self, -11)
        elif flaw is Flaw.REFUSES:
            self.feed(events.BuildFailed(snapshot.epoch, Refusal(Stage.LOAD, Fault.CONTRACT, "does not load")))
        else:
            self.switch.prepared = self._generation(snapshot)
            self.feed(events.Built(snapshot.epoch, 0.0, self.world.migrates(snapshot)))

    def _generation(self, snapshot: Snapshot) -> Generation:
        shared = {unit_set.keys: unit_set for unit_set in self.switch.current.unit_sets}
        keys = {unit.key.ref: unit.key for unit in snapshot.units}
        targets = []
        pipelines = (unit for unit in snapshot.units if isinstance(unit, PipelineSpec))
        for unit, route in zip(pipelines, snapshot.routes, strict=True):
            reach = frozenset((unit.key, *(keys[ref] for ref in unit.requires)))
            targets.append(Target(route, PIPELINE, shared.get(reach) or UnitSet(reach)))
        self.resident |= snapshot.keys()
        router = ApplicationRouter(targets)
        return Generation(snapshot, Registry.of(snapshot), router, messages=self._messages(snapshot, shared))

    def _messages(
        self, snapshot: Snapshot, shared: Mapping[frozenset[UnitKey], UnitSet]
    ) -> Mapping[tuple[str, str], MessageTarget]:
        plugin = next(unit.key for unit in snapshot.units if str(unit.key.ref) == "plugin pricing")
        reach = frozenset((plugin,))
        target = MessageTarget(self.sessions.pipeline(plugin), shared.get(reach) or UnitSet(reach))
        return MappingProxyType({(ADDRESS, NAME): target})

    def _migrate(self, effect: effects.Migrate) -> None:
        self.world.on_migrate(self, effect.epoch)
        took, failed = self.world.migration()
        self._migrating_until = self.agenda.now + took
        self.agenda.after(took, partial(self._migrated, effect.epoch, failed))

    def _migrated(self, epoch: int, failed: Refusal | None) -> None:
        if self.life is Life.DEAD:
            return
        if failed is not None:
            self.feed(events.MigrateFailed(epoch, failed))
        else:
            self.world.on_migrated(epoch)
            self.feed(events.Migrated(epoch))

    def _unmigrate(self, effect: effects.Unmigrate) -> None:
        wait = max(0.0, self._migrating_until - self.agenda.now) + 0.02
        self.agenda.after(wait, partial(self._unmigrated, effect.epoch))

    def _unmigrated(self, epoch: int) -> None:
        if self.life is Life.FROZEN:
            self.agenda.after(0.1, partial(self._unmigrated, epoch))
        elif self.life is not Life.DEAD:
            self.world.on_unmigrated(self, epoch)
            self.feed(events.Unmigrated(epoch))

    def _discard(self, effect: effects.Discard) -> None:
        if self.building == effect.epoch:
            self.building = 0
        prepared = self.switch.prepared
        if prepared is not None and prepared.epoch == effect.epoch:
            self.switch.discard()
            self.resident -= prepared.snapshot.keys() - self.switch.current.snapshot.keys()

    def _activate(self, effect: effects.Activate) -> None:
        prepared = self.switch.prepared
        if prepared is not None and prepared.epoch == effect.epoch:
            self.switch.activate()
        else:
            self.feed(events.Activated(effect.epoch))

    def _switched(self, old: Generation, new: Generation) -> None:
        gone = old.snapshot.keys() - new.snapshot.keys()
        kept = new.unit_sets
        for unit in gone:
            self.draining[unit] = {s for s in old.unit_sets if unit in s.keys and s not in kept}
        self.sessions.drains.begin(gone, old.unit_sets - kept)
        for unit_set in old.unit_sets - kept:
            unit_set.watch(self._idle)
        self.sessions.switched(new)
        self.world.on_switched(self, old, new)
        if self.world.kills(new.snapshot):
            self.agenda.after(self.random.uniform(0.02, 0.3), self._crash)
        self.feed(events.Activated(new.epoch))
        self._sweep()

    def _crash(self) -> None:
        if self.world.kills(self.switch.current.snapshot):
            self.world.die(self, -11)

    def _idle(self, _: UnitSet) -> None:
        self._sweep()

    def _sweep(self) -> None:
        idle = tuple(unit for unit, sets in self.draining.items() if not any(unit_set.leases for unit_set in sets))
        for unit in idle:
            del self.draining[unit]
        if idle:
            self.feed(events.UnitsDrained(idle))

    def _release(self, effect: effects.Release) -> None:
        self.world.on_release(self, effect.units)
        self.sessions.drains.finish(effect.units)
        self.released.update(effect.units)
        self.resident.difference_update(effect.units)
        self.agenda.after(self.random.uniform(0.001, 0.1), lambda: self.feed(events.UnitsReleased(effect.units)))

    def _expect(self, _: effects.Expect) -> None:
        self.expecting = True

    def _accept(self, _: effects.Accept) -> None:
        self.expecting = self.accepting = True
        self.world.on_accept(self)

    # ---- handing over ----

    def _connect(self, effect: effects.Connect) -> None:
        def answer() -> None:
            lost = [each for each in effect.successors if not self.world.reachable(each)]
            why = Refusal(Stage.PREPARE, Fault.RESOURCE, f"cannot reach {lost}")
            epoch = effect.candidate.epoch
            self.feed(events.ConnectFailed(epoch, why) if lost else events.Connected(epoch))

        self.agenda.after(self.random.uniform(0.001, 0.05), answer)

    def take_over(self) -> None:
        """A connection of another worker arrives, with a request that begins at once."""
        if self.life is Life.RUNNING and self.expecting and not self.yielding:
            self.dispatch()

    def _hand_over(self, effect: effects.HandOver) -> None:
        for successor in effect.successors:
            self.agenda.after(self.random.uniform(0.0001, 0.01), partial(self.world.hand_to, successor))
        if not self.yielding:
            self.yielding, self.yielding_since = True, self.agenda.now
            self.world.on_yield(self)
            self.sessions.leave(effect.successors)
            self._leave_when_empty()

    def _leave_when_empty(self) -> None:
        if self.life is Life.DEAD:
            return
        sets = self.switch.current.unit_sets | {each for sets in self.draining.values() for each in sets}
        if any(unit_set.leases for unit_set in sets) or self.life is Life.FROZEN:
            self.agenda.after(0.1, self._leave_when_empty)
        else:
            self.leave()

    # ---- the rest ----

    def _answer_registry(self, effect: effects.AnswerRegistry) -> None:
        registry = self.switch.current.registry
        self.world.report(self, TellRegistry(effect.stamp, self.worker, effect.ticket, registry))

    def _answer_leases(self, effect: effects.AnswerLeases) -> None:
        self.world.report(self, TellLeases(effect.stamp, self.worker, effect.ticket, ()))

    def _set_timer(self, effect: effects.SetTimer) -> None:
        self._timer_count += 1
        token = self._timers[effect.timer] = self._timer_count
        self.agenda.after(effect.after, lambda: self._fire(effect.timer, token))

    def _cancel_timer(self, effect: effects.CancelTimer) -> None:
        self._timers.pop(effect.timer, None)

    def _fire(self, timer: Timer, token: int) -> None:
        if self._timers.get(timer) == token:
            del self._timers[timer]
            self.feed(events.TimerFired(timer))

    def hear(self, message: SupervisorMessage) -> None:
        """A message arrives."""
        self.feed(events.Received(message))


PIPELINE = Pipeline("any")


class Surroundings(Protocol):
    """What a worker can do to the world around it."""

    cell: Cell
    tires: bool
    salt: float

    def participant(self, identity: Identity) -> Machine:
        """The machine of a worker."""
        return Machine(identity, PATIENCE)

    def report(self, worker: Worker, message: WorkerMessage) -> None:
        """Send to the supervisor."""

    def die(self, worker: Worker, status: int) -> None:
        """End a process."""

    def hits(self, worker: Worker, snapshot: Snapshot) -> bool:
        """Whether a content's flaw shows in this worker."""

    def kills(self, snapshot: Snapshot) -> bool:
        """Whether whoever serves this dies of it."""

    def migrates(self, snapshot: Snapshot) -> tuple[str, ...]:
        """Plugins of a content that migrate something."""

    def migration(self) -> tuple[float, Refusal | None]:
        """How long the next one takes, and how it fails; None for well."""

    def on_migrate(self, worker: Worker, epoch: int) -> None:
        """A worker begins to migrate."""

    def on_migrated(self, epoch: int) -> None:
        """It came to a good end."""

    def on_unmigrated(self, worker: Worker, epoch: int) -> None:
        """A worker has undone what was migrated."""

    def note(self, who: str, what: object) -> None:
        """Remember what happened."""

    def on_dispatch(self, worker: Worker, generation: Generation) -> None:
        """A request began."""

    def on_done(self, worker: Worker, lease: Lease) -> None:
        """A request ends."""

    def on_cut(self, worker: Worker, lease: Lease, code: int, reason: str) -> None:
        """A worker ends what could go on."""

    def on_answered(self, worker: Worker, heard: str, said: int) -> None:
        """A client hears how many of its messages the service knows of."""

    def on_exported(self, worker: Worker, unit: UnitKey) -> None:
        """A version of the plugin lets go of a connection of the raw protocol."""

    def hand_talk(self, successors: tuple[WorkerId, ...], said: int, state: bytes | None) -> None:
        """Hand over a connection of the raw protocol."""

    def on_switched(self, worker: Worker, old: Generation, new: Generation) -> None:
        """A pointer moved."""

    def on_release(self, worker: Worker, units: tuple[UnitKey, ...]) -> None:
        """Units are unloaded."""

    def on_accept(self, worker: Worker) -> None:
        """A worker takes connections."""

    def on_yield(self, worker: Worker) -> None:
        """A worker begins to hand over."""

    def hand_to(self, worker: WorkerId) -> None:
        """Hand a connection over."""

    def reachable(self, worker: WorkerId) -> bool:
        """Whether a worker takes connections over."""
