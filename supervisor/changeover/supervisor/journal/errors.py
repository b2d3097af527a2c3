"""What can go wrong with the journal, named by what a person has to do about it."""

import sqlite3
from pathlib import Path

from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.process.holders import Holder, worded


class JournalError(SupervisorError):
    """The journal cannot do what it was asked.

    Attributes:
        path: The journal's file, or the one beside it that is meant.
    """

    def __init__(self, path: Path, message: str) -> None:
        self.path = path
        super().__init__(f"journal {path}: {message}")


class JournalFull(JournalError):
    """The disk, or a quota, has no room."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"there is no room to write ({reason}); free some on its disk, then reload")


class JournalReadOnly(JournalError):
    """The journal may not be written."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"may not be written ({reason}); check the owner and mount of its folder")


class JournalUnreachable(JournalError):
    """The journal, or the folder it lies in, cannot be opened."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"cannot be opened ({reason}); check that its folder exists and who may use it")


class JournalDiskFault(JournalError):
    """The disk failed to read or write."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"its disk fails ({reason}); see the kernel's log, and move the state directory")


class JournalCorrupt(JournalError):
    """The file is no journal, or no longer one."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"is damaged ({reason}); move it away and start again: history is lost, content is not")


class JournalBusy(JournalError):
    """Another program holds the database's own lock: a backup, or somebody looking at it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, f"is used by another program ({reason}); end what has it open (`fuser {path}`)")


class JournalHeld(JournalError):
    """Another supervisor owns the state directory.

    Attributes:
        holders: Whoever has the lock's file open, as far as this user may see.
    """

    def __init__(self, path: Path, holders: tuple[Holder, ...]) -> None:
        self.holders = holders
        super().__init__(path, f"is {worded(holders)}; or choose another --state-dir")


class JournalNewer(JournalError):
    """The journal was written by a later version of changeover.

    Attributes:
        found: The journal's schema.
        known: The latest schema that this version knows.
    """

    def __init__(self, path: Path, found: int, known: int) -> None:
        self.found = found
        self.known = known
        super().__init__(
            path, f"has schema {found}, this version knows {known}; upgrade changeover, or choose another --state-dir"
        )


class DecisionExists(JournalError):
    """The epoch was decided otherwise already; the first decision stands.

    Attributes:
        epoch: The epoch.
        decided: What it was decided as.
    """

    def __init__(self, path: Path, epoch: int, decided: str) -> None:
        self.epoch = epoch
        self.decided = decided
        super().__init__(path, f"epoch {epoch} is {decided.lower()} already; a decision is never changed")


class EpochExists(JournalError):
    """The epoch was given to another candidate already.

    Attributes:
        epoch: The epoch.
    """

    def __init__(self, path: Path, epoch: int) -> None:
        self.epoch = epoch
        super().__init__(path, f"epoch {epoch} was given to another candidate; epochs are never reused")


_NAMED: dict[int, type[JournalFull | JournalReadOnly | JournalUnreachable | JournalDiskFault | JournalBusy]] = {
    sqlite3.SQLITE_FULL: JournalFull,
    sqlite3.SQLITE_READONLY: JournalReadOnly,
    sqlite3.SQLITE_PERM: JournalReadOnly,
    sqlite3.SQLITE_AUTH: JournalReadOnly,
    sqlite3.SQLITE_CANTOPEN: JournalUnreachable,
    sqlite3.SQLITE_IOERR: JournalDiskFault,
    sqlite3.SQLITE_BUSY: JournalBusy,
    sqlite3.SQLITE_LOCKED: JournalBusy,
}


def named(path: Path, error: sqlite3.Error) -> JournalError:
    """Name what SQLite complains of."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    known = _NAMED.get(code)
    return known(path, str(error)) if known else JournalCorrupt(path, str(error))
