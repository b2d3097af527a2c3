"""A whole service in virtual time: one supervisor at a time, its zygote, its workers, their disk and wires."""

from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import msgspec

from changeover.supervisor.core import cutover, effects, events
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.entries import Committed, JournalEntry, Origin, Trigger
from changeover.supervisor.core.events import Child, Event, Urgency, ZygoteFound
from changeover.supervisor.core.machine import Machine as SupervisorMachine
from changeover.supervisor.core.outcome import Action, CutoverRequest, Outcome, SilentWorkers
from changeover.supervisor.core.policy import Deadlines, Limits, Policy, Restarts, Rhythm
from changeover.workers.generation.switch import Generation
from changeover.workers.participant.machine import Identity
from changeover.workers.participant.machine import Machine as WorkerMachine
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import SupervisorMessage, WorkerMessage
from changeover.workers.protocol.refusal import Fault as RefusalFault
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey
from changeover.workers.serving.lease import Lease
from tests.simulation.contents import ADDRESSES, FORCED, PLUGINS, Flaw, changed, name_of
from tests.simulation.invariants import Invariants
from tests.simulation.journal import JOURNAL, Journal, Mood
from tests.simulation.migrations import Migrations
from tests.simulation.plan import Fault, Plan
from tests.simulation.schedule import Agenda
from tests.simulation.supervisor import SECRET, Supervisor
from tests.simulation.trace import Trace
from tests.simulation.waits import Waits
from tests.simulation.worker import PATIENCE, Cell, Life, Surroundings, Worker
from tests.simulation.zygote import Zygote

DEADLINES = Deadlines(
    scan=0.5, preflight=0.5, prepare=1.2, inquire=0.2, activate=0.8, persist=0.4, reread=0.25,
    upgrade=0.3, fork=0.4, boot=3.0, zygote=0.6, graceful=1.0, quick=0.4, kill=0.4, rescue=3.0,
)  # fmt: skip
RHYTHM = Rhythm(heartbeat=0.5, silence=1.2, repeat=0.4)
RESTARTS = Restarts(delay=0.1, longest=0.4, intensity=3, period=2.0, parked=1.0)


