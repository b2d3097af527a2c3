"""What is done for each slot: order, wait, kill, wait for death, replace."""

import hashlib
import itertools

from changeover.supervisor.core import child, restart
from changeover.supervisor.core.child import Cause, State
from changeover.supervisor.core.effects import DumpStacks, Fork, ProcessSignal, Signal
from changeover.supervisor.core.events import Child, Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records import (
    SlotParked,
    SlotWaits,
    WorkerExited,
    WorkerForked,
    WorkerKilled,
    WorkerServing,
    WorkerStopping,
)
from changeover.supervisor.core.roster import Member, Roster, Slot
from changeover.workers.protocol.identity import WorkerId


def nonce(secret: str, worker: WorkerId) -> str:
    """What a worker that we ordered can say and nobody else: no state to keep, so a successor knows it too."""
    return hashlib.sha256(f"{secret}:{worker.incarnation}".encode()).hexdigest()[:32]


def departing(roster: Roster, slots: int) -> tuple[Slot, ...]:
    """The slots to give up when only `slots` are wanted: those without a worker first, then the oldest workers."""
    wanted = sorted(roster.wanted(), key=lambda slot: -1 if slot.member is None else slot.member.incarnation)
    return tuple(wanted[: max(0, len(wanted) - slots)])


class Children:
    """Keeps every wanted slot filled.

    Args:
        policy: Deadlines and restart policy.
        roster: What it changes.
        ledger: Numbers and epochs.
        out: Where effects go.
        secret: What nonces are derived from.
    """

    __slots__ = ("_buried", "_ledger", "_out", "_policy", "_roster", "_secret", "_slots", "cohort", "staffing")

    def __init__(self, policy: Policy, roster: Roster, ledger: Ledger, out: Outbox, secret: str) -> None:
        self._policy = policy
        self._roster = roster
        self._ledger = ledger
        self._out = out
        self._secret = secret
        self._slots = 0
        # Lists of the living may be older than the news of a death. Our own dead need not be kept in mind.
        self._buried: set[int] = set()
        self.cohort: int | None = None
        """The cohort whose zygote takes orders; None while none does."""
        self.staffing = True
        """Whether slots are filled at all; not while the service stops."""

    # ---- filling ----

    def scale(self, slots: int) -> None:
        """Want so many slots: the oldest workers leave first, the lowest free numbers are filled first."""
        self._slots = slots
        self._shed()
        missing = slots - len(self._roster.wanted())
        free = (number for number in itertools.count() if number not in self._roster.slots)
        for number in list(itertools.islice(free, missing)):
            self._roster.open(number)
        self.fill()

    def adopt_late(self, found: Child) -> bool:
        """Take over a worker that was heard of after the start; one that is too many leaves like any other."""
        adopted = self.adopt(found)
        if self.staffing:
            self._shed()
        elif adopted:
            self._give_up(self._roster.open(found.worker.slot), "the service is stopping", ProcessSignal.TERM)
        return adopted

    def fill(self) -> None:
        """Order a worker for every vacant slot, when there is somebody to order from."""
        if self.cohort is None or not self.staffing:
            return
        for slot in self._roster.in_state(State.VACANT):
            worker = WorkerId(self.cohort, slot.number, self._ledger.incarnation())
            self._move(slot, Cause.ORDERED)
            slot.member = Member(worker, 0, self._out.now)
            self._out.put(Fork(worker, nonce(self._secret, worker)))
            self._wait(slot, self._policy.deadlines.fork)

    def adopt(self, found: Child) -> bool:
        """Take over a worker of a former supervisor; False when it is dead, or its slot filled or not wanted."""
        self._ledger.skip_incarnation(found.worker.incarnation)
        if found.worker.incarnation in self._buried:
            return False
        slot = self._roster.open(found.worker.slot)
        if not child.TABLE.lists(slot.state, Cause.ADOPTED):
            return False
        self._move(slot, Cause.ADOPTED)
        slot.member = Member(found.worker, found.pid, self._out.now)
        self._wait(slot, self._policy.deadlines.boot)
        return True

    # ---- what workers and their parents say ----

    def forked(self, worker: WorkerId, pid: int) -> None:
        """A process exists."""
        slot = self._roster.find(worker)
        if slot is None or slot.member is None:
            # Ordered, given up, and born all the same: nobody would ever wait for it.
            self._out.put(Signal(worker, ProcessSignal.KILL))
            return
        booting = slot.state is State.FORKING
        self._move(slot, Cause.FORKED)
        slot.member.pid = pid
        self._out.tell(WorkerForked(worker, pid))
        if slot.member.told is not None:
            self._out.put(Signal(worker, slot.member.told))
        elif booting:
            self._wait(slot, self._policy.deadlines.boot)

    def greeted(self, slot: Slot) -> None:
        """A worker said Hello."""
        fresh = slot.state in (State.FORKING, State.BOOTING)
        self._move(slot, Cause.GREETED)
        if fresh:
            self._wait(slot, self._policy.deadlines.boot)

    def serves(self, slot: Slot) -> None:
        """A worker said that it serves what is committed."""
        fresh = slot.state is State.JOINING
        self._move(slot, Cause.SERVES)
        if fresh and slot.member is not None:
            self._out.cancel_timer(Timer(TimerKind.CHILD, slot.number))
            slot.note = ""
            self._out.tell(WorkerServing(slot.member.worker, slot.member.pid, slot.member.epoch))

    def reprieve(self, slot: Slot) -> None:
        """A worker that had nothing to build has something now: its deadline begins."""
        if slot.state is State.JOINING:
            self._wait(slot, self._policy.deadlines.boot)

    def bury(self, worker: WorkerId) -> None:
        """Whoever tells that this worker lives is mistaken from here on."""
        if not self._ledger.is_ours(worker.incarnation):
            self._buried.add(worker.incarnation)

    def exited(self, slot: Slot, status: int | None, cause: str) -> None:
        """A worker is confirmed dead, or was never born."""
        member = slot.member
        if member is None:
            return
        expected = slot.state is State.STOPPING or not slot.wanted
        self._out.tell(WorkerExited(member.worker, member.pid, status, expected))
        self._out.cancel_timer(Timer(TimerKind.CHILD, slot.number))
        slot.member = None
        if expected:
            self._move(slot, Cause.LEFT)
        else:
            self._failed(slot, member.reason or cause)
        if not slot.wanted:
            self._roster.close(slot.number)
        self.fill()

    # ---- ending ----

    def dismiss(self, slot: Slot, reason: str, signal: ProcessSignal = ProcessSignal.TERM) -> None:
        """Tell a worker to leave; it is made to when it does not."""
        if not child.TABLE.lists(slot.state, Cause.DISMISSED) or slot.member is None:
            return
        self._move(slot, Cause.DISMISSED)
        self._out.tell(WorkerStopping(slot.member.worker, slot.member.pid, reason))
        slot.member.reason = slot.note = reason
        self._order_out(slot, signal)

    def kill(self, slot: Slot, reason: str) -> None:
        """Kill a worker, once it is written down what it was doing, or that cannot be had."""
        member = self._condemned(slot, reason)
        if member is None:
            return
        if member.stacks or not member.pid:
            self._strike(slot, member)
        else:
            self._out.put(DumpStacks(member.worker))
            self._wait(slot, self._policy.deadlines.inquire)

    def stacks(self, slot: Slot, member: Member, stacks: str) -> None:
        """It is written down what a worker was doing, or cannot be."""
        member.stacks = stacks
        if slot.state is State.KILLING and member.told is not ProcessSignal.KILL:
            self._strike(slot, member)

    def dismiss_all(self, signal: ProcessSignal, reason: str) -> None:
        """Fill no slot any more, and tell every worker to leave, more urgently than before."""
        self.staffing = False
        for slot in tuple(self._roster.slots.values()):
            if signal is ProcessSignal.KILL:
                self._end(slot, reason)
            elif slot.state is State.STOPPING:
                self._order_out(slot, signal)
            self._give_up(slot, reason, signal)

    def overdue(self, slot: Slot) -> None:
        """A slot's timer fired: what was waited for did not happen, or a pause is over."""
        if slot.state in (State.BACKOFF, State.PARKED):
            self._move(slot, Cause.RETRIED)
            self.fill()
        elif slot.state is State.JOINING and self._ledger.current is None:
            self._wait(slot, self._policy.deadlines.boot)
        elif slot.state in (State.BOOTING, State.JOINING):
            self.kill(slot, f"did not serve within {self._policy.deadlines.boot:g} s")
        elif slot.state is State.STOPPING and slot.member is not None:
            self._press(slot, slot.member)
        elif slot.state is State.KILLING and slot.member is not None:
            self._strike(slot, slot.member)

    # ---- inside ----

    def _press(self, slot: Slot, member: Member) -> None:
        if member.told is ProcessSignal.TERM:
            self._order_out(slot, ProcessSignal.QUIT)
        else:
            self.kill(slot, f"did not leave within {self._policy.deadlines.quick:g} s")

    def _end(self, slot: Slot, reason: str) -> None:
        member = self._condemned(slot, reason) or slot.member
        if member is not None:
            self._strike(slot, member)

    def _condemned(self, slot: Slot, reason: str) -> Member | None:
        if not child.TABLE.lists(slot.state, Cause.CONDEMNED) or slot.member is None:
            return None
        self._move(slot, Cause.CONDEMNED)
        slot.member.reason = slot.note = reason
        slot.member.told = None
        return slot.member

    def _strike(self, slot: Slot, member: Member) -> None:
        if member.told is not ProcessSignal.KILL:
            self._out.tell(WorkerKilled(member.worker, member.pid, member.reason, member.stacks))
        self._order_out(slot, ProcessSignal.KILL)

    def _order_out(self, slot: Slot, signal: ProcessSignal) -> None:
        deadlines = self._policy.deadlines
        if slot.member is None:
            return
        slot.member.told = signal
        self._out.put(Signal(slot.member.worker, signal))
        patience = {
            ProcessSignal.TERM: deadlines.graceful,
            ProcessSignal.QUIT: deadlines.quick,
            ProcessSignal.KILL: deadlines.kill,
        }
        self._wait(slot, patience[signal])

    def _failed(self, slot: Slot, cause: str) -> None:
        now, policy = self._out.now, self._policy.restarts
        slot.exits = (*restart.recent(slot.exits, now, policy), now)
        if restart.too_often(slot.exits, now, policy):
            self._move(slot, Cause.FAILED_AGAIN)
            slot.note = f"{len(slot.exits)} exits in {policy.period:g} s ({cause})"
            self._out.tell(SlotParked(slot.number, slot.note, policy.parked))
            self._pause(slot, policy.parked)
            slot.exits = ()
            return
        self._move(slot, Cause.FAILED)
        slot.note = cause
        seconds = restart.pause(slot.exits, now, policy)
        self._out.tell(SlotWaits(slot.number, seconds, len(slot.exits)))
        self._pause(slot, seconds)

    def _pause(self, slot: Slot, seconds: float) -> None:
        slot.until = self._out.now + seconds
        self._wait(slot, seconds)

    def _shed(self) -> None:
        for slot in departing(self._roster, self._slots):
            self._give_up(slot, "fewer workers are wanted", ProcessSignal.TERM)

    def _give_up(self, slot: Slot, reason: str, signal: ProcessSignal) -> None:
        slot.wanted = False
        if slot.member is not None:
            self.dismiss(slot, reason, signal)
            return
        if slot.state is not State.VACANT:
            self._out.cancel_timer(Timer(TimerKind.CHILD, slot.number))
            self._move(slot, Cause.RETRIED)
        self._roster.close(slot.number)

    def _wait(self, slot: Slot, seconds: float) -> None:
        self._out.set_timer(Timer(TimerKind.CHILD, slot.number), seconds)

    def _move(self, slot: Slot, cause: Cause) -> None:
        slot.state = child.TABLE.after(slot.state, cause)
