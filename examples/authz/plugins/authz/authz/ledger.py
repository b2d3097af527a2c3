"""What was written, by any worker and for all of them: a file that only grows.

A line is a change. A version of the facts is the length of the file in front of the next line, so it
names one set of facts for ever, and seeing whether there is anything new costs one look at the
file's size. Writers are in one order by a lock on the file; readers need none, because what is
there does not change.
"""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from authz.facts import Change


class LedgerDamaged(Exception):
    """The file is not what writers made of it.

    Attributes:
        path: The file.
        at: The version whose next line cannot be read.
    """

    def __init__(self, path: Path, at: int, reason: str) -> None:
        self.path = path
        self.at = at
        super().__init__(f"{path}: the change at {at} cannot be read: {reason}; restore the file as it was written")


class Ledger:
    """The changes of one service.

    Args:
        path: The file; made, with its folder, by the first who writes.
        until: The version to stop at; None goes on with what is written.
    """

    __slots__ = ("_path", "_until")

    def __init__(self, path: Path, until: int | None = None) -> None:
        self._path = path
        self._until = until

    def size(self) -> int:
        """The file's size: nothing is new as long as it is a version that was read."""
        if self._until is not None:
            return self._until
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0

    def since(self, version: int) -> Iterator[tuple[int, Change]]:
        """Whole changes behind a version, each with the version that it makes.

        Raises:
            LedgerDamaged: A line is no change.
        """
        if self.size() <= version:
            return
        with self._path.open("rb") as file:
            file.seek(version)
            for line in file:
                if not line.endswith(b"\n") or (self._until is not None and version >= self._until):
                    return  # it is being written, or comes later
                yield version + len(line), self._read(line, version)
                version += len(line)

    def write(self, change: Change) -> int:
        """Add a change; returns once it is on disk.

        Returns:
            The version that it makes.
        """
        line = msgspec.json.encode(change) + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            os.ftruncate(file, end := _whole(file))
            if os.write(file, line) != len(line):
                os.ftruncate(file, end)
                raise OSError(f"{self._path}: no room for another change")
            os.fdatasync(file)
            return end + len(line)
        finally:
            os.close(file)

    def _read(self, line: bytes, version: int) -> Change:
        try:
            return msgspec.json.decode(line, type=Change)
        except msgspec.MsgspecError as error:
            raise LedgerDamaged(self._path, version, str(error)) from None


def _whole(file: int) -> int:
    """Where the last whole line ends: a writer that was killed may have left a part of one behind it."""
    size, piece = os.fstat(file).st_size, b""
    end = size
    while end and b"\n" not in piece:
        begin = max(0, end - 4096)
        piece = os.pread(file, end - begin, begin)
        if b"\n" in piece:
            return begin + piece.rindex(b"\n") + 1
        end = begin
    return 0