class World(Surroundings):
    """Everything there is.

    Args:
        random: The only source of chance.
        plan: What goes wrong.
        trace: Remembers what happened.

    Attributes:
        delivered: Events handled by a machine.
        requested: Cutovers asked for.
        faults: Those that struck inside a cutover.
        outcomes: How each request ended, by ticket.
    """

    def __init__(self, random: Random, plan: Plan, trace: Trace) -> None:
        self.random = random
        self.plan = plan
        self.trace = trace
        self.agenda = Agenda()
        self.cell = Cell()
        self.journal = Journal()
        self.journal.mood = self._mood
        self.zygotes: dict[int, Zygote] = {}
        self.workers: list[Worker] = []
        self.invariants = Invariants(self)
        self.migrations = Migrations(self)
        self.waits = Waits(self, DEADLINES)
        self.journal.watch = self._on_written
        self.delivered = 0
        self.requested = 0
        self.faults: list[Fault] = []
        self.outcomes: dict[int, Outcome] = {}
        self.asked: dict[int, Supervisor] = {}
        self.disk = (0,) * len(PLUGINS)
        self.app = 0
        self.listen: tuple[str, ...] = ADDRESSES[:1]
        self.versions: dict[str, tuple[int, ...]] = {}
        self.flaw = Flaw.NONE
        self.wanted = plan.workers
        self.stopping = False
        self.healed = False
        self._versions_made = 0
        self._absent_until = 0.0
        self._crashing_until = 0.0
        self._disk_fails_until = 0.0
        self._cut_off: dict[int, float] = {}
        self._armed: Fault | None = None
        self.policy = Policy(
            on_silent_workers=SilentWorkers.KILL if plan.kill_silent else SilentWorkers.ABORT,
            preflight=plan.preflight,
            wave=plan.wave,
            numbers=plan.numbers,
            deadlines=DEADLINES,
            rhythm=RHYTHM,
            restarts=RESTARTS,
            limits=Limits(requests=plan.tires, requests_jitter=2),
        )
        self.tires = bool(plan.tires)
        self.salt = plan.lasts
        self._strikes: dict[Fault, Callable[[Fault], None]] = {
            Fault.WORKER_DIES: self._strike_worker,
            Fault.WORKER_FREEZES: self._strike_worker,
            Fault.WORKER_CUT_OFF: self._strike_worker,
            Fault.SUPERVISOR_DIES: lambda _: self.lose_supervisor(),
            Fault.DISK: self._break_disk,
            Fault.ZYGOTE_DIES: lambda _: self._lose_zygote(),
            Fault.SCALE: lambda _: self.scale(self.random.choice((0, 1, 2, 4, 5))),
            Fault.REQUEST: lambda _: self.edit_and_ask(),
            Fault.CRASH_LOOP: self._loop_crashes,
            Fault.UPGRADE: lambda _: self._ask_for_upgrade(),
            Fault.LATER_TERM: self._know_a_later_term,
        }
        self.supervisor = Supervisor(self, self.coordinator())
        self.new_content(Flaw.NONE)

    def _on_written(self, entry: JournalEntry) -> None:
        self.invariants.on_written(entry)
        if isinstance(entry, Committed):
            self.migrations.on_committed(entry.epoch)
            self.waits.committed()

    # ---- machines, made here so that a test can put broken ones in their place ----

    def coordinator(self) -> SupervisorMachine:
        """The supervisor's machine."""
        return SupervisorMachine(self.policy)

    def participant(self, identity: Identity) -> WorkerMachine:
        return WorkerMachine(identity, PATIENCE)

    # ---- time ----

    def run(self, until: float) -> None:
        """Let everything happen that is due until then, and check the promises after each step."""
        while self.agenda.step(until):
            self.check()

    def check(self) -> None:
        """What every moment must show."""
        self.invariants.check()
        self.waits.check()

    def note(self, who: str, what: object) -> None:
        self.trace.note(self.agenda.now, who, what)
        if who != "supervisor" and not isinstance(what, str):
            self.delivered += 1

    # ---- supervisors ----

    def boot(self) -> None:
        """Start a supervisor, after another one or as the first."""
        self.supervisor = Supervisor(self, self.coordinator())
        living = tuple(self.children())
        found = tuple(ZygoteFound(z.cohort, z.rolled) for z in self.zygotes.values() if z.alive and z.rolled and living)
        for zygote in self.zygotes.values():
            zygote.alive = zygote.alive and any(each.cohort == zygote.cohort for each in found)  # else nobody keeps it
        latest = {each.rolled: each.cohort for each in found}
        orphaned = tuple(child for child in living if child.worker.cohort not in latest.values())
        ending = any(zygote.alive and zygote.ending for zygote in self.zygotes.values())
        sure = found and not self.plan.zygote_fails and not ending
        told = orphaned if sure and self.random.random() < 0.3 else living
        self.supervisor.feed(
            events.Booted(self.journal.recover(), self.wanted, SECRET, max(self.zygotes, default=0), found, told)
        )
        for worker in self.living():
            self.agenda.after(self.random.uniform(0.01, 0.2), partial(self.subscribe, worker))

    def lose_supervisor(self) -> None:
        """The supervisor is killed, and another one comes."""
        if self.supervisor.alive:
            self.note("supervisor", "is killed")
            self.supervisor.die()
            self._absent_until = self.agenda.now + self.random.uniform(0.0, self.plan.absent)

    def _ask_for_upgrade(self) -> None:
        if self.supervisor.alive:
            self.supervisor.feed(events.UpgradeRequested(0, Origin(Trigger.COMMAND)))

    def rehearse(self) -> None:
        """Try another program in a child."""
        fit = self.random.random() < 0.8
        found = events.ImageRehearsed("2.0") if fit else events.ImageRefused("does not import")
        self.supervisor.later(self.random.uniform(0.01, 1.0), found)

    def execute(self) -> None:
        """Become another program, unless the system refuses."""
        if self.random.random() < 0.1:
            self.supervisor.later(0.2, events.ImageRefused("out of memory"))
            return
        self.agenda.after(0.2, partial(self._become_another, self.supervisor))

    def _become_another(self, before: Supervisor) -> None:
        if before is self.supervisor and before.alive and before.exited is None:
            self.note("supervisor", "executes another program")
            before.die()
            self._absent_until = self.agenda.now + self.random.uniform(0.0, 0.5)

    def tell_supervisor(self, delay: float, event: Event) -> None:
        """Let whichever supervisor lives then hear of something."""
        self.agenda.after(delay, lambda: self.supervisor.feed(event) if self.supervisor.alive else None)

    def watch_supervisor(self) -> None:
        """Be systemd: start a supervisor when none is there and nobody wanted it gone."""
        if not self.supervisor.alive and not self.stopping and self.agenda.now >= self._absent_until:
            self.boot()
        self.agenda.after(self.random.uniform(0.1, 0.4), self.watch_supervisor)

    # ---- wires ----

    def broadcast(self, message: SupervisorMessage) -> None:
        """Publish."""
        if isinstance(message, messages.Commit):
            self.invariants.on_told(message.stamp.epoch)
        dying = self._armed is Fault.DIES_IN_BROADCAST and not isinstance(message, messages.Pulse)
        for worker in self.workers:
            if worker.alive and not (dying and self.random.random() < 0.5):
                self._carry(worker, message)
        if dying:
            self._armed = None
            self.lose_supervisor()

    def unicast(self, worker: WorkerId, message: SupervisorMessage) -> None:
        """Publish to one worker's own topic."""
        self.migrations.on_sent(message)
        if isinstance(message, messages.HandOver):
            self.invariants.on_hand_over(worker, message.successors)
        for candidate in self.workers:
            if candidate.worker == worker and candidate.alive:
                self._carry(candidate, message)

    def _carry(self, worker: Worker, message: SupervisorMessage) -> None:
        for delay in self._delays(worker):
            self.agenda.after(delay, lambda: worker.hear(message))

    def report(self, worker: Worker, message: WorkerMessage) -> None:
        if isinstance(message, messages.Prepared):
            self.invariants.on_prepared(worker, message.stamp.epoch)
        for delay in self._delays(worker):
            self.tell_supervisor(delay, events.Received(message))

    def _delays(self, worker: Worker) -> tuple[float, ...]:
        plan, random = self.plan, self.random.random
        if self._cut_off and self._cut_off.get(worker.worker.incarnation, 0.0) > self.agenda.now:
            return ()
        if plan.loss and random() < plan.loss:
            return ()
        if plan.twice and random() < plan.twice:
            return (random() * plan.jitter, random() * plan.jitter * 4)
        return (random() * plan.jitter,)

    def subscribe(self, worker: Worker) -> None:
        """The supervisor sees a subscription."""
        if worker.alive and self.supervisor.alive:
            self.supervisor.feed(events.Subscribed(worker.worker))

    # ---- processes ----

    def living(self) -> Iterator[Worker]:
        """Every worker process that exists."""
        return (worker for worker in self.workers if worker.alive)

    def children(self) -> Iterator[Child]:
        """The same, as their zygotes would tell of them."""
        return (Child(each.worker, each.identity.pid, each.identity.rolled) for each in self.living())

    def start_zygote(self, cohort: int) -> None:
        """Start a zygote."""
        self.zygotes[cohort] = Zygote(self, cohort)
        self.zygotes[cohort].start()

    def zygote_fork(self, effect: effects.Fork) -> None:
        """Order a worker."""
        self.zygotes[effect.worker.cohort].fork(effect)

    def hold(self, worker: WorkerId) -> None:
        """Watch a worker that introduced itself; its death may have been told while nobody listened."""
        if not any(each.worker == worker for each in self.living()):
            self.tell_supervisor(0.0, events.WorkerExited(worker, None))

    def _lose_zygote(self) -> None:
        living = [zygote for zygote in self.zygotes.values() if zygote.alive]
        if living:
            self.random.choice(living).die()

    def begin_worker(self, identity: Identity) -> None:
        """A worker process exists."""
        worker = Worker(identity, self.agenda, self.random, self.cell, self)
        self.invariants.on_born(worker)
        self.workers = [other for other in self.workers if other.alive] + [worker]
        worker.begin()
        self.agenda.after(self.random.uniform(0.0, 0.05), lambda: self.subscribe(worker))
        if self.agenda.now < self._crashing_until:
            self.agenda.after(self.random.uniform(0.0, 0.3), lambda: self.die(worker, -6))

    def die(self, worker: Worker, status: int) -> None:
        if worker.alive:
            worker.bury()
            self.note(worker.name, f"dies ({status})")
            self.tell_supervisor(self.random.uniform(0.0, 0.05), events.WorkerExited(worker.worker, status))

    def signal(self, worker: WorkerId, signal: ProcessSignal) -> None:
        """Signal a worker."""
        for candidate in self.workers:
            if candidate.worker == worker and candidate.alive:
                if signal is ProcessSignal.KILL:
                    stuck = 1.5 if self.stopping and self.random.random() < 0.03 else 0.15
                    self.agenda.after(self.random.uniform(0.001, stuck), partial(self.die, candidate, -9))
                elif signal is ProcessSignal.QUIT and candidate.life is not Life.FROZEN:
                    self.agenda.after(self.random.uniform(0.01, 0.6), partial(self.die, candidate, 0))
                else:
                    candidate.leave()

    # ---- what machines do ----

    def is_committed(self, epoch: int) -> bool:
        """Whether `epoch` is on disk as committed."""
        return isinstance(self.journal.decisions.get(epoch), Committed)

    def store_cell(self, epoch: int, part: int) -> None:
        """Store into a word of the commit cell."""
        self.invariants.on_store(epoch, part)
        self.cell.words[part] = epoch
        if self._armed is Fault.DIES_AFTER_STORE:
            self._armed = None
            self.lose_supervisor()

    def resolve(self, ticket: int, outcome: Outcome) -> None:
        """Somebody hears how a request ended."""
        self.note("user", outcome)
        self.outcomes[ticket] = outcome
        self.invariants.on_resolved(ticket, outcome)

    def on_aborted(self, epoch: int) -> None:
        """Operators hear that an epoch was aborted."""
        self.invariants.on_aborted(epoch)

    def on_dispatch(self, worker: Worker, generation: Generation) -> None:
        self.invariants.on_dispatch(worker, generation)

    def on_done(self, worker: Worker, lease: Lease) -> None:
        self.invariants.on_done(worker, lease)

    def on_cut(self, worker: Worker, lease: Lease, code: int, reason: str) -> None:
        self.invariants.on_cut(worker, lease, code, reason)

    def on_answered(self, worker: Worker, heard: str, said: int) -> None:
        self.invariants.on_answered(worker, heard, said)

    def on_exported(self, worker: Worker, unit: UnitKey) -> None:
        self.invariants.on_exported(worker, unit)

    def hand_talk(self, successors: tuple[WorkerId, ...], said: int, state: bytes | None) -> None:
        taking = [each for each in self.living() if each.worker in successors and each.expecting and not each.yielding]
        if taking:
            taking[0].sessions.adopt(said, state)

    def on_switched(self, worker: Worker, old: Generation, new: Generation) -> None:
        self.invariants.on_switched(worker, new)

    def on_release(self, worker: Worker, units: tuple[UnitKey, ...]) -> None:
        self.invariants.on_release(worker, units)

    def on_accept(self, worker: Worker) -> None:
        self.invariants.on_accept(worker)

    def on_yield(self, worker: Worker) -> None:
        self.invariants.on_yield(worker)

    def hand_to(self, worker: WorkerId) -> None:
        for each in self.living():
            if each.worker == worker:
                each.take_over()

    def reachable(self, worker: WorkerId) -> bool:
        return any(each.worker == worker for each in self.living())

    def hits(self, worker: Worker, snapshot: Snapshot) -> bool:
        return bool(snapshot.label) and not self.healed and self.random.random() < 0.4

    def kills(self, snapshot: Snapshot) -> bool:
        return snapshot.label == Flaw.DIES.value and not self.healed

    # ---- migrating ----

    def migrates(self, snapshot: Snapshot) -> tuple[str, ...]:
        if not self.plan.migrates or self.plan.surge is not None:
            return ()
        fresh = (unit for unit in snapshot.units if isinstance(unit, PluginSpec) and unit.key.since == snapshot.epoch)
        return tuple(unit.key.ref.name for unit in fresh if snapshot.epoch > 1 and int(unit.version) % 2)

    def migration(self) -> tuple[float, Refusal | None]:
        failed = Refusal(Stage.PREPARE, RefusalFault.CONTRACT, "does not migrate")
        chance = 1.0 if self.healed or not self.plan.fault else self.random.random()
        if chance < 0.1:
            return DEADLINES.prepare * 1.5, failed
        return self.random.uniform(0.01, 0.3), failed if chance < 0.25 else None

    def on_migrate(self, worker: Worker, epoch: int) -> None:
        self.migrations.on_migrate(worker, epoch)

    def on_migrated(self, epoch: int) -> None:
        self.migrations.on_migrated(epoch)

    def on_unmigrated(self, worker: Worker, epoch: int) -> None:
        self.migrations.on_unmigrated(worker, epoch)

    # ---- people ----

    def new_content(self, flaw: Flaw) -> None:
        """Edit what is on disk."""
        self._versions_made += 1
        self.disk = changed(self.disk, self.random, self._versions_made)
        self.flaw = flaw
        if self.random.random() < self.plan.rolls:
            self.app = self._versions_made
        if self.plan.moves and self.random.random() < self.plan.moves:
            self.listen = tuple(self.random.sample(ADDRESSES, self.random.randint(1, len(ADDRESSES))))
        self.versions[name_of(self.disk, self.app, flaw)] = self.disk

    def edit_and_ask(self) -> None:
        """Edit, and ask for a cutover."""
        flawed = self.random.random() < self.plan.flawed
        self.new_content(self.random.choice(FLAWS) if flawed else Flaw.NONE)
        rolls_back = self.random.random() < 0.15
        self.ask(
            CutoverRequest(
                Origin(Trigger.HUP),
                Action.ROLLBACK if rolls_back else Action.RELOAD,
                if_epoch=self.journal.committed if self.random.random() < 0.1 else None,
                force=self.random.random() < 0.1,
                dry_run=self.random.random() < 0.05,
                batch=self.plan.batch,
                surge=self.plan.surge,
                allow_partial=self.plan.surge is not None,
            )
        )

    def ask(self, request: CutoverRequest) -> int:
        """Ask for a cutover."""
        self.requested += 1
        ticket = self.requested
        if request.force:
            origin = msgspec.structs.replace(request.origin, label=FORCED)
            request = msgspec.structs.replace(request, origin=origin)
        if self.supervisor.alive:
            self.asked[ticket] = self.supervisor
            self.supervisor.feed(events.CutoverRequested(ticket, request))
        return ticket

    def ask_to_stop(self, urgency: Urgency) -> None:
        """Ask the service to end."""
        if self.supervisor.alive:
            self.supervisor.feed(events.StopRequested(urgency))

    # ---- faults ----

    def on_phase(self) -> None:
        """A cutover entered a phase: a good moment for something to go wrong."""
        if self.random.random() < self.plan.fault:
            fault = self.random.choice(FAULTS)
            self.agenda.after(self.random.uniform(0.0, 0.06), lambda: self.strike(fault))

    def strike(self, fault: Fault) -> None:
        """Let it go wrong."""
        if self.plan.fault == 0.0:
            return
        if self.supervisor.alive and self.supervisor.machine.view().cutover is not cutover.State.IDLE:
            self.faults.append(fault)
        self.note("fault", fault.value)
        self._strikes.get(fault, self.strike_next)(fault)

    def strike_next(self, fault: Fault) -> None:
        """Let the supervisor die at its next store or broadcast."""
        self._armed = fault

    def _loop_crashes(self, _: Fault) -> None:
        self._crashing_until = self.agenda.now + self.random.uniform(0.3, 2.0)
        self._strike_worker(Fault.WORKER_DIES)

    def _break_disk(self, _: Fault) -> None:
        self._disk_fails_until = self.agenda.now + self.random.uniform(0.05, 1.5)

    def _know_a_later_term(self, _: Fault) -> None:
        """A worker once heard a supervisor that the journal forgot."""
        for worker in list(self.living())[:1]:
            stamp = Stamp(JOURNAL, self.supervisor.term + 1, worker.epoch)
            for delay in (0.0, 0.01, self.random.uniform(0.0, 0.5)):
                self.tell_supervisor(delay, events.Received(messages.Beat(stamp, worker.worker, 0)))

    def _strike_worker(self, fault: Fault) -> None:
        living = list(self.living())
        if not living:
            return
        worker = self.random.choice(living)
        if fault is Fault.WORKER_DIES:
            self.die(worker, -11)
        elif fault is Fault.WORKER_FREEZES:
            worker.freeze(self.random.choice((0.2, 0.8, 2.0)))
        else:
            self._cut_off[worker.worker.incarnation] = self.agenda.now + self.random.choice((0.3, 1.0, 2.5))

    def scale(self, slots: int) -> None:
        """Want so many workers."""
        if self.supervisor.alive:
            self.waits.scaled()
            self.supervisor.feed(events.ScaleRequested(slots))
            self.wanted = self.supervisor.machine.view().wanted

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        self.plan.heal()
        self.healed = True
        self.tires = False
        self._armed = None
        self._cut_off.clear()
        self._absent_until = self._crashing_until = 0.0
        self._disk_fails_until = 0.0
        self.note("world", "heals")

    def _mood(self, random: Random) -> Mood:
        if self.agenda.now < self._disk_fails_until:
            return random.choice((Mood.FAILS, Mood.FAILS_WRITTEN, Mood.MUTE, Mood.SLOW))
        return Mood.WELL


FAULTS = tuple(Fault)
FLAWS = (Flaw.REFUSES, Flaw.CRASHES, Flaw.HANGS, Flaw.DIES, Flaw.SLOW)
