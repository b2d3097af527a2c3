"""Locks on directories: held as long as the supervisor lives, and naming it to whoever comes second."""

import fcntl
import os
from pathlib import Path
from typing import Self

import msgspec

from changeover.supervisor.process.errors import ProcessError
from changeover.supervisor.process.holders import Holder, holder_of_pid
from changeover.supervisor.process.lock_note import LOCK_FILE, LockOwner, read_owner


class DirectoryHeld(ProcessError):
    """Another supervisor has the directory.

    Attributes:
        directory: Which one.
        owner: Who, None when its note cannot be read.
        holder: The process, None when it cannot be seen.
    """

    def __init__(self, directory: Path, owner: LockOwner | None, holder: Holder | None) -> None:
        self.directory = directory
        self.owner = owner
        self.holder = holder
        who = (
            f"{holder or f'pid {owner.pid}'}, `{owner.ended_by()}` ends it" if owner else "a process that left no note"
        )
        super().__init__(f"{directory} is held by another supervisor: {who}; or choose another directory")


class LockUnusable(ProcessError):
    """The lock of a directory cannot be opened or written.

    Attributes:
        path: Its file.
        reason: The system's words.
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path} cannot be locked: {reason}; make it a file of ours, or choose another directory")


class DirectoryLock:
    """An exclusive lock on a directory; ends with the process, whatever ends it.

    Args:
        directory: Must exist.
        fd: Descriptor of the locked file.
    """

    def __init__(self, directory: Path, fd: int) -> None:
        self.directory = directory
        self._fd = fd

    @classmethod
    def take(cls, directory: Path, name: str, runtime: Path, inherited: int | None = None) -> Self:
        """Lock `directory` and leave a note about this process.

        Args:
            directory: What to lock.
            name: The service's name.
            runtime: Its runtime directory.
            inherited: Descriptor of the lock that this process held before it was executed anew.

        Raises:
            DirectoryHeld: Another living process has it.
            LockUnusable: Its file cannot be opened or written.
        """
        path = directory / LOCK_FILE
        try:
            fd = (
                inherited
                if inherited is not None
                else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
            )
        except OSError as error:
            raise LockUnusable(path, error.strerror or str(error)) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            me = holder_of_pid(os.getpid())
            note = LockOwner(name, os.getpid(), me.started if me else 0, str(runtime))
            os.ftruncate(fd, 0)
            os.pwrite(fd, msgspec.json.encode(note) + b"\n", 0)
        except BlockingIOError as error:
            os.close(fd)
            owner = read_owner(directory)
            raise DirectoryHeld(directory, owner, holder_of(owner) if owner else None) from error
        except OSError as error:
            os.close(fd)
            raise LockUnusable(path, error.strerror or str(error)) from error
        except BaseException:
            os.close(fd)
            raise
        return cls(directory, fd)

    @property
    def descriptor(self) -> int:
        """What holds the lock."""
        return self._fd

    def release(self) -> None:
        """Give the directory free. The file stays: removing it would let two processes lock two files."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


def holder_of(owner: LockOwner) -> Holder | None:
    """The living process that wrote the note; None when it is gone, also when its pid is somebody else's now."""
    holder = holder_of_pid(owner.pid)
    return holder if holder is not None and holder.started == owner.started else None
