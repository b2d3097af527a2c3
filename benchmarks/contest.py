"""Servers that are measured against each other in turns: pinned to one core, with what asks them on another."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.contents import SPEED
from benchmarks.household import proportional, spent
from benchmarks.load.process import LoadBroken
from benchmarks.servers import Command, Server, served
from benchmarks.subject import SubjectBroken, descendants

REQUEST = b"GET / HTTP/1.1\r\nhost: idle\r\n\r\n"
DEADLINE = 10.0
Press = Callable[[tuple[str, int], int], int]
"""Keeps a server busy for so many seconds, and says how many answers came."""


class Contest(msgspec.Struct, frozen=True):
    """What is asked of whom.

    Attributes:
        name: For people.
        entrants: The servers; ours first.
        press: What they are asked.
        bounds: How much faster than each other entrant ours is to be; an entrant without one is shown only.
        idle: Connections that are open beside those that ask.
        pinned: Whether servers have one core, and what asks them another.
        floors: Asked in turns with the entrants, and no peers of theirs: how little an answer takes.
    """

    name: str
    entrants: tuple[Command, ...]
    press: Press
    bounds: dict[str, float]
    idle: int = 0
    pinned: bool = True
    floors: tuple[Command, ...] = ()

    @property
    def asked(self) -> tuple[Command, ...]:
        """Who is asked: the entrants, ours first, and the floors behind them."""
        return (*self.entrants, *self.floors)


class Round(msgspec.Struct, frozen=True):
    """What one server did in one round.

    Attributes:
        rate: Answers per second.
        cost: Microseconds of processor time of all its processes, per answer.
    """

    rate: float
    cost: float


class Standing(msgspec.Struct, frozen=True):
    """What one server did in all rounds.

    Attributes:
        name: The server.
        rounds: Its rounds, in order; none when it does not serve what is asked.
        words: What it said instead.
    """

    name: str
    rounds: tuple[Round, ...]
    words: str = ""


def hold(binaries: Path, contest: Contest, rounds: int, seconds: int) -> tuple[Standing, ...]:
    """Let all entrants and floors run, and ask them in turns, beginning with another one in each round.

    Args:
        binaries: Where their commands are.
        contest: What is asked of whom.
        rounds: How often.
        seconds: For how long each.
    """
    with contextlib.ExitStack() as stack:
        servers: list[tuple[Server, list[Round]]] = []
        words: dict[str, str] = {}
        for command in contest.asked:
            try:
                server = stack.enter_context(_started(binaries, command, contest))
                contest.press(server.address, 1)
                servers.append((server, []))
            except (SubjectBroken, LoadBroken) as error:
                words[command.name] = str(error)
        with on_core(_last() if contest.pinned else None):
            for number in range(rounds):
                first = number % max(1, len(servers))
                for server, found in (*servers[first:], *servers[:first]):
                    found.append(_asked(server, contest, seconds))
    standings = {server.command.name: Standing(server.command.name, tuple(found)) for server, found in servers}
    return tuple(standings.get(name) or Standing(name, (), words[name]) for name in map(_name, contest.asked))


def idle_memory(binaries: Path, command: Command, connections: int) -> float:
    """Bytes of its own that a server has per idle connection, beside what as many that came before left behind."""
    with served(binaries, command, 1, SPEED) as server, resting(server.address, connections):
        before = proportional((server.pid, *descendants(server.pid)))
        with resting(server.address, 2 * connections):
            after = proportional((server.pid, *descendants(server.pid)))
    return (after - before) / (2 * connections)


@contextmanager
def resting(address: tuple[str, int], connections: int) -> Iterator[None]:
    """Keep so many connections open that have asked once."""
    with contextlib.ExitStack() as stack:
        for _ in range(connections):
            client = stack.enter_context(socket.create_connection(address, DEADLINE))
            client.sendall(REQUEST)
            if not client.recv(4096).startswith(b"HTTP/1.1 200"):
                raise LoadBroken(f"{address} does not answer an idle connection")
        yield


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Run there, together with whatever is started meanwhile; None is wherever there is room."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def _started(binaries: Path, command: Command, contest: Contest) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        with on_core(min(os.sched_getaffinity(0)) if contest.pinned else None):
            server = stack.enter_context(served(binaries, command, 1, SPEED))
        stack.enter_context(resting(server.address, contest.idle))
        yield server


def _asked(server: Server, contest: Contest, seconds: int) -> Round:
    before, began = spent(server.pid), time.monotonic()
    count = contest.press(server.address, seconds)
    took = time.monotonic() - began
    return Round(count / took, (spent(server.pid) - before) / count * 1e6)


def _last() -> int:
    return max(os.sched_getaffinity(0))


def _name(command: Command) -> str:
    return command.name
