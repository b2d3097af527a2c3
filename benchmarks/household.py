"""Every process of a server: what it holds open, how much memory all of them share, and which should be gone."""

import contextlib
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import kernel
from benchmarks.looking import looking
from benchmarks.subject import born, descendants

LOOK = 0.05
"""Seconds between two looks at the memory."""
_NUMBERED = re.compile(r"^(?:(socket|pipe):\[\d+\]|/(memfd):.*|/(proc)/\d+/.*)$")
"""What has a number or a process in its name."""


class Process(msgspec.Struct, frozen=True):
    """One process, which no other that is given its number later is taken for.

    Attributes:
        pid: Its number.
        born: When it started, in clock ticks since boot.
    """

    pid: int
    born: int

    @property
    def alive(self) -> bool:
        """Whether it is still there."""
        return bool(self.born) and born(self.pid) == self.born

    def kill(self) -> None:
        """End it, when it is still there."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def below(pid: int) -> tuple[Process, ...]:
    """Every living process below `pid`."""
    return tuple(Process(each, born(each)) for each in descendants(pid))


def descriptors(pid: int) -> dict[str, int]:
    """What a process holds open: sockets and pipes by kind, anything else by name."""
    found: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[_NUMBERED.sub(r"\1\2\3", os.readlink(entry))] += 1
    return dict(found)


def surplus(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """What is held more often than before."""
    return {what: count - before.get(what, 0) for what, count in after.items() if count > before.get(what, 0)}


def proportional(pids: Iterable[int]) -> int:
    """Proportional memory of processes, bytes; one that is gone has none."""
    sizes = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, KeyError):
            sizes += kernel.memory(pid).pss
    return sizes


def spent(pid: int) -> float:
    """Seconds of processor time that `pid`, all below it, and all children of theirs that are gone have used."""
    return sum(map(_ticks, (pid, *descendants(pid)))) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(map(int, fields[11:15]))


class Look(msgspec.Struct, frozen=True):
    """Proportional memory of a whole server at one moment.

    Attributes:
        at: CLOCK_MONOTONIC, seconds.
        processes: How many there were.
        bytes: Of all of them together.
    """

    at: float
    processes: int
    bytes: int


@dataclass
class Watch:
    """What was seen, in order."""

    looks: list[Look]

    @property
    def peak(self) -> int:
        """The most that all processes had together, bytes."""
        return max(look.bytes for look in self.looks)


@contextmanager
def watching(pid: int) -> Iterator[Watch]:
    """Look at the memory of `pid` and everything below it, again and again, from a thread."""
    watch = Watch([_look(pid)])
    with looking(lambda: watch.looks.append(_look(pid)), LOOK, "memory watch"):
        yield watch


def _look(pid: int) -> Look:
    pids = (pid, *descendants(pid))
    return Look(time.monotonic(), len(pids), proportional(pids))
