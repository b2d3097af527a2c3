"""The starred promises of the design, checked after every step of the simulation.

Each check names the promise that it guards. A failure is an `AssertionError` with the promise's
number, which the runner completes with the seed and the tail of the trace.
"""

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from changeover.supervisor.core import child
from changeover.supervisor.core.entries import (
    Committed,
    EpochGiven,
    JournalEntry,
    PreparingBegun,
    Retired,
    Trigger,
)
from changeover.supervisor.core.outcome import Committed as CommittedOutcome
from changeover.supervisor.core.outcome import Outcome, Refused
from changeover.supervisor.core.view import Role
from changeover.workers.generation.switch import Generation
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import EMPTY, Snapshot, UnitKey
from changeover.workers.serving.lease import Lease
from tests.simulation.contents import FORCED, PLUGINS, versions_of
from tests.simulation.sessions import BOUND, DRAIN, RESTART
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World


ROUNDING = 1e-9


class PromiseBroken(AssertionError):
    """A promise of the design does not hold.

    Attributes:
        number: Which.
    """

    def __init__(self, number: int, what: str) -> None:
        self.number = number
        super().__init__(f"promise {number} is broken: {what}")


def require(holds: bool, number: int, what: str) -> None:
    """Fail naming the promise unless it holds."""
    if not holds:
        raise PromiseBroken(number, what)


def versions(snapshot: Snapshot) -> dict[str, int]:
    """Plugin -> its version."""
    return dict(zip(PLUGINS, versions_of(snapshot), strict=False))


