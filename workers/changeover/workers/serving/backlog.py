"""What a thread has made of a response and its client has yet to take, so that the thread need not wait for it."""

import io
import threading

from changeover.workers.serving.disk import Disk
from changeover.workers.serving.spool import Room, Spool

MOST = 64 * 1024 * 1024
"""Bytes of one response that wait for its client; beyond, the thread waits that makes it."""
PIECE = 64 * 1024
"""Bytes that are read at once, and so held in memory for each client."""


class Backlog:
    """Bytes in a file, which one thread puts there and the loop takes in the same order.

    Args:
        room: For all of an application.

    Attributes:
        under_way: Whether something waits to be taken, or whoever takes it has yet to find that nothing does.
    """

    __slots__ = ("_lock", "_spool", "_taken", "_written", "under_way")

    def __init__(self, room: Room) -> None:
        self.under_way = False
        self._spool = Spool(room)
        self._written = self._taken = 0
        self._lock = threading.Lock()

    @classmethod
    def lent(cls, room: Room, file: io.FileIO, start: int, size: int) -> "Backlog":
        """Bytes of somebody else's file, which is closed with this; nothing can be put behind them."""
        backlog = cls(room)
        backlog._spool = Spool.lent(room, file)
        backlog._taken, backlog._written = start, start + size
        backlog.under_way = True
        return backlog

    def put(self, data: memoryview) -> tuple[int, bool]:
        """Add as much as there is room for; in the thread.

        Returns:
            How many bytes, and whether nobody takes them unless they are told.
        """
        if not self.under_way:
            self._written = self._taken = 0
        piece = data[: max(0, MOST - self._written)]
        if not piece or not self._spool.write(piece, self._written):
            return 0, False
        with self._lock:
            self._written += len(piece)
            begins, self.under_way = not self.under_way, True
        return len(piece), begins

    async def take(self, disk: Disk) -> bytes:
        """The next bytes, empty when there are none now; on the loop.

        Args:
            disk: Reads them.

        Raises:
            OSError: They cannot be read.
        """
        with self._lock:
            size = min(PIECE, self._written - self._taken)
            self.under_way = size > 0
        if not size:
            return b""
        piece = await disk.do(self._read, size)
        self._taken += len(piece)
        return piece

    def close(self) -> None:
        """Nobody puts or takes anything any more; may wait for a disk."""
        self._spool.close()

    def _read(self, size: int) -> bytes:
        piece = self._spool.read(size, self._taken)
        if not piece:
            raise OSError(f"{size} bytes of a response that was put aside cannot be read any more")
        return piece
