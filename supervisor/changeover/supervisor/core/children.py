"""What is done for each slot: order, wait, kill, wait for death, replace."""

import hashlib
import itertools
from collections.abc import Iterable, Iterator

from changeover.supervisor.core import child, restart, surplus
from changeover.supervisor.core.child import LEAVING, Cause, State
from changeover.supervisor.core.crashes import Crashes
from changeover.supervisor.core.effects import Fork, ProcessSignal, Signal
from changeover.supervisor.core.events import Child, Timer, TimerKind
from changeover.supervisor.core.joining import Joining
from changeover.supervisor.core.leaving import Leaving
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.staffing import LastSlotWaits, SlotParked, SlotWaits
from changeover.supervisor.core.records.worker import WorkerExited, WorkerForked
from changeover.supervisor.core.restart import Fate
from changeover.supervisor.core.roster import Member, Roster, Slot
from changeover.workers.protocol.identity import WorkerId

NOT_PARKED = "; not parked, because no other slot could serve"


def nonce(secret: str, worker: WorkerId) -> str:
    """What a worker that we ordered can say and nobody else: no state to keep, so a successor knows it too."""
    return hashlib.sha256(f"{secret}:{worker.incarnation}".encode()).hexdigest()[:32]


class Children:
    """Keeps every wanted slot filled.

    Args:
        policy: Deadlines and restart policy.
        roster: What it changes.
        ledger: Numbers and epochs.
        out: Where effects go.
        secret: What nonces are derived from.
    """

    __slots__ = (
        "_buried", "_cohorts", "_ledger", "_out", "_paces", "_policy", "_roster", "_secret", "complete",
        "crashes", "joining", "kept", "leaving", "rolled", "slots", "staffing", "words",
    )  # fmt: skip

    def __init__(self, policy: Policy, roster: Roster, ledger: Ledger, out: Outbox, secret: str) -> None:
        self._policy = policy
        self._roster = roster
        self._ledger = ledger
        self._out = out
        self._secret = secret
        self.leaving = Leaving(policy, roster, ledger, out)
        """Ends workers."""
        self.joining = Joining(policy.deadlines.boot, ledger, self.leaving, out)
        """Waits for those who come."""
        self.crashes = Crashes(policy.restarts, roster, ledger, out)
        """What their deaths say of what is committed."""
        # Lists of the living may be older than the news of a death. Our own dead need not be kept in mind.
        self._buried: set[int] = set()
        self._cohorts: dict[int, int] = {}
        """Roll -> the cohort whose zygote takes orders for its workers."""
        self._paces: dict[int, int] = {}
        """Roll -> how many of its workers may boot at once; all, where it is not named."""
        self.slots = 0
        """How many workers are wanted."""
        self.kept: int | None = None
        """How many of them are to be of those who serve what is committed; None is all, while there are no parts."""
        self.words: dict[int, int] = {}
        """Roll -> the word of the commit cell that its workers read; 0, where it is not named."""
        self.rolled: int | None = None
        """The roll whose workers serve; None before the first."""
        self.staffing = True
        """Whether slots are filled at all; not while the service stops."""
        self.complete = True
        """Whether it is known who lives: before that a slot may be somebody's who is not heard of yet."""

    # ---- filling ----

    def scale(self, slots: int) -> None:
        """Want so many slots: the oldest workers leave first, the lowest free numbers are filled first."""
        self.slots = slots
        if self.rolled is not None:
            self._shed(self.share)
            self.staff(self.rolled, self.share)

    @property
    def share(self) -> int:
        """How many workers are to serve what is committed."""
        return self.slots if self.kept is None else min(self.slots, self.kept)

    def staff(self, rolled: int, count: int, pace: int | None = None) -> frozenset[int]:
        """Have so many slots for the workers of a roll, and return the new ones.

        Args:
            rolled: The roll.
            count: How many.
            pace: How many of them boot at once, where it is not committed; None is all.
        """
        if pace is not None:
            self._paces[rolled] = pace
        missing = max(0, count - len(self._roster.wanted(rolled)))
        fresh = list(itertools.islice(self._free(), missing))
        for number in fresh:
            self._roster.open(number, rolled)
        self.fill()
        return frozenset(fresh)

    def open_relief(self, worn: Slot) -> None:
        """Have a further worker, which takes the place of a tired one; there must be room for it."""
        self._roster.open(next(self._free()), worn.rolled).relieves = worn.number
        self.fill()

    def relieve(self, slot: Slot, reason: str) -> None:
        """Let a worker hand over to the others that serve, and leave; where there is none, just leave."""
        slot.wanted = False
        if not self.leaving.tell_to_hand_over(slot, reason):
            self._give_up(slot, reason, ProcessSignal.TERM)

    def yields(self, slot: Slot) -> None:
        """A worker hands over; one that a former supervisor told to do so is not counted on any more."""
        if slot.wanted:
            slot.wanted = False
            self.leaving.let_hand_over(slot, "the supervisor before told it to hand over")
            self.scale(self.slots)

    def _free(self) -> Iterator[int]:
        return (number for number in range(self._policy.numbers) if number not in self._roster.slots)

    def succeed(self, rolled: int) -> None:
        """The workers of `rolled` serve; all others hand over to them, and leave."""
        self.rolled = rolled
        self._begin(rolled)
        parted = self._ledger.parted
        for slot in tuple(self._roster.slots.values()):
            if slot.rolled != rolled and (parted is None or slot.rolled != parted.rolled):
                self._replace(slot)
        self.scale(self.slots)

    def succeed_part(self, rolled: int, leaving: Iterable[int], kept: int) -> None:
        """The workers of `rolled` serve beside the others: those in the slots `leaving` hand over to them."""
        self._begin(rolled)
        self.kept = kept
        for slot in [self._roster.slots[number] for number in leaving if number in self._roster.slots]:
            if slot.member is not None:
                slot.member.heirs = rolled
            self._replace(slot)

    def _begin(self, rolled: int) -> None:
        """The workers of `rolled` serve from here on."""
        self._paces.clear()
        for slot in self._roster.wanted(rolled):
            slot.fresh = False

    def dismiss(self, slots: Iterable[int], reason: str, signal: ProcessSignal = ProcessSignal.QUIT) -> None:
        """The workers in these slots will not serve: they leave."""
        for slot in [self._roster.slots[number] for number in slots if number in self._roster.slots]:
            self._paces.pop(slot.rolled, None)
            self._give_up(slot, reason, signal)

    @property
    def free(self) -> int:
        """How many further slots there can be."""
        return max(0, self._policy.numbers - len(self._roster.slots))

    def take_orders(self, rolled: int, cohort: int) -> None:
        """A zygote takes orders for the workers of `rolled`."""
        self._cohorts[rolled] = cohort
        self.fill()

    def retry(self, *numbers: int) -> None:
        """Something else is to be served, or tried in these slots: those whose workers died are filled at once."""
        waiting = self._roster.in_state(State.BACKOFF, State.PARKED)
        for slot in (slot for slot in waiting if not numbers or slot.number in numbers):
            self._out.cancel_timer(Timer(TimerKind.CHILD, slot.number))
            slot.exits, slot.spared = (), False
            self._move(slot, Cause.RETRIED)
        self.fill()

    def refuse_orders(self, rolled: int) -> None:
        """No zygote takes orders for the workers of `rolled`."""
        self._cohorts.pop(rolled, None)

    def adopt_late(self, found: Child) -> bool:
        """Take over a worker that was heard of after the start; one that is too many leaves like any other."""
        adopted = self.adopt(found)
        if self.staffing:
            self.scale(self.slots)
        elif adopted:
            slot = self._roster.open(found.worker.slot, found.rolled)
            self._give_up(slot, "the service is stopping", ProcessSignal.TERM)
        return adopted

    def fill(self) -> None:
        """Order a worker for every vacant slot, when there is somebody to order from."""
        if not (self.staffing and self.complete):
            return
        for slot in self._roster.in_state(State.VACANT):
            if (cohort := self._cohorts.get(slot.rolled)) is not None and self._may_boot(slot.rolled):
                self._order(slot, cohort)

    def _may_boot(self, rolled: int) -> bool:
        booting = sum(member.prepared is None for member in self._roster.crew(rolled))
        return rolled not in self._paces or booting < self._paces[rolled]

    def _order(self, slot: Slot, cohort: int) -> None:
        worker = WorkerId(cohort, slot.number, self._ledger.incarnation())
        self._move(slot, Cause.ORDERED)
        slot.member = Member(worker, 0, self._out.now, slot.rolled)
        self._out.put(Fork(worker, nonce(self._secret, worker), slot.rolled, self.words.get(slot.rolled, 0)))
        self._wait(slot, self._policy.deadlines.fork)

    def adopt(self, found: Child) -> bool:
        """Take over a worker of a former supervisor; False when it is dead, or its slot filled or not wanted."""
        self._ledger.skip_incarnation(found.worker.incarnation)
        if self.is_buried(found.worker):
            return False
        slot = self._roster.open(found.worker.slot, found.rolled)
        if not child.TABLE.lists(slot.state, Cause.ADOPTED):
            return False
        self._move(slot, Cause.ADOPTED)
        slot.rolled = found.rolled
        slot.member = Member(found.worker, found.pid, self._out.now, found.rolled, adopted=True, age=found.age)
        self._wait(slot, self._policy.deadlines.boot)
        committed, parted = self._ledger.committed, self._ledger.parted
        if parted is not None and found.rolled == parted.rolled:
            return True
        if committed is None or found.rolled > committed.rolled:
            # What it may have migrated it undoes when it hears of the abort.
            self._give_up(slot, "its roll was not committed", ProcessSignal.TERM)
        elif found.rolled < committed.rolled:
            self._replace(slot)
        return True

    # ---- what their parents say ----

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

    def bury(self, worker: WorkerId) -> None:
        """Whoever tells that this worker lives is mistaken from here on."""
        if not self._ledger.is_ours(worker.incarnation):
            self._buried.add(worker.incarnation)

    def is_buried(self, worker: WorkerId) -> bool:
        """Whether this worker of a former supervisor is confirmed dead."""
        return worker.incarnation in self._buried

    def exited(self, slot: Slot, status: int | None, cause: str, *, at_once: bool = False) -> None:
        """A worker is confirmed dead, or was never born; `at_once`: the next one has something else to try."""
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
            why = member.refusal.line if member.refusal is not None else member.reason or cause
            (self._follow if at_once else self._failed)(slot, why)
        if not slot.wanted:
            self._roster.close(slot.number)
        self.fill()

    # ---- ending ----

    def dismiss_all(self, signal: ProcessSignal, reason: str) -> None:
        """Fill no slot any more, and tell every worker to leave, more urgently than before."""
        self.staffing = False
        for slot in tuple(self._roster.slots.values()):
            if signal is ProcessSignal.KILL:
                self.leaving.end(slot, reason)
            elif slot.state is State.STOPPING:
                self.leaving.order_out(slot, signal)
            self._give_up(slot, reason, signal)

    def overdue(self, slot: Slot) -> None:
        """A slot's timer fired: what was waited for did not happen, or a pause is over."""
        if slot.state in (State.BACKOFF, State.PARKED):
            self._move(slot, Cause.RETRIED)
            self.fill()
        elif slot.state in (State.BOOTING, State.JOINING):
            self.joining.overdue(slot)
        elif slot.state in LEAVING and slot.member is not None:
            self.leaving.press(slot, slot.member)

    # ---- inside ----

    def _follow(self, slot: Slot, cause: str) -> None:
        """A worker died, and the next one in its slot has something else: it comes at once, however many died."""
        exits = len(restart.recent(slot.exits, self._out.now, self._policy.restarts)) + 1
        self._move(slot, Cause.FAILED)
        slot.note = cause
        self._out.tell(SlotWaits(slot.number, 0.0, exits))
        self.retry(slot.number)

    def _failed(self, slot: Slot, cause: str) -> None:
        now, policy = self._out.now, self._policy.restarts
        slot.exits = (*restart.recent(slot.exits, now, policy), now)
        fate = restart.fate(slot.exits, now, policy, last=self._serves_alone(slot))
        slot.spared = fate is Fate.LAST
        slot.note = cause if fate is Fate.WAITS else f"{len(slot.exits)} exits in {policy.period:g} s ({cause})"
        self._move(slot, Cause.FAILED_AGAIN if fate is Fate.PARKED else Cause.FAILED)
        if fate is Fate.PARKED:
            seconds, slot.exits = policy.parked, ()
            self._out.tell(SlotParked(slot.number, slot.note, seconds))
        elif fate is Fate.LAST:
            seconds = restart.last_pause(slot.exits, now, policy)
            self._out.tell(LastSlotWaits(slot.number, slot.note, seconds))
            slot.note += NOT_PARKED
        else:
            seconds = restart.pause(slot.exits, now, policy)
            self._out.tell(SlotWaits(slot.number, seconds, len(slot.exits)))
        self._pause(slot, seconds)

    def _serves_alone(self, slot: Slot) -> bool:
        """Whether nothing that has served would do so any more if this slot was parked."""
        return self.joining.served and slot.rolled == self.rolled and self._roster.is_last(slot)

    def _pause(self, slot: Slot, seconds: float) -> None:
        slot.until = self._out.now + seconds
        self._wait(slot, seconds)

    def _shed(self, share: int) -> None:
        if self.rolled is not None:
            leaving = surplus.leaving_now(self._roster, self.rolled, share, self._ledger)
            for slot in leaving:
                slot.wanted = False
            for slot in leaving:
                self.relieve(slot, "fewer workers are wanted")

    def _replace(self, slot: Slot) -> None:
        """Have no worker in this slot any more, and let the one that is there hand over."""
        if slot.member is None:
            self._give_up(slot, "it is replaced", ProcessSignal.QUIT)
            return
        slot.wanted = False
        self.leaving.let_hand_over(slot, "it is replaced, and hands over")

    def _give_up(self, slot: Slot, reason: str, signal: ProcessSignal) -> None:
        slot.wanted = False
        if slot.member is not None:
            self.leaving.dismiss(slot, reason, signal)
            return
        if slot.state is not State.VACANT:
            self._out.cancel_timer(Timer(TimerKind.CHILD, slot.number))
            self._move(slot, Cause.RETRIED)
        self._roster.close(slot.number)

    def _wait(self, slot: Slot, seconds: float) -> None:
        self._out.set_timer(Timer(TimerKind.CHILD, slot.number), seconds)

    def _move(self, slot: Slot, cause: Cause) -> None:
        slot.state = child.TABLE.after(slot.state, cause)
