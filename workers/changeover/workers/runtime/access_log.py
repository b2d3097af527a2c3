"""Writes a worker's access log: collected on the loop, encoded and written by a thread, and never waited for."""

import asyncio
import logging
import os
import queue
import stat
import threading
import time
from contextlib import suppress

from changeover.workers.http.forwarded import Forwarding
from changeover.workers.http.making import Making
from changeover.workers.runtime.settings import WireSettings
from changeover.workers.serving.access import FORMATS, Access, Encode

logger = logging.getLogger("changeover.access")

STDOUT = "-"
DELAY = 0.1
"""Seconds that a line waits for others."""
MOST = 20_000
"""Most lines that wait; what comes while there are as many is dropped, and counted."""
ATOMIC = 4096
"""Bytes that a pipe takes without mixing them with what other workers write."""
TELLING = 10.0
"""Seconds, at least, between two records of what was dropped."""
GOODBYE = 1.0
"""Seconds that the end may wait for the last lines."""


class Target:
    """Where lines go: a file that is opened anew once another one lies in its place, or stdout.

    Args:
        file: Its path, or `-`.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._fd = 1 if file == STDOUT else -1

    def write(self, lines: list[bytes]) -> None:
        """Append lines.

        Raises:
            OSError: They could not be written, or not all of them.
        """
        self._follow()
        whole = stat.S_ISREG(os.fstat(self._fd).st_mode)
        for data in (b"".join(lines),) if whole else _grouped(lines):
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])

    def close(self) -> None:
        """Let go of the file."""
        if self._fd > 2:
            os.close(self._fd)
            self._fd = -1

    def _follow(self) -> None:
        if self._file == STDOUT or (self._fd >= 0 and self._is_in_place()):
            return
        opened = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self.close()
        self._fd = opened

    def _is_in_place(self) -> bool:
        own = os.fstat(self._fd)
        try:
            there = os.stat(self._file)
        except FileNotFoundError:
            return False
        return (own.st_dev, own.st_ino) == (there.st_dev, there.st_ino)


class AccessLog:
    """See the module. Whoever makes it is the one who puts lines in.

    Args:
        loop: The running loop.
        file: Where to: a path, or `-` for stdout.
        encode: Makes a line of what is told.

    Attributes:
        dropped: How many lines were lost.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, file: str, encode: Encode) -> None:
        self.dropped = 0
        self._loop = loop
        self._file = file
        self._encode = encode
        self._waiting: list[Access] = []
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._told = 0
        self._told_at = 0.0
        self._batches: queue.SimpleQueue[list[Access] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="changeover: access log", daemon=True)
        self._thread.start()

    def put(self, access: Access) -> None:
        """Tell of one request; returns at once."""
        if len(self._waiting) >= MOST:
            self.dropped += 1
            return
        self._waiting.append(access)
        if self._timer is None and not self._busy:
            self._timer = self._loop.call_later(DELAY, self._hand_over)

    def close(self) -> None:
        """Write what waits, for a moment at most."""
        if self._timer is not None:
            self._timer.cancel()
        self._batches.put(self._waiting)
        self._waiting = []
        self._batches.put(None)
        self._thread.join(GOODBYE)

    def _hand_over(self) -> None:
        self._timer = None
        self._busy = True
        batch, self._waiting = self._waiting, []
        self._batches.put(batch)

    def _on_written(self, lost: int, reason: str) -> None:
        self._busy = False
        self.dropped += lost
        now = time.monotonic()
        if self.dropped > self._told and now - self._told_at >= TELLING:
            lines = self.dropped - self._told
            self._told, self._told_at = self.dropped, now
            logger.warning("%d lines of the access log %s were dropped: %s", lines, self._file, reason)
        if self._waiting and self._timer is None:
            self._timer = self._loop.call_later(DELAY, self._hand_over)

    def _write(self) -> None:
        """The thread."""
        target = Target(self._file)
        while (batch := self._batches.get()) is not None:
            lost, reason = 0, "it is written too slowly"
            try:
                target.write([self._encode(access) for access in batch])
            except OSError as error:
                lost, reason = len(batch), str(error)
            with suppress(RuntimeError):  # the loop is closed: nobody wants to know any more
                self._loop.call_soon_threadsafe(self._on_written, lost, reason)
        target.close()


def _grouped(lines: list[bytes]) -> list[bytes]:
    """Join lines as far as they are taken in one piece."""
    groups = [b""]
    for line in lines:
        if groups[-1] and len(groups[-1]) + len(line) > ATOMIC:
            groups.append(b"")
        groups[-1] += line
    return groups


def access_log(loop: asyncio.AbstractEventLoop, wire: WireSettings) -> AccessLog | None:
    """What writes the access log; None where none is wanted."""
    return AccessLog(loop, wire.access_log, FORMATS[wire.access_format]) if wire.access_log else None


def making_of(wire: WireSettings, access: AccessLog | None, slot: int) -> Making | None:
    """What is done with every request; None for nothing beside serving it, which costs nothing."""
    forwarding = Forwarding(wire.forwarded, wire.forwarded_headers) if wire.forwarded else None
    return None if forwarding is None and access is None else Making(forwarding, access, slot)
