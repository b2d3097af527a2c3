"""The signals of a zygote: they wake it, most mean nothing to it, and TERM is heeded when it has read everything."""

import os
import signal
from types import FrameType

IGNORED = (
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTTIN,
    signal.SIGTTOU,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGWINCH,
)
"""Signals that a zygote ignores. TERM, without a supervisor, ends its workers and then itself."""


class Signals:
    """Takes the signals of this process.

    Attributes:
        wakes: Descriptor that can be read once one arrived.
    """

    def __init__(self) -> None:
        self.wakes, self._wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._termed = False

    def take(self) -> None:
        """Install our handlers; once more after preloading, which may have brought its own."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for signum in IGNORED:
            signal.signal(signum, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._term)

    def clear(self) -> None:
        """Be woken by the next signal, and not by those that arrived."""
        os.read(self.wakes, 4096)

    def termed(self) -> bool:
        """Whether TERM arrived since this was asked last."""
        termed, self._termed = self._termed, False
        return termed

    def descriptors(self) -> tuple[int, ...]:
        """All that are its own."""
        return (self.wakes, self._wake)

    def _term(self, _signum: int, _frame: FrameType | None) -> None:
        self._termed = True
