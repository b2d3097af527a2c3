"""What is being written to the journal, and what became of it.

Each entry is answered once: written, or not known to be. The deadline counts as "not known"; an
answer that comes after it still says something, and "written" is believed whenever it comes.
"""

from changeover.supervisor.core.effects import Persist
from changeover.supervisor.core.entries import JournalEntry
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outbox import Outbox


class Writing:
    """Entries on their way to disk, by ticket."""

    __slots__ = ("_deadline", "_entries", "_late", "_out", "_ticket")

    def __init__(self, out: Outbox, deadline: float) -> None:
        self._out = out
        self._deadline = deadline
        self._ticket = 0
        self._entries: dict[int, JournalEntry] = {}
        self._late: dict[int, JournalEntry] = {}

    def write(self, entry: JournalEntry) -> None:
        """Want `entry` on disk; `written`, `failed` or `overdue` will give it back."""
        self._ticket += 1
        self._entries[self._ticket] = entry
        self._out.put(Persist(self._ticket, entry))
        self._out.set_timer(Timer(TimerKind.PERSIST, self._ticket), self._deadline)

    def written(self, ticket: int) -> JournalEntry | None:
        """The entry that is durable now, also one given up; None when it was answered before."""
        late = self._late.pop(ticket, None)
        return late if late is not None else self._answered(ticket)

    def failed(self, ticket: int) -> JournalEntry | None:
        """The entry that may not be durable; None when that was assumed already."""
        self._late.pop(ticket, None)
        return self._answered(ticket)

    def overdue(self, ticket: int) -> JournalEntry | None:
        """The entry whose answer did not come in time."""
        entry = self._entries.pop(ticket, None)
        if entry is not None:
            self._late[ticket] = entry
        return entry

    def _answered(self, ticket: int) -> JournalEntry | None:
        entry = self._entries.pop(ticket, None)
        if entry is not None:
            self._out.cancel_timer(Timer(TimerKind.PERSIST, ticket))
        return entry
