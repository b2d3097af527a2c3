"""Files without a name, for what slow clients have yet to send or to take: no thread waits for them.

Used in any thread; what writes and reads may wait for a disk, and is not called on the loop's.
"""

import io
import logging
import os
import tempfile
import threading

log = logging.getLogger("changeover.request")

MOST = 1024 * 1024 * 1024
"""Bytes that the files of one application hold together, in each worker; beyond, threads wait for their clients."""


class Room:
    """How much the files of one application hold, and may hold.

    Args:
        most: Bytes of all of them together.

    Attributes:
        held: Bytes of all of them now.
        failing: Whether the last one could not be written.
    """

    __slots__ = ("_lock", "_most", "failing", "held")

    def __init__(self, most: int = MOST) -> None:
        self.held = 0
        self.failing = False
        self._most = most
        self._lock = threading.Lock()

    def claim(self, size: int) -> bool:
        """Take room for so many bytes; whether there was any."""
        with self._lock:
            if self.held + size > self._most:
                return False
            self.held += size
            return True

    def give_back(self, size: int) -> None:
        """It is free again."""
        with self._lock:
            self.held -= size


class Spool:
    """A file without a name, made when it is first written to.

    Args:
        room: For all such files of an application.

    Attributes:
        size: Bytes that it has.
    """

    __slots__ = ("_closed", "_file", "_lock", "_reader", "_room", "size")

    def __init__(self, room: Room) -> None:
        self.size = 0
        self._room = room
        self._file: io.FileIO | None = None
        self._reader: io.BufferedIOBase | None = None
        self._closed = False
        self._lock = threading.Lock()  # a task that was cancelled does not wait for what it had begun

    @classmethod
    def lent(cls, room: Room, file: io.FileIO) -> "Spool":
        """Somebody else's file, to be read: it takes no room, and is closed with this."""
        spool = cls(room)
        spool._file = file
        return spool

    def write(self, data: bytes | memoryview, at: int) -> bool:
        """Write all of `data` to an offset within the file or at its end; whether there was room for it.

        Raises:
            OSError: Some of it was written behind the end, and cannot be taken back.
        """
        with self._lock:
            growth = max(0, at + len(data) - self.size)
            if self._closed or not self._room.claim(growth):
                return False
            try:
                self._write(data, at)
            except OSError as error:
                self._room.give_back(growth)
                self._complain(error)
                self._cut()
                return False
            self._room.failing = False
            self.size += growth
            return True

    def read(self, size: int, at: int) -> bytes:
        """Up to so many bytes from an offset on; none once it is closed.

        Raises:
            OSError: They cannot be read.
        """
        with self._lock:
            return b"" if self._file is None else os.pread(self._file.fileno(), size, at)

    def has(self, descriptor: int) -> bool:
        """Whether that is this file."""
        with self._lock:
            return self._file is not None and os.path.samestat(os.fstat(descriptor), os.fstat(self._file.fileno()))

    def reader(self) -> io.BufferedIOBase:
        """All of it as a file, which is closed with this one: whoever is given it may let it go."""
        if self._reader is None:
            self._reader = io.BytesIO() if self._file is None else io.BufferedReader(self._file)
        return self._reader

    def close(self) -> None:
        """It is gone, with all that is in it."""
        with self._lock:
            self._closed = True
            for file in (self._reader, self._file):
                self._end(file)
            size, self.size, self._file = self.size, 0, None
        self._room.give_back(size)

    @staticmethod
    def _end(file: io.IOBase | None) -> None:
        try:
            if file is not None:
                file.close()
        except OSError as error:  # the descriptor is gone all the same
            log.warning("what a client sent, or has to take, was put into a file that cannot be closed: %s", error)

    def _write(self, data: bytes | memoryview, at: int) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - `close` closes it
        left = memoryview(data)
        while left:
            written = os.pwrite(self._file.fileno(), left, at)
            left, at = left[written:], at + written

    def _cut(self) -> None:
        """Whoever reads to the end does not find what was written of a piece that did not fit."""
        if self._file is not None:
            os.ftruncate(self._file.fileno(), self.size)

    def _complain(self, error: OSError) -> None:
        """Say, once in a row, that what slow clients send or take cannot be kept."""
        if not self._room.failing:
            self._room.failing = True
            log.warning(
                "what a slow client sends or takes cannot be kept in a temporary file: %s; until that is mended (make "
                "room, or set TMPDIR to a folder that has some) threads wait for their clients",
                error,
            )
