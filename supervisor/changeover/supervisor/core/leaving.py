"""How a worker is made to leave: it hands over, is told, is told to hurry, and is killed, each with a deadline."""

from collections.abc import Iterable

from changeover.supervisor.core import child
from changeover.supervisor.core.child import Cause, State
from changeover.supervisor.core.effects import DumpStacks, ProcessSignal, Signal
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.worker import WorkerKilled, WorkerStopping
from changeover.supervisor.core.roster import Member, Roster, Slot
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import UNORDERED, HandOver


class Leaving:
    """Ends workers, more urgently each time."""

    __slots__ = ("_ledger", "_out", "_policy", "_roster")

    def __init__(self, policy: Policy, roster: Roster, ledger: Ledger, out: Outbox) -> None:
        self._policy = policy
        self._roster = roster
        self._ledger = ledger
        self._out = out

    # ---- handing over ----

    def let_hand_over(self, slot: Slot, reason: str) -> None:
        """A worker was replaced, and knows by what is committed: leave it to hand over."""
        if slot.member is not None and child.TABLE.lists(slot.state, Cause.DISMISSED):
            self._move(slot, Cause.DISMISSED)
            slot.member.reason = slot.note = reason
            self._wait(slot, self._policy.deadlines.handover)

    def tell_to_hand_over(self, slot: Slot, reason: str, heirs: int | None = None) -> bool:
        """Tell a worker to hand over to the others that serve, or to those of a roll; False when there are none."""
        if slot.member is None or slot.state is not State.SERVING or not self._others(heirs or slot.rolled):
            return False
        slot.member.heirs = heirs or 0
        self._out.tell(WorkerStopping(slot.member.worker, slot.member.pid, reason))
        self.let_hand_over(slot, reason)
        self._say_hand_over(slot.member)
        return True

    def repeat(self, rolled: int | None) -> None:
        """Tell those of a roll again to hand over, for as long as they live: who takes over from them may change.

        While nobody could, one that has not begun goes on serving.
        """
        for slot in self._roster.in_state(State.STOPPING):
            member = slot.member
            if member is None or member.told is not None or (member.heirs or member.rolled) != rolled:
                continue
            if self._others(member.heirs or slot.rolled):
                self._say_hand_over(member)

    def _others(self, rolled: int) -> tuple[WorkerId, ...]:
        """The workers that serve, the youngest first: that one gets the state of plugins."""
        serving: Iterable[Slot] = (slot for slot in self._roster.wanted(rolled) if slot.state is State.SERVING)
        workers = (slot.member.worker for slot in serving if slot.member is not None)
        return tuple(sorted(workers, key=lambda worker: -worker.incarnation))

    def _say_hand_over(self, member: Member) -> None:
        stamp = self._ledger.stamp(self._ledger.epoch)
        self._out.unicast(member.worker, HandOver(stamp, UNORDERED, self._others(member.heirs or member.rolled)))

    # ---- being told ----

    def dismiss(self, slot: Slot, reason: str, signal: ProcessSignal = ProcessSignal.TERM) -> None:
        """Tell a worker to leave; it is made to when it does not."""
        if not child.TABLE.lists(slot.state, Cause.DISMISSED) or slot.member is None:
            return
        self._move(slot, Cause.DISMISSED)
        self._out.tell(WorkerStopping(slot.member.worker, slot.member.pid, reason))
        slot.member.reason = slot.note = reason
        self.order_out(slot, signal)

    def order_out(self, slot: Slot, signal: ProcessSignal) -> None:
        """Signal a worker that is to leave, and wait as long as it may take."""
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

    def press(self, slot: Slot, member: Member) -> None:
        """A worker did not leave in time: be more urgent."""
        if slot.state is State.KILLING:
            member.stackless = member.stackless or f"nobody had them within {self._policy.deadlines.inquire:g} s"
            self._strike(slot, member)
        elif member.told is None:
            self.order_out(slot, ProcessSignal.TERM)
        elif member.told is ProcessSignal.TERM:
            self.order_out(slot, ProcessSignal.QUIT)
        else:
            self.kill(slot, f"did not leave within {self._policy.deadlines.quick:g} s")

    # ---- being killed ----

    def kill(self, slot: Slot, reason: str) -> None:
        """Kill a worker, once it is written down what it was doing, or that cannot be had."""
        member = self._condemned(slot, reason)
        if member is None:
            return
        member.stackless = "" if member.pid else "nobody knows its process yet"
        if member.stacks or not member.pid:
            self._strike(slot, member)
        else:
            self._out.put(DumpStacks(member.worker))
            self._wait(slot, self._policy.deadlines.inquire)

    def stacks(self, slot: Slot, member: Member, stacks: str, missing: str) -> None:
        """It is written down what a worker was doing, or why that cannot be."""
        member.stacks, member.stackless = stacks, missing
        if slot.state is State.KILLING and member.told is not ProcessSignal.KILL:
            self._strike(slot, member)

    def end(self, slot: Slot, reason: str) -> None:
        """Kill a worker at once, also one whose stacks are waited for."""
        awaited = slot.state is State.KILLING
        member = self._condemned(slot, reason) or slot.member
        if member is not None:
            member.stackless = member.stackless or ("they were not written in time" if awaited else "")
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
            missing = "" if member.stacks else member.stackless
            self._out.tell(WorkerKilled(member.worker, member.pid, member.reason, member.stacks, missing))
        self.order_out(slot, ProcessSignal.KILL)

    def _wait(self, slot: Slot, seconds: float) -> None:
        self._out.set_timer(Timer(TimerKind.CHILD, slot.number), seconds)

    def _move(self, slot: Slot, cause: Cause) -> None:
        slot.state = child.TABLE.after(slot.state, cause)
