"""The commit cell: one shared page whose value is the committed epoch.

The supervisor alone writes it, with one aligned 8-byte store; that store is the linearization
point of a cutover for all workers. Workers map it read-only and read it at every dispatch.
The file is made once, and never truncated or replaced as long as a process reads it: a supervisor that adopts workers
maps what they read.
"""

import mmap
import os
from pathlib import Path
from typing import Protocol, Self

PAGE = mmap.PAGESIZE
WORD = 8


class CommitCell(Protocol):
    """Reads the committed epoch of one part."""

    def read(self) -> int:
        """The epoch that is authoritative now."""


class SharedCell:
    """The reading end of a commit cell, mapped read-only.

    Args:
        fd: A descriptor of the cell's file; it may be closed afterwards.
        part: Which word of the page; 0 is the whole service.
    """

    __slots__ = ("_map", "_part", "_words")

    def __init__(self, fd: int, part: int = 0) -> None:
        self._map = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ)
        self._words = memoryview(self._map).cast("Q")
        self._part = part

    def read(self) -> int:
        return self._words[self._part]

    def close(self) -> None:
        """Unmap the page."""
        self._words.release()
        self._map.close()


class CellWriter:
    """The writing end, held by the supervisor only.

    Args:
        fd: Its file, one page; owned from here on.

    Raises:
        OSError: It cannot be mapped.
    """

    __slots__ = ("_map", "_words", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._map = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._words = memoryview(self._map).cast("Q")

    @classmethod
    def make(cls, path: Path) -> Self:
        """Make a cell's file, with one zeroed page.

        Args:
            path: What has its name is removed and never opened: workers of another user may write to the folder, and
                a link of theirs would lead elsewhere.

        Raises:
            OSError: It cannot be made.
        """
        path.unlink(missing_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            os.ftruncate(fd, PAGE)
            return cls(fd)
        except OSError:
            os.close(fd)
            raise

    def read(self, part: int = 0) -> int:
        """The value stored last."""
        return self._words[part]

    def latest(self) -> int:
        """The highest value of any part."""
        return max(self._words)

    def store(self, epoch: int, part: int = 0) -> None:
        """Make `epoch` the committed one: from here on no worker dispatches to anything older."""
        self._words[part] = epoch

    def close(self) -> None:
        """Unmap and close; the file stays."""
        self._words.release()
        self._map.close()
        os.close(self.fd)