class Invariants:
    """Everything that must hold at any time.

    Args:
        world: What is watched.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.served: dict[int, int] = {}
        self.highest_given = 0
        self.words = [0, 0]
        self.agreed: dict[WorkerId, int] = {}
        self.told_all = 0
        self.resolved: set[int] = set()
        self.shunned: set[tuple[str, int]] = set()
        self.taken = EMPTY
        self.told_to_yield: set[WorkerId] = set()
        self.rehearsed: set[int] = set()
        self.opened: set[int] = set()

    # ---- promise 1: epochs are ordered and never reused; a decision is on disk before anything acts on it ----

    def on_written(self, entry: JournalEntry) -> None:
        """Something is on disk."""
        journal = self.world.journal
        if isinstance(entry, EpochGiven):
            require(entry.epoch > self.highest_given, 1, f"epoch {entry.epoch} was given again")
            self.highest_given = entry.epoch
            self._rescued_once(entry)
        elif isinstance(entry, PreparingBegun):
            self._rehearsed_first(entry.epoch)
            self.opened.add(entry.epoch)
        elif isinstance(entry, Committed):
            require(entry.epoch in journal.given, 1, f"epoch {entry.epoch} was committed and never given")
            self._all_prepared(entry.epoch)
            self._nothing_comes_back(entry.epoch)
        elif isinstance(entry, Retired):
            self._nobody_holds(entry.epoch)

    def on_store(self, epoch: int, part: int) -> None:
        """A word of the commit cell gets a value."""
        require(self.world.is_committed(epoch), 1, f"the cell says {epoch}, which is not on disk as committed")
        require(epoch >= self.words[part], 1, f"the cell goes back from {self.words[part]} to {epoch}")
        self.words[part] = epoch
        if part != self.world.journal.snapshot(epoch).part:
            require(self.world.journal.whole(epoch), 2, f"{epoch} is of a part, and is stored for the others")
            for worker in self._serving(part):
                require(self._replaced(worker), 2, f"{worker.name} can dispatch nothing, and nothing replaces it")

    def on_listen(self, addresses: tuple[str, ...], bound: set[str]) -> None:
        """Whatever is listened on beside `addresses` goes."""
        journal = self.world.journal
        committed = journal.snapshot(journal.committed)
        require(
            committed.listens_as(msgspec.structs.replace(committed, listen=addresses)), 1, f"{addresses} is not on disk"
        )
        require(set(addresses) <= bound, 2, f"epoch {committed.epoch} is to be served at {addresses}, bound is {bound}")

    def on_told(self, epoch: int) -> None:
        """Workers are told that `epoch` is committed."""
        require(self.world.is_committed(epoch), 1, f"workers are told of {epoch}, which is not on disk as committed")
        self.told_all = max(self.told_all, epoch)

    # ---- promise 2: all or nothing ----

    def _all_prepared(self, epoch: int) -> None:
        given = self.world.journal.given[epoch]
        for part in (0, 1):
            if part == given.candidate.part or (given.part is not None and given.part.last):
                for worker in self._serving(part):
                    self._has_answered(worker, epoch)

    def on_prepared(self, worker: Worker, epoch: int) -> None:
        """A worker says that it has prepared, or agreed to hand over."""
        if worker.identity.rolled < self.world.journal.snapshot(epoch).rolled:
            self.agreed[worker.worker] = epoch

    def _serving(self, part: int) -> list[Worker]:
        """Who reads a word of the cell, and begins requests, or thinks so."""
        living = [worker for worker in self.world.living() if worker.identity.part == part]
        return [worker for worker in living if worker.accepting and not worker.yielding]

    def _has_answered(self, worker: Worker, epoch: int) -> None:
        prepared = worker.switch.prepared
        ready = worker.epoch >= epoch or (prepared is not None and prepared.epoch == epoch)
        agreed = worker.machine.prepared == epoch
        require(
            agreed or ready or self._replaced(worker),
            2,
            f"epoch {epoch} is committed, and {worker.name} lives and has neither prepared it nor agreed to it",
        )

    def on_born(self, worker: Worker) -> None:
        """A worker process exists."""
        number, numbers = worker.worker.slot, self.world.plan.numbers
        require(number < numbers, 2, f"{worker.name} has slot {number} of {numbers}, and no word on the shared page")
        rolled = worker.identity.rolled
        require(rolled in self.opened, 8, f"{worker.name} is there before anybody may be asked for epoch {rolled}")

    def on_accept(self, worker: Worker) -> None:
        """A worker begins to accept connections."""
        require(worker.epoch > 0, 2, f"{worker.name} accepts before it serves anything committed")

    def _replaced(self, worker: Worker) -> bool:
        """Whether others have taken its place, whether or not it knows: by a roll in its word, or in a part's."""
        journal, word = self.world.journal, self.words[worker.identity.part]
        agreed = self.agreed.get(worker.worker, 0)
        rolled = bool(word) and worker.identity.rolled < journal.snapshot(word).rolled
        return rolled or worker.worker in self.told_to_yield or self.world.is_committed(agreed)

    def on_yield(self, worker: Worker) -> None:
        """A worker begins to hand its connections over."""
        require(self._replaced(worker) or not worker.accepting, 2, f"{worker.name} yields, and nothing replaces it")

    def on_hand_over(self, worker: WorkerId, successors: tuple[WorkerId, ...]) -> None:
        """A worker is told to hand over."""
        self.told_to_yield.add(worker)
        require(bool(set(successors) - {worker}), 2, f"{worker} is to hand over to nobody")

    def on_resolved(self, ticket: int, outcome: Outcome) -> None:
        """Somebody is told how a wish ended."""
        require(ticket not in self.resolved, 2, f"request {ticket} had its outcome already")
        self.resolved.add(ticket)
        if isinstance(outcome, CommittedOutcome):
            require(self.world.is_committed(outcome.serving), 1, f"{outcome.serving} is told and not on disk")
            rolled = self.world.journal.snapshot(outcome.serving).rolled
            for worker in self.world.living():
                if worker.accepting and worker.identity.rolled == rolled and not worker.yielding:
                    serves = worker.epoch >= outcome.serving or self._is_named(worker, outcome)
                    require(serves, 2, f"{outcome.serving} is told, {worker.name} lacks it")
        elif isinstance(outcome, Refused) and outcome.epoch is not None:
            self.on_aborted(outcome.epoch)

    def _is_named(self, worker: Worker, outcome: CommittedOutcome) -> bool:
        """Whether it is told as well that this worker, which nobody has heard to serve yet, is still to come."""
        slots = self.world.supervisor.machine.view().slots
        joins = any(slot.worker == worker.worker and slot.state is child.State.JOINING for slot in slots)
        return joins and worker.worker.slot in {missing.slot for missing in outcome.missing}

    def on_aborted(self, epoch: int) -> None:
        """Somebody is told that `epoch` serves nobody."""
        require(not self.world.is_committed(epoch), 2, f"epoch {epoch} is told as refused, and is committed")

    # ---- promise 3: one commit point ----

    def on_dispatch(self, worker: Worker, generation: Generation) -> None:
        """A request begins."""
        epoch, cell = generation.epoch, worker.word.read()
        require(epoch == cell, 3, f"{worker.name} began a request on {epoch}, the cell says {cell}")
        require(epoch >= self.told_all, 3, f"{worker.name} began a request on {epoch}, all are told of {self.told_all}")
        require(not (generation.snapshot.keys() & worker.released), 6, f"{worker.name} dispatches to a released unit")

    # ---- promise 4: one request, one generation ----

    def on_done(self, worker: Worker, lease: Lease) -> None:
        """A request ends."""
        gone = lease.units.keys & worker.released
        require(not gone, 4, f"{worker.name} lost {sorted(map(str, gone))} under a request of epoch {lease.epoch}")

    def on_cut(self, worker: Worker, lease: Lease, code: int, reason: str) -> None:
        """A worker ends a WebSocket, in words: in a swap by the residency bound alone, in a roll past its deadline."""
        require((code, bool(reason)) == (RESTART, True), 4, f"{worker.name} closed a websocket with {code} {reason!r}")
        copies = Counter(unit.ref for unit in worker.resident)
        if any(copies[unit.ref] > BOUND for unit in lease.units.keys - worker.switch.current.snapshot.keys()):
            return
        require(worker.yielding, 4, f"{worker.name} stays, and ended a websocket of epoch {lease.epoch}: {reason}")
        held = self.world.agenda.now - worker.yielding_since
        early = f"{worker.name} ended a websocket of epoch {lease.epoch} {held:.2f} s after it began to leave: {reason}"
        require(held >= DRAIN.websocket - ROUNDING, 4, early)

    def on_exported(self, worker: Worker, unit: UnitKey) -> None:
        """A version of the plugin lets go of a connection of the raw protocol."""
        serves = unit in worker.switch.current.registry.units
        require(worker.yielding or not serves, 4, f"{worker.name} took a connection away from {unit}, which serves it")
        require(unit not in worker.released, 4, f"{worker.name} asks {unit} for its state, which is released")

    # ---- promise 7: a cutover closes no connection ----

    def on_answered(self, worker: Worker, heard: str, said: int) -> None:
        """A client of the raw protocol hears how many of its messages the service knows of."""
        require(heard == str(said), 7, f"{worker.name} knows of {heard} messages on a connection with {said}")

    # ---- promise 5: registry before epoch ----

    def on_switched(self, worker: Worker, new: Generation) -> None:
        """A pointer moved."""
        sound = new.registry == Registry.of(new.snapshot)
        require(sound, 5, f"{worker.name} publishes another registry at {new.epoch}")

    # ---- promise 6: released after drained ----

    def on_release(self, worker: Worker, units: tuple[UnitKey, ...]) -> None:
        """Units are unloaded in a worker."""
        serving = worker.switch.current.snapshot.keys()
        for unit in units:
            require(unit not in worker.released, 6, f"{worker.name} releases {unit} twice")
            require(unit not in serving, 6, f"{worker.name} releases {unit}, which it serves")
            require(unit not in worker.draining, 6, f"{worker.name} releases {unit}, which is in use")

    def _nobody_holds(self, epoch: int) -> None:
        journal = self.world.journal
        # Nobody may be left of a part, so that it ends without being superseded.
        successor = journal.successor(epoch) or (None if journal.whole(epoch) else journal.committed)
        if successor is None:
            raise PromiseBroken(6, f"epoch {epoch} is retired and nothing superseded it")
        parted = journal.parted()
        gone = journal.snapshot(epoch).keys() - journal.snapshot(successor).keys()
        if parted is not None and parted.epoch > epoch:
            gone -= parted.candidate.keys()
        for worker in self.world.living():
            held = gone & (worker.switch.current.snapshot.keys() | worker.resident - worker.prepared_keys())
            require(not held, 6, f"epoch {epoch} is retired, {worker.name} holds {sorted(map(str, held))}")
            require(worker.epoch != epoch, 6, f"epoch {epoch} is retired, {worker.name} serves it")

    # ---- promise 8: plugins run in a process apart first ----

    def on_rehearse(self, candidate: Snapshot, beside: Snapshot | None) -> None:
        """A process is to rehearse a candidate."""
        require(self.world.policy.preflight, 8, f"epoch {candidate.epoch} is rehearsed, and nobody wants that")
        alone = beside == EMPTY
        require(
            candidate.is_roll is alone, 8, f"epoch {candidate.epoch} is rehearsed beside what its workers never had"
        )

    def on_phase(self, rehearses: int | None) -> None:
        """A cutover enters a phase, or the supervisor leaves; a rehearsal is over by then, or has not begun."""
        require(rehearses is None, 8, f"epoch {rehearses} is still rehearsed, and nobody waits for that")

    def _rehearsed_first(self, epoch: int) -> None:
        given, journal = self.world.journal.given[epoch], self.world.journal
        serving = journal.snapshot(journal.committed) if journal.committed else EMPTY
        if given.candidate.is_roll:
            unrehearsed = versions(given.candidate) != versions(serving)
            rehearsed = unrehearsed and given.origin.trigger is not Trigger.RESCUE
        else:
            rehearsed = given.part is None and given.candidate.digest != serving.digest
        if self.world.policy.preflight:
            missed = "nobody rehearsed" if rehearsed else "was rehearsed for nothing"
            require((epoch in self.rehearsed) is rehearsed, 8, f"workers are asked for epoch {epoch}, which {missed}")

    # ---- promise 10: a worker's death loses only the requests in it ----

    def on_fewer_slots(self) -> None:
        """A slot was parked, or another number is wanted, or a worker is gone."""
        supervisor = self.world.supervisor
        serving = [slot.state for slot in supervisor.machine.view().slots if slot.role is Role.CURRENT]
        given_up = bool(serving) and all(state is child.State.PARKED for state in serving)
        require(not (supervisor.served and given_up), 10, "all slots are parked, and what serves boots")

    # ---- promise 11: what was rolled back stays away ----

    def _nothing_comes_back(self, epoch: int) -> None:
        given, before = self.world.journal.given[epoch], versions(self.taken)
        if epoch <= self.taken.epoch or not self.world.journal.whole(epoch):
            return
        self.taken = given.candidate
        after = versions(self.taken)
        left, come = set(before.items()) - set(after.items()), set(after.items()) - set(before.items())
        if given.restores is not None:
            self.shunned = (self.shunned | left) - come
            return
        if FORCED not in given.origin.label:
            back = sorted(self.shunned & come)
            require(not back, 11, f"epoch {epoch} brings {back} back, and nobody forced it")
        changed = {name for name, _ in come}
        self.shunned = {(name, version) for name, version in self.shunned if name not in changed}

    def _rescued_once(self, entry: EpochGiven) -> None:
        """There is no way back from a way back: what that set aside is held."""
        if entry.origin.trigger is Trigger.RESCUE:
            journal = self.world.journal
            serving = journal.given[journal.given[journal.committed].candidate.rolled]
            require(serving.restores is None, 11, f"epoch {entry.epoch} rescues from a rollback")

    # ---- after every step ----

    def check(self) -> None:
        """What every moment must show."""
        for worker in self.world.workers:
            if not worker.alive:
                continue
            current = worker.switch.current
            epoch = current.registry.epoch
            before = self.served.get(worker.worker.incarnation, 0)
            if epoch == before:
                continue
            require(epoch > before, 1, f"{worker.name} goes back from {before} to {epoch}")
            cell = worker.word.read()
            require(epoch <= cell, 3, f"{worker.name} serves {epoch}, the cell says {cell}")
            require(self.world.is_committed(epoch), 2, f"{worker.name} serves {epoch}, which was never committed")
            self.served[worker.worker.incarnation] = epoch
            require(current.registry.epoch == current.snapshot.epoch, 5, f"{worker.name} has two epochs at once")
