"""One supervisor per state directory: a lock in a file of its own, apart from the database's."""

import fcntl
import os
from pathlib import Path

from changeover.supervisor.journal.errors import JournalHeld, JournalUnreachable
from changeover.supervisor.process.holders import Holder, holder_of_pid, holders_of_file


class StateLock:
    """Held from construction until `close`, or until the process dies.

    Args:
        path: The lock's file; made when it is not there, never removed.
        inherited: Descriptor of the lock that this process held before it was executed anew.

    Raises:
        JournalHeld: Another process holds it.
        JournalUnreachable: It cannot be opened or made.
    """

    def __init__(self, path: Path, inherited: int | None = None) -> None:
        try:
            self._fd = (
                inherited if inherited is not None else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
            )
        except OSError as error:
            raise JournalUnreachable(path, error.strerror or str(error)) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            written = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            raise JournalHeld(path, holders_of_file(path) or _supervisor(written)) from error
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    @property
    def descriptor(self) -> int:
        """What holds the lock."""
        return self._fd

    def close(self) -> None:
        """Let the next one have it."""
        os.close(self._fd)


def _supervisor(written: str) -> tuple[Holder, ...]:
    """Who wrote a lock's file, where its open files may not be seen; nobody, where that process is no supervisor."""
    holder = holder_of_pid(int(written)) if written.isdigit() else None
    return (holder,) if holder is not None and holder.stopped_by() is not None else ()
