"""The supervisor's machine on a bench: a test says what happens, and sees what is wanted."""

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.children import nonce
from changeover.supervisor.core.effects import Effect
from changeover.supervisor.core.entries import JournalEntry, Origin, Recovered, Trigger
from changeover.supervisor.core.events import Event, Timer
from changeover.supervisor.core.machine import Machine
from changeover.supervisor.core.outcome import Candidate, CutoverRequest, Outcome
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.view import Overview
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import PROTOCOL_VERSION, SupervisorMessage, WorkerMessage
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

E = TypeVar("E", bound=Effect)
R = TypeVar("R", bound=Record)
M = TypeVar("M", bound=SupervisorMessage)

JOURNAL, SECRET = "journal", "secret"


def unit(name: str, since: int) -> UnitKey:
    """A plugin's identity."""
    return UnitKey(UnitRef(UnitKind.PLUGIN, name), f"{name}{since}", since)


def snapshot(epoch: int, *units: UnitKey, rolled: int = 1) -> Snapshot:
    """A generation of plugins, which the processes serve that epoch 1 rolled."""
    chosen = units or (unit("pricing", epoch),)
    digest = "+".join(key.digest for key in chosen)
    specs = tuple(PluginSpec(key, "1", artifact=key.digest) for key in chosen)
    return Snapshot(epoch, digest, specs, rolled=rolled)


def resourced(candidate: Snapshot, code: str) -> Snapshot:
    """The same with plugins of which only resources differ from those of an artifact."""
    units = (msgspec.structs.replace(each, code=code) for each in candidate.units if isinstance(each, PluginSpec))
    return msgspec.structs.replace(candidate, units=tuple(units))


RELOAD = CutoverRequest(Origin(Trigger.COMMAND))
OLD, KEPT, NEW = unit("pricing", 1), unit("geo", 1), unit("pricing", 2)


class Bench:
    """A machine whose journal writes at once, as long as `writes` says so.

    Attributes:
        now: The time, seconds.
        wanted: Every effect since the last `forget`.
        writes: Whether the journal answers, and well.
        workers: Workers ordered so far.
        cohorts: Cohorts whose zygotes were started so far.
    """

    def __init__(self, policy: Policy | None = None) -> None:
        self.machine = Machine(policy or Policy())
        self.now = 0.0
        self.wanted: list[Effect] = []
        self.writes = True
        self.workers: list[WorkerId] = []
        self.cohorts: list[int] = []

    def feed(self, *happened: Event) -> None:
        """Let things happen."""
        for event in happened:
            for effect in self.machine.handle(event, self.now):
                self.wanted.append(effect)
                if isinstance(effect, effects.Fork):
                    self.workers.append(effect.worker)
                if isinstance(effect, effects.StartZygote):
                    self.cohorts.append(effect.cohort)
                if isinstance(effect, effects.Persist) and self.writes:
                    self.feed(events.Persisted(effect.ticket))

    def forget(self) -> None:
        """Look only at what is wanted from here on."""
        self.wanted.clear()

    # ---- what is seen ----

    def all(self, kind: type[E]) -> list[E]:
        """Every effect of a kind."""
        return [effect for effect in self.wanted if isinstance(effect, kind)]

    def told(self, kind: type[R]) -> list[R]:
        """Every record of a kind."""
        return [effect.record for effect in self.all(effects.Tell) if isinstance(effect.record, kind)]

    def said(self, kind: type[M]) -> list[M]:
        """Every message of a kind, broadcast or not."""
        sent: Sequence[effects.Broadcast | effects.Unicast] = [
            effect for effect in self.wanted if isinstance(effect, effects.Broadcast | effects.Unicast)
        ]
        return [effect.message for effect in sent if isinstance(effect.message, kind)]

    def entries(self) -> list[JournalEntry]:
        """Everything that was to be written."""
        return [effect.entry for effect in self.all(effects.Persist)]

    def outcomes(self) -> dict[int, Outcome]:
        """How requests ended."""
        return {effect.ticket: effect.outcome for effect in self.all(effects.Resolve)}

    @property
    def view(self) -> Overview:
        """The machine's own picture."""
        return self.machine.view()

    # ---- what happens ----

    def boot(self, recovered: Recovered | None = None, slots: int = 2) -> None:
        """Start; a zygote that is wanted at once is ready, and its workers live."""
        self.feed(events.Booted(recovered or Recovered(JOURNAL), slots, SECRET))
        self.preload()

    def preload(self) -> None:
        """Let every zygote that was started be ready, and its workers live."""
        for cohort in self.cohorts:
            self.feed(events.ZygoteReady(cohort))
        self.be_born()

    def be_born(self) -> None:
        """Let every worker that was ordered live."""
        for slot in self.view.slots:
            if slot.worker is not None and not slot.pid:
                self.feed(events.WorkerForked(slot.worker, 100 + slot.slot))

    def hear(self, worker: WorkerId, kind: type[WorkerMessage], epoch: int, *fields: object) -> None:
        """Let a worker say something."""
        make = getattr(messages, kind.__name__)
        self.feed(events.Received(make(Stamp(JOURNAL, self.view.term, epoch), worker, *fields)))

    def greet(self, worker: WorkerId, epoch: int = 0) -> None:
        """Let a worker say Hello."""
        self.hear(worker, messages.Hello, epoch, PROTOCOL_VERSION, nonce(SECRET, worker), 100 + worker.slot)

    def come_up(self, slots: int = 2) -> None:
        """Serve epoch 1 everywhere."""
        self.boot(slots=slots)
        self.find(snapshot(1))
        if self.all(effects.Preflight):
            self.feed(events.PreflightPassed(1))
            self.be_born()
        self.greet_all()
        self.prepare(1)
        self.activate(1)
        self.forget()

    def find(self, candidate: Snapshot) -> None:
        """Let the scan find a candidate; its addresses are bound, and the processes of a roll live, at once."""
        self.find_only(candidate)
        if effects.Bind(candidate.epoch, candidate.listen) in self.wanted:
            self.feed(events.Bound(candidate.epoch))
        self.preload()

    def find_only(self, candidate: Snapshot) -> None:
        """Let the scan find a candidate."""
        self.feed(events.Scanned(candidate.epoch, Candidate(candidate, ("changed",))))

    def greet_all(self) -> None:
        """Let every worker that lives say Hello."""
        for worker in self.living():
            self.greet(worker)

    def prepare(self, epoch: int) -> None:
        """Let every worker prepare."""
        for worker in self.living():
            self.hear(worker, messages.Prepared, epoch)

    def activate(self, epoch: int, *draining: UnitKey) -> None:
        """Let every worker follow."""
        for worker in self.living():
            self.hear(worker, messages.Activated, epoch, 0, draining)

    def living(self) -> list[WorkerId]:
        """Workers that fill a slot."""
        return [slot.worker for slot in self.view.slots if slot.worker is not None]

    def fire(self, timer: Timer) -> None:
        """Let a timer be due."""
        self.feed(events.TimerFired(timer))


def replacing() -> Bench:
    """Two workers serve epoch 1, and somebody asks for a change."""
    bench = Bench()
    bench.boot()
    bench.find(snapshot(1, OLD, KEPT))
    bench.greet_all()
    bench.prepare(1)
    bench.activate(1)
    bench.feed(events.CutoverRequested(1, RELOAD))
    return bench


def replaced() -> Bench:
    """Two workers serve epoch 2, which replaced `pricing` and kept `geo`."""
    bench = replacing()
    bench.find(snapshot(2, NEW, KEPT))
    bench.prepare(2)
    bench.activate(2, OLD)
    bench.forget()
    return bench
