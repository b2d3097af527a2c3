"""Writes log lines on a thread of its own: whoever reads them, or does not, holds up nobody else.

A pipe that nobody empties, or a disk that hangs, blocks whoever writes. Lines that find no room any
more are lost and counted, and the count is written as soon as something can be.
"""

import logging
import os
import queue
import select
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

WAITING = 10_000
"""Lines that may wait to be written."""
FLUSH = 2.0
"""Seconds that a flush waits, in all."""
STDERR = 2


class LineWriter(logging.Handler):
    """A handler that never waits.

    Args:
        file: Appended to; None for stderr.
        waiting: Lines that may wait.

    Raises:
        OSError: `file` cannot be opened.
    """

    def __init__(self, file: Path | None = None, waiting: int = WAITING) -> None:
        self._file = file
        self._fd = STDERR if file is None else _opened(file)
        super().__init__()
        self._lost = 0
        self._ended = False
        self._waiting: queue.Queue[Callable[[], None]] = queue.Queue(waiting)
        threading.Thread(target=self._work, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Have a line written."""
        try:
            self._waiting.put_nowait(lambda: self._write(record))
        except queue.Full:
            self._lost += 1

    def flush(self) -> None:
        """Wait until what was said so far is written, for a moment at most."""
        written = threading.Event()
        with suppress(queue.Full):
            self._waiting.put(written.set, timeout=FLUSH / 2)
            written.wait(FLUSH / 2)

    def close(self) -> None:
        """Write nothing more than what waits."""
        with suppress(queue.Full):
            self._waiting.put_nowait(self._end)
        super().close()

    def reopen(self) -> None:
        """Go on in a new file of the same name; the old one stays in use when that cannot be opened."""
        if self._file is not None:
            with suppress(queue.Full):
                self._waiting.put_nowait(self._reopen)

    def _reopen(self) -> None:
        assert self._file is not None
        try:
            fresh = _opened(self._file)
        except OSError as error:
            text = f"the log file cannot be reopened, the old one stays in use: {error}"
            self._write(self._said(logging.ERROR, text))
            return
        os.dup2(fresh, self._fd, inheritable=False)
        os.close(fresh)

    def _work(self) -> None:
        while not self._ended:
            self._waiting.get()()

    def _end(self) -> None:
        self._ended = True
        if self._file is not None:
            os.close(self._fd)

    def _write(self, record: logging.LogRecord) -> None:
        lost, self._lost = self._lost, 0
        try:
            if lost:
                self._put(self._said(logging.WARNING, f"{lost} lines of this log are lost: nothing took them in time"))
            self._put(record)
        except OSError:
            # Nobody is left to tell: the reader is gone, or the disk is full.
            self._lost += lost + 1
        except Exception:  # noqa: BLE001 - a line that cannot be shaped must not end the writing of all others
            self.handleError(record)

    def _put(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        while line:
            try:
                line = line[os.write(self._fd, line) :]
            except BlockingIOError:
                select.select([], [self._fd], [])

    def _said(self, level: int, text: str) -> logging.LogRecord:
        return logging.LogRecord("changeover", level, __file__, 0, text, None, None)


def _opened(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
