"""The supervisor's process: the real machine and the driver's duties over a fake world."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from changeover.supervisor.core import cutover, effects, events
from changeover.supervisor.core.entries import JournalEntry, SlotRefusal, TermBegun, Trigger
from changeover.supervisor.core.events import Event, Timer
from changeover.supervisor.core.machine import Machine
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    HeldBack,
    NothingChanged,
    RollNeeded,
    ScanRefused,
    ScanResult,
    Strategy,
)
from changeover.supervisor.core.records.cutover import CutoverAborted, InDoubt, PhaseBegan
from changeover.supervisor.core.records.plugin import MigrationLeft
from changeover.supervisor.core.records.staffing import Scaled, SlotParked
from changeover.supervisor.core.records.worker import WorkerExited, WorkerKilled, WorkerServing
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.simulation.contents import ADDRESSES, app_of, content, kept_back, listened, name_of, versions_of
from tests.simulation.journal import Mood, SecondDecision

if TYPE_CHECKING:
    from tests.simulation.world import World

SECRET = "simulated"


class Supervisor:
    """One incarnation of the supervisor; it dies with everything that was under way.

    Attributes:
        alive: Whether the process exists.
        exited: The code it left with, None while it did not.
        served: Whether a worker of its has served.
        rehearses: The epoch of the candidate that a process of its is rehearsing; None without one.
    """

    def __init__(self, world: "World", machine: Machine) -> None:
        epoch = world.journal.committed
        self.world = world
        self.machine = machine
        self.alive = True
        self.exited: int | None = None
        self.served = False
        self.rehearses: int | None = None
        self._rehearsals = 0
        # What it takes at its start, or from those who live.
        self.bound = {*ADDRESSES[:1], *world.listen, *(() if not epoch else world.journal.snapshot(epoch).listen)}
        self._candidate: set[str] = set()
        self._binds = 0
        self.term = 0
        self._journal_busy = 0.0
        self._timers: dict[Timer, int] = {}
        self._timer_count = 0
        self._events: list[Event] = []
        self._feeding = False
        self._in_flight: dict[int, JournalEntry] = {}
        self._perform: dict[type[effects.Effect], Callable[[Any], None]] = {
            effects.Persist: self._persist,
            effects.Reread: self._reread,
            effects.StoreCell: lambda effect: world.store_cell(effect.epoch, effect.part),
            effects.Broadcast: lambda effect: world.broadcast(effect.message),
            effects.Unicast: lambda effect: world.unicast(effect.worker, effect.message),
            effects.Bind: self._bind,
            effects.Listen: self._listen,
            effects.Unbind: lambda effect: self._unbind(),
            effects.StartZygote: lambda effect: world.start_zygote(effect.cohort),
            effects.AdoptZygote: lambda effect: world.zygotes[effect.cohort].adopt(),
            effects.StopZygote: lambda effect: world.zygotes[effect.cohort].stop(),
            effects.Hold: lambda effect: world.hold(effect.worker),
            effects.Fork: world.zygote_fork,
            effects.Signal: lambda effect: world.signal(effect.worker, effect.signal),
            effects.DumpStacks: self._dump_stacks,
            effects.Scan: self._scan,
            effects.Preflight: self._preflight,
            effects.EndPreflight: self._end_preflight,
            effects.SetTimer: self._set_timer,
            effects.CancelTimer: self._cancel_timer,
            effects.RehearseImage: lambda effect: world.rehearse(),
            effects.ExecuteImage: lambda effect: world.execute(),
            effects.UpgradeDecided: lambda effect: None,
            effects.Resolve: lambda effect: world.resolve(effect.ticket, effect.outcome),
            effects.Answer: lambda effect: None,
            effects.Tell: self._tell,
            effects.Exit: self._exit,
        }

    def feed(self, event: Event) -> None:
        """Let the machine handle an event, and perform what it wants."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        while self._events and self.alive:
            event = self._events.pop(0)
            self.world.delivered += 1
            self.world.note("supervisor", event)
            for effect in self.machine.handle(event, self.world.agenda.now):
                if self.alive:
                    self._perform[type(effect)](effect)
        self._feeding = False

    def later(self, seconds: float, event: Event) -> None:
        """Let something happen to this incarnation, if it still lives then."""
        self.world.agenda.after(seconds, lambda: self.feed(event) if self.alive else None)

    def die(self) -> None:
        """Be gone at once; what was being written may or may not be on disk."""
        self.alive = False
        entries = list(self._in_flight.values())
        self._in_flight.clear()
        for entry in entries[: self.world.random.randint(0, len(entries))]:
            self._put(entry)

    # ---- the journal ----

    def _persist(self, effect: effects.Persist) -> None:
        self._in_flight[effect.ticket] = effect.entry
        if isinstance(effect.entry, TermBegun):
            self.term = effect.entry.term
        mood = self.world.journal.mood(self.world.random)
        delay = self.world.random.uniform(0.001, 0.02) + (1.0 if mood is Mood.SLOW else 0.0)
        # One thread writes: what is slow holds up what comes behind it.
        self._journal_busy = max(self._journal_busy, self.world.agenda.now) + delay
        wait = self._journal_busy - self.world.agenda.now
        self.world.agenda.after(wait, lambda: self._land(effect.ticket, effect.entry, mood))

    def _land(self, ticket: int, entry: JournalEntry, mood: Mood) -> None:
        if not self.alive:
            return
        del self._in_flight[ticket]
        if mood is not Mood.FAILS and not self._put(entry):
            mood = Mood.FAILS
        if mood in (Mood.WELL, Mood.SLOW):
            self.feed(events.Persisted(ticket))
        elif mood is not Mood.MUTE:
            self.feed(events.PersistFailed(ticket, "no space left on device"))

    def _put(self, entry: JournalEntry) -> bool:
        try:
            self.world.journal.write(entry)
        except SecondDecision:
            return False
        return True

    def _reread(self, effect: effects.Reread) -> None:
        def answer() -> None:
            if not self.alive:
                return
            if self.world.random.random() < 0.15:
                self.feed(events.RereadFailed(effect.epoch, "cannot be opened"))
            else:
                self.feed(events.Reread(effect.epoch, self.world.journal.decisions.get(effect.epoch)))

        self.world.agenda.after(self.world.random.uniform(0.001, 0.05), answer)

    # ---- what is listened on ----

    def _bind(self, effect: effects.Bind) -> None:
        self._binds += 1
        number = self._binds

        def answer() -> None:
            if not self.alive or number != self._binds:
                return
            if self.world.plan.fault and self.world.random.random() < 0.1:
                refusal = Refusal(Stage.PREPARE, Fault.RESOURCE, "in use")
                self.feed(events.BindRefused(effect.epoch, refusal))
                return
            self._candidate = set(effect.addresses) - self.bound
            self.bound |= self._candidate
            self.feed(events.Bound(effect.epoch))

        self.world.agenda.after(self.world.random.uniform(0.001, 0.3), answer)

    def _listen(self, effect: effects.Listen) -> None:
        self.world.invariants.on_listen(effect.addresses, self.bound)
        self.bound, self._candidate = set(effect.addresses), set()

    def _unbind(self) -> None:
        self._binds += 1
        self.bound -= self._candidate
        self._candidate = set()

    # ---- the rest ----

    def _scan(self, effect: effects.Scan) -> None:
        result = self._find(effect)
        seconds = 5.0 if self.world.plan.slow_scans and self.world.random.random() < 0.3 else 0.02
        self.later(self.world.random.uniform(0.001, seconds), events.Scanned(effect.epoch, result))

    def _find(self, effect: effects.Scan) -> ScanResult:
        world, request = self.world, effect.request
        if request.action is Action.ROLLBACK:
            return self._earlier(effect)
        if world.random.random() < 0.04 and request.origin.trigger is not Trigger.BOOT:
            return world.random.choice((NothingChanged(), RollNeeded(("app: 1 file",)), ScanRefused(NO_MANIFEST)))
        versions = world.disk if request.force else kept_back(world.disk, effect.current, self.machine.view().held)
        listen = listened(world.listen, effect.current, () if request.force else self.machine.view().held)
        rolls = effect.current is not None and (app_of(effect.current), effect.current.listen) != (world.app, listen)
        if (
            versions != world.disk
            and effect.current is not None
            and versions == versions_of(effect.current)
            and not rolls
        ):
            return HeldBack(("not taken: what was rolled back",))
        world.versions[name_of(versions, world.app, world.flaw)] = versions
        cold = request.origin.trigger is Trigger.BOOT
        found = content(effect.epoch, versions, effect.current, world.flaw, world.app, cold, listen)
        return Candidate(found, ("changed",))

    def _earlier(self, effect: effects.Scan) -> ScanResult:
        journal = self.world.journal
        epochs = [epoch for epoch in journal.committed_epochs if epoch != journal.committed and journal.whole(epoch)]
        if not epochs:
            return ScanRefused(NO_MANIFEST)
        to = effect.request.to or self.world.random.choice(epochs)
        earlier = self.world.journal.snapshot(to)
        versions = self.world.versions[earlier.digest]
        rolls, listen = effect.request.strategy is Strategy.ROLL, earlier.listen
        found = content(effect.epoch, versions, effect.current, app=app_of(earlier), rolls=rolls, listen=listen)
        self.world.versions[found.digest] = versions
        return Candidate(found, (f"as epoch {to}",), to)

    # ---- rehearsals ----

    def _preflight(self, effect: effects.Preflight) -> None:
        world, epoch = self.world, effect.candidate.epoch
        chance = world.random.random() if world.plan.fault else 0.5
        world.invariants.on_rehearse(effect.candidate, effect.current)
        self.rehearses = epoch
        self._rehearsals += 1
        answer: Event | None = None
        if not world.zygotes[effect.cohort].alive or chance < 0.08:
            answer = events.PreflightRefused(epoch, NO_KEEPER)
        elif chance < 0.2:
            answer = events.PreflightRefused(epoch, SEGFAULT)
        elif chance < 0.25:
            answer = events.PreflightSkipped(epoch, "an older program")
        elif chance < 0.9:
            answer = events.PreflightPassed(epoch, 3, 1, 1)
        if answer is not None:
            number = self._rehearsals
            world.agenda.after(world.random.uniform(0.01, 0.3), partial(self._rehearsed, epoch, number, answer))

    def _rehearsed(self, epoch: int, number: int, answer: Event) -> None:
        if self.alive and self.rehearses == epoch and number == self._rehearsals:
            self.rehearses = None
            if not isinstance(answer, events.PreflightRefused):
                self.world.invariants.rehearsed.add(epoch)
            self.feed(answer)

    def _end_preflight(self, effect: effects.EndPreflight) -> None:
        if self.rehearses == effect.epoch:
            self.rehearses = None

    # ---- and then ----

    def _dump_stacks(self, effect: effects.DumpStacks) -> None:
        if self.world.random.random() < 0.8:
            self.later(self.world.random.uniform(0.001, 0.1), events.StacksDumped(effect.worker, "in a loop"))

    def _tell(self, effect: effects.Tell) -> None:
        if isinstance(effect.record, CutoverAborted):
            self.world.on_aborted(effect.record.epoch)
        elif isinstance(effect.record, PhaseBegan):
            self.world.invariants.on_phase(self.rehearses)
            self.world.waits.entered(cutover.State(effect.record.phase))
            self.world.on_phase()
        elif isinstance(effect.record, WorkerServing):
            self.served = True
        elif isinstance(effect.record, WorkerKilled):
            self.world.waits.killed(effect.record)
        elif isinstance(effect.record, SlotParked | Scaled | WorkerExited):
            self.world.invariants.on_fewer_slots()
            if isinstance(effect.record, WorkerExited):
                self.world.waits.exited(self, effect.record)
        elif isinstance(effect.record, MigrationLeft):
            self.world.migrations.on_left(effect.record.epoch)
        elif isinstance(effect.record, InDoubt):
            self.world.migrations.on_doubt(effect.record.epoch)

    def _exit(self, effect: effects.Exit) -> None:
        self.world.note("supervisor", effect)
        self.world.invariants.on_phase(self.rehearses)
        self.exited = effect.code
        self.alive = False

    def _set_timer(self, effect: effects.SetTimer) -> None:
        self._timer_count += 1
        token = self._timers[effect.timer] = self._timer_count
        self.world.agenda.after(effect.after, lambda: self._fire(effect.timer, token))

    def _cancel_timer(self, effect: effects.CancelTimer) -> None:
        self._timers.pop(effect.timer, None)

    def _fire(self, timer: Timer, token: int) -> None:
        if self.alive and self._timers.get(timer) == token:
            del self._timers[timer]
            self.feed(events.TimerFired(timer))


NO_MANIFEST = (SlotRefusal(-1, 0, Refusal(Stage.SCAN, Fault.CONFIG, "no manifest")),)
NO_KEEPER = (SlotRefusal(-1, 0, Refusal(Stage.PREFLIGHT, Fault.RESOURCE, "no process can be had")),)
SEGFAULT = (SlotRefusal(-1, 0, Refusal(Stage.PREFLIGHT, Fault.CRASH, "ended by SIGSEGV", "plugin pricing")),)
