"""The journal's file, for one thread: every call blocks on the disk and says what failed by name."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import msgspec

from changeover.supervisor.core.entries import (
    Aborted,
    Committed,
    Decision,
    EpochGiven,
    JournalEntry,
    Recovered,
    TermBegun,
)
from changeover.supervisor.journal import entries, prune, totals
from changeover.supervisor.journal.errors import (
    DecisionExists,
    EpochExists,
    JournalCorrupt,
    JournalError,
    JournalReadOnly,
    JournalUnreachable,
    named,
)
from changeover.supervisor.journal.lock import StateLock
from changeover.supervisor.journal.schema import connect, establish
from changeover.supervisor.journal.views import EpochStory, Totals
from changeover.workers.protocol.snapshot import Snapshot


class JournalFile:
    """One supervisor's journal.

    Args:
        path: Its file; made with its folder when it is not there.
        keep: How many committed epochs stay in it.
        clock: The wall clock, seconds since 1970.
        lock: Descriptor of the lock that this process held before it was executed anew.

    Raises:
        JournalError: It cannot be had; the subclass says why.
    """

    def __init__(self, path: Path, keep: int, clock: Callable[[], float] = time.time, lock: int | None = None) -> None:
        self.path = path
        self._keep = keep
        self._clock = clock
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
        except OSError as error:
            raise JournalUnreachable(path, error.strerror or str(error)) from error
        self._lock = StateLock(path.with_suffix(".lock"), lock)
        try:
            with _naming(path):
                self._connection = connect(path)
                self.id = establish(self._connection, path)
        except JournalError:
            self._lock.close()
            raise

    def append(self, entry: JournalEntry) -> int:
        """Make `entry` durable; the same entry again changes nothing.

        Returns:
            Its sequence.

        Raises:
            DecisionExists: The epoch was decided otherwise.
            EpochExists: The epoch was given to another candidate.
            JournalError: It may or may not be durable; the subclass says why.
        """
        with _naming(self.path):
            return self._append(entry)

    def _append(self, entry: JournalEntry) -> int:
        self._reconnect_if_broken()
        with self._writing() as connection:
            known = self._known(connection, entry)
            if known is not None:
                return known
            at = self._clock()
            epoch, kind = entries.epoch_of(entry), entries.kind(entry)
            seq = connection.execute(
                "INSERT INTO entries (at, kind, epoch, body) VALUES (?, ?, ?, ?)",
                (at, kind, epoch, entries.body(entry)),
            ).lastrowid
            if isinstance(entry, Committed | Aborted):
                totals.count(connection, entry, at)
            if isinstance(entry, Committed | TermBegun):
                prune.prune(connection, self._keep)
            return seq or 0

    def _known(self, connection: sqlite3.Connection, entry: JournalEntry) -> int | None:
        """The sequence of the same entry, when it is there; raises when what is there contradicts it."""
        if isinstance(entry, TermBegun):
            there = [line for line in entries.rows(connection, "kind = 'TermBegun'") if line.entry == entry]
            return there[-1].seq if there else None
        for line in entries.rows(connection, "epoch = ?", entry.epoch):
            if isinstance(entry, Decision) and isinstance(line.entry, Decision):
                if entries.kind(line.entry) == entries.kind(entry):
                    return line.seq
                raise DecisionExists(self.path, entry.epoch, entries.kind(line.entry))
            if entries.kind(line.entry) == entries.kind(entry):
                if isinstance(entry, EpochGiven) and line.entry != entry:
                    raise EpochExists(self.path, entry.epoch)
                return line.seq
        return None

    def recover(self) -> Recovered:
        """Say what a starting supervisor must know.

        Raises:
            JournalError: It cannot be read.
        """
        with _naming(self.path):
            terms = entries.rows(self._connection, "kind = 'TermBegun'")
            term = max((line.entry.term for line in terms if isinstance(line.entry, TermBegun)), default=0)
            (epoch,) = self._connection.execute("SELECT coalesce(max(epoch), 0) FROM entries").fetchone()
            return entries.recovered(self.id, term, epoch, self._stories())

    def history(self, limit: int) -> tuple[EpochStory, ...]:
        """The latest `limit` epochs, newest first.

        Raises:
            JournalError: It cannot be read.
        """
        with _naming(self.path):
            cut = self._connection.execute(
                "SELECT epoch FROM entries WHERE kind = 'EpochGiven' ORDER BY epoch DESC LIMIT 1 OFFSET ?", (limit - 1,)
            ).fetchone()
            return tuple(reversed(self._stories("epoch >= ?", cut[0] if cut else 0)))[:limit]

    def explain(self, epoch: int) -> EpochStory | None:
        """Everything that is kept of one epoch; None when it was never given or is no longer kept.

        Raises:
            JournalError: It cannot be read.
        """
        with _naming(self.path):
            told = self._stories("epoch = ?", epoch)
            return told[0] if told else None

    def kept(self) -> tuple[Snapshot, ...]:
        """Every candidate that is kept, oldest first: what the artifact store must not forget.

        Raises:
            JournalError: It cannot be read.
        """
        with _naming(self.path):
            return tuple(story.given.candidate for story in self._stories("kind = 'EpochGiven'"))

    def committed(self) -> tuple[Snapshot, ...]:
        """Every generation that all workers served and that is kept, oldest first: what can be rolled back to.

        Raises:
            JournalError: It cannot be read.
        """
        with _naming(self.path):
            told = self._stories("kind IN ('EpochGiven', 'Committed')")
            return tuple(story.given.candidate for story in told if story.is_whole)

    def set_aside(self) -> frozenset[str]:
        """Digests of kept generations that were rolled back.

        Raises:
            JournalError: It cannot be read.
        """
        with _naming(self.path):
            return entries.set_aside(self._stories("kind IN ('EpochGiven', 'Committed')"))

    def totals(self) -> Totals:
        """What was counted since the journal was made.

        Raises:
            JournalError: It cannot be read.
        """
        with _naming(self.path):
            return totals.read(self._connection)

    @property
    def lock(self) -> int:
        """Descriptor of its lock."""
        return self._lock.descriptor

    def copy(self, path: Path) -> None:
        """Copy it into another file.

        Raises:
            JournalError: It cannot be read, or the copy not written.
        """
        with _naming(self.path), closing(sqlite3.connect(path)) as copy:
            self._connection.backup(copy)

    def close(self) -> None:
        """Close the file and let the next supervisor have it."""
        self._connection.close()
        self._lock.close()

    def _stories(self, where: str = "1", *values: int) -> list[EpochStory]:
        return entries.stories(entries.rows(self._connection, where, *values))

    def _reconnect_if_broken(self) -> None:
        """After an error of the disk SQLite may hold a transaction that it can neither end nor undo."""
        if self._connection.in_transaction:
            self._connection.close()
            self._connection = connect(self.path)

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")


def reread(path: Path, epoch: int) -> Committed | Aborted | None:
    """Look for the decision on `epoch` over a connection of its own.

    Raises:
        JournalError: It cannot be read.
    """
    with _naming(path):
        connection = connect(path)
        try:
            told = entries.rows(connection, "epoch = ? AND kind IN ('Committed', 'Aborted')", epoch)
        finally:
            connection.close()
    decision = told[0].entry if told else None
    return decision if isinstance(decision, Committed | Aborted) else None


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise named(path, error) from error
    except msgspec.DecodeError as error:
        raise JournalCorrupt(path, f"an entry cannot be read: {error}") from error
    except PermissionError as error:
        raise JournalReadOnly(path, error.strerror or str(error)) from error
