"""Signals of the supervisor: one table from signal to meaning, and an inbox that loses none.

The inbox is opened as the very first thing of `run`. A signal that arrives before there is a
loop waits in it, so HUP during boot reloads afterwards instead of killing.
"""

import asyncio
import enum
import os
import signal
import socket
from collections.abc import Callable, Mapping
from types import FrameType, MappingProxyType

import msgspec


class Meaning(enum.Enum):
    """What a signal asks of the supervisor."""

    RELOAD = "reload"
    STOP_GRACEFULLY = "stop gracefully"
    STOP_QUICKLY = "stop quickly"
    MORE_WORKERS = "one worker more"
    FEWER_WORKERS = "one worker fewer"
    REOPEN_LOGS = "reopen the log files"
    UPGRADE = "upgrade the supervisor"
    DRAIN_WORKERS = "drain the workers"
    NOTHING = "nothing"


class Terminal(enum.Enum):
    """Whether the process has a controlling terminal."""

    CONTROLLING = "controlling"
    NONE = "none"

    @classmethod
    def of_this_process(cls) -> "Terminal":
        """Look it up."""
        try:
            os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
        except OSError:
            return cls.NONE
        return cls.CONTROLLING


class Rule(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        first: What the signal means.
        again: What it means after a graceful stop was asked for by any signal.
        at_terminal: What it means instead of `first` with a controlling terminal; None = the same.
    """

    first: Meaning
    again: Meaning
    at_terminal: Meaning | None = None


RULES: Mapping[signal.Signals, Rule] = MappingProxyType(
    {
        signal.SIGHUP: Rule(Meaning.RELOAD, Meaning.NOTHING),
        signal.SIGTERM: Rule(Meaning.STOP_GRACEFULLY, Meaning.STOP_QUICKLY),
        signal.SIGINT: Rule(Meaning.STOP_QUICKLY, Meaning.STOP_QUICKLY, at_terminal=Meaning.STOP_GRACEFULLY),
        signal.SIGQUIT: Rule(Meaning.STOP_QUICKLY, Meaning.STOP_QUICKLY),
        signal.SIGTTIN: Rule(Meaning.MORE_WORKERS, Meaning.NOTHING),
        signal.SIGTTOU: Rule(Meaning.FEWER_WORKERS, Meaning.NOTHING),
        signal.SIGUSR1: Rule(Meaning.REOPEN_LOGS, Meaning.REOPEN_LOGS),
        signal.SIGUSR2: Rule(Meaning.UPGRADE, Meaning.NOTHING),
        signal.SIGWINCH: Rule(Meaning.DRAIN_WORKERS, Meaning.NOTHING, at_terminal=Meaning.NOTHING),
    }
)
"""Every signal that the supervisor takes."""


class Stopping(enum.Enum):
    """Whether a graceful stop was asked for."""

    NO = "no"
    GRACEFULLY = "gracefully"


def meaning(signum: int, stopping: Stopping, terminal: Terminal) -> Meaning:
    """Say what a signal asks for; `Meaning.NOTHING` for one that is not in the table."""
    try:
        rule = RULES[signal.Signals(signum)]
    except (ValueError, KeyError):
        return Meaning.NOTHING
    if stopping is Stopping.GRACEFULLY:
        return rule.again
    if terminal is Terminal.CONTROLLING and rule.at_terminal is not None:
        return rule.at_terminal
    return rule.first


class Received(msgspec.Struct, frozen=True):
    """A signal that arrived, and what it asks for."""

    signum: signal.Signals
    meaning: Meaning


class SignalInbox:
    """Takes every signal of the table from `open` on; delivers them, in order, once there is a loop.

    The interpreter writes each signal's number into a socket of ours, from the first moment to the
    last: there is no second way to hear of one, so none is heard twice or lost between two ways.

    Args:
        terminal: Decides what INT and WINCH mean.
    """

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._stopping = Stopping.NO
        self._arrived, self._arriving = socket.socketpair()
        self._deliver: Callable[[Received], None] | None = None

    def open(self) -> None:
        """Install the handlers. Called in the main thread, before anything that takes time."""
        self._arrived.setblocking(False)
        self._arriving.setblocking(False)
        signal.set_wakeup_fd(self._arriving.fileno(), warn_on_full_buffer=False)
        for signum in RULES:
            signal.signal(signum, _hear)
        # A program that executes another one keeps what arrives meanwhile from ending it.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, RULES)

    def attach(self, loop: asyncio.AbstractEventLoop, deliver: Callable[[Received], None]) -> None:
        """Deliver on `loop` from now on; what waited is delivered at once.

        Args:
            loop: The running loop.
            deliver: Takes each signal that means something; must not block.
        """
        self._deliver = deliver
        loop.add_reader(self._arrived, self._read)
        self._read()

    def detach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop delivering. Signals of the table are ignored from now on: what ends is ending already."""
        self._deliver = None
        loop.remove_reader(self._arrived)
        for signum in RULES:
            signal.signal(signum, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        self._arrived.close()
        self._arriving.close()

    def _read(self) -> None:
        try:
            arrived = self._arrived.recv(4096)
        except BlockingIOError:
            return
        for signum in arrived:
            self._judge(signum)

    def _judge(self, signum: int) -> None:
        what = meaning(signum, self._stopping, self._terminal)
        if what is Meaning.STOP_GRACEFULLY:
            self._stopping = Stopping.GRACEFULLY
        if what is not Meaning.NOTHING and self._deliver is not None:
            self._deliver(Received(signal.Signals(signum), what))


def _hear(_signum: int, _frame: FrameType | None) -> None:
    """The interpreter has written the number already."""
