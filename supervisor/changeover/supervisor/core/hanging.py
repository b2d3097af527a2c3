"""Workers that owe a response for too long: it is written down what they do, then they are replaced one by one.

A loop that beats says how old its oldest request is. A thread that hangs, or an endpoint that awaits
for ever, costs its worker a recycle. When every worker hangs, at a database that does not answer, fresh
workers would soon hang as well: each one that is replaced doubles the wait before the next.
"""

from collections.abc import Iterable

from changeover.supervisor.core.effects import DumpStacks
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.worker import WorkerHangs
from changeover.supervisor.core.roster import Member, Slot
from changeover.workers.protocol.messages import OwedResponse

FIRST = 30.0
"""Seconds between the first worker that is replaced and the next one."""
LONGEST = 3600.0
"""Seconds that it takes at most, however many were replaced before."""


class Hanging:
    """Finds workers that hang, and says which of them is to be replaced next, and when."""

    __slots__ = ("_deadline", "_inquire", "_out", "_replaced", "_replaced_at")

    def __init__(self, policy: Policy, out: Outbox) -> None:
        self._deadline = policy.limits.request
        self._inquire = policy.deadlines.inquire
        self._out = out
        self._replaced = 0
        self._replaced_at = 0.0

    def look(self, staff: Iterable[Slot]) -> None:
        """Have the stacks of those written down that hang, and tell operators, once for each."""
        for slot in staff:
            if slot.member is not None:
                self._look_at(slot, slot.member)

    def next(self, staff: Iterable[Slot]) -> Slot | None:
        """Whom to replace now: one that operators know of, when those before it were long enough ago."""
        if self._replaced and self._out.now - self._replaced_at < self._pause():
            return None
        return next((slot for slot in staff if slot.member is not None and slot.member.hangs), None)

    def replaced(self) -> None:
        """One is being replaced. After a time in which another would have been found the wait begins anew."""
        since = self._out.now - self._replaced_at
        anew = since > self._pause() + 2 * self._deadline
        self._replaced = 1 if anew else self._replaced + 1
        self._replaced_at = self._out.now

    def _pause(self) -> float:
        return min(LONGEST, FIRST * 2.0 ** min(self._replaced - 1, 16))

    def _look_at(self, slot: Slot, member: Member) -> None:
        request = None if member.beat is None else member.beat.owed
        if not self._deadline or request is None or request.age < self._deadline:
            if member.hangs:
                slot.note = ""
            if member.inquired is not None:
                member.inquired, member.hangs, member.stacks = None, "", ""
        elif member.inquired is None:
            member.inquired, member.stacks = self._out.now, ""
            self._out.put(DumpStacks(member.worker))
        elif not member.hangs and (member.stacks or self._out.now - member.inquired >= self._inquire):
            self._tell(slot, member, request)

    def _tell(self, slot: Slot, member: Member, request: OwedResponse) -> None:
        member.hangs = f"{request.path} is without a response for over {self._deadline:g} s"
        slot.note = f"{member.hangs}, it is to be replaced"
        self._out.tell(WorkerHangs(member.worker, member.pid, request, member.stacks))
        member.stacks = ""  # whatever it is asked next, these are old by then
