"""Workers beyond their memory limit: what a leak made so is replaced, what was born so cannot be helped by another one.

Who is beyond the limit soon after its birth may have grown fast, and is replaced at once. When the next one is, too, a
fresh worker is larger than the limit, and would be replaced by one that is as large, over and over: it is told of,
stays for a while, and each such worker that is replaced doubles the while. Unless it goes on growing after that first
time: a fresh worker comes to an end of its growth, and a leak does not. How large it has become by then is no leak's
doing that anybody could tell from that of an application that warms up.
"""

from collections.abc import Iterable

from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.records.worker import MemoryLimitLow
from changeover.supervisor.core.roster import Member, Slot

SOON = 60.0
"""Seconds after its birth up to which a worker's size may be that of any fresh one; also the first pause."""
LONGEST = 3600.0
"""Seconds that a pause lasts at most, however many were replaced before."""
LEAKS = 1.5
"""Who holds so many times what a fresh worker comes to is replaced whatever pause there is."""


class Outgrown:
    """Finds workers beyond the limit, and says when one of them is to be replaced.

    Args:
        limit: Bytes; 0 for none.
        out: Takes what operators hear.
    """

    __slots__ = ("_limit", "_out", "_reached", "_replaced", "_replaced_at", "_told")

    def __init__(self, limit: int, out: Outbox) -> None:
        self._limit = limit
        self._out = out
        self._replaced = 0
        """Workers in a row that were replaced so soon."""
        self._replaced_at = 0.0
        self._reached = 0
        """Bytes that the last of them that did not leak held at its end."""
        self._told: set[int] = set()
        """Incarnations that operators know of."""

    def look(self, staff: Iterable[Slot]) -> None:
        """Tell operators of those that were beyond the limit so soon, as another one was, once for each."""
        if self._out.now - self._replaced_at > 2 * self._pause() + SOON:
            self._replaced = self._reached = 0
        there = [(slot, slot.member) for slot in staff if slot.member is not None]
        self._told &= {member.incarnation for _, member in there}
        for slot, member in there:
            self._look_at(slot, member)

    def due(self, member: Member) -> str | None:
        """Why a worker is to be replaced now, for people; None when it is not."""
        if not self._is_beyond(member):
            return None
        waits = member.outgrew > 0 and not self._leaks(member)
        if waits and self._out.now - member.born < self._pause():
            return None
        return f"it holds {mib(member)}"

    def replaced(self, member: Member) -> None:
        """One is being replaced for its size."""
        self._replaced_at = self._out.now
        if not member.outgrew:
            self._replaced = self._reached = 0
            return
        self._replaced += 1
        if not self._leaks(member):
            self._reached = _held(member)

    def _look_at(self, slot: Slot, member: Member) -> None:
        lived = self._out.now - member.born
        if not self._is_beyond(member):
            if member.outgrew:
                slot.note, member.outgrew = "", 0
                self._told.discard(member.incarnation)
        elif lived < SOON:
            member.outgrew = max(member.outgrew, _held(member))
        if member.outgrew and self._replaced and member.incarnation not in self._told:
            self._tell(slot, member, lived)

    def _tell(self, slot: Slot, member: Member, lived: float) -> None:
        self._told.add(member.incarnation)
        slot.note = f"it holds {mib(member)} soon after its birth, more than recycle.memory allows"
        self._out.tell(MemoryLimitLow(member.worker, member.pid, self._limit, _held(member), lived))

    def _leaks(self, member: Member) -> bool:
        """Whether it has grown beyond what a fresh one comes to, as far as it, or the one before, told."""
        return _held(member) >= LEAKS * max(member.outgrew, self._reached)

    def _is_beyond(self, member: Member) -> bool:
        return 0 < self._limit <= _held(member)

    def _pause(self) -> float:
        return min(LONGEST, SOON * 2.0 ** min(self._replaced - 1, 16)) if self._replaced else 0.0


def mib(member: Member) -> str:
    """How much memory it held last, for people."""
    return f"{_held(member) / 1_048_576:.0f} MiB"


def _held(member: Member) -> int:
    return 0 if member.beat is None else member.beat.rss
