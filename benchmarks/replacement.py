"""A worker is killed with -9: how long until its replacement answers, beside gunicorn --preload's.

With one worker, a client connects right after the kill and waits: the first answer is the replacement's. With four,
bursts of new connections follow each other until one is answered by a process that was not there before: one connection
at a time would often go to the same workers again and again. All run the same FastAPI application, are probed by the
same code, and take turns.
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from benchmarks.chart import Chart, Series, Style
from benchmarks.contents import STOREFRONT
from benchmarks.environment import installed
from benchmarks.figures import Spread, spread
from benchmarks.household import below
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.servers import CHANGEOVER, GUNICORN_ASGI_PRELOADED, GUNICORN_PRELOADED, Command, Server, served
from benchmarks.subject import until
from benchmarks.visitors import burst

NAME = "replacement"
COMPARED = (CHANGEOVER, GUNICORN_PRELOADED, GUNICORN_ASGI_PRELOADED)
BURSTS = {1: 1, 4: 32}
"""Workers -> connections that ask at the same time."""
REPLACED = 30.0
"""Seconds until a replacement answers."""
QUIET = 1.0
"""Seconds in which nothing happens before a kill."""


class Case(msgspec.Struct, frozen=True):
    """One server with so many workers; milliseconds from the kill to the first answer of the replacement.

    Attributes:
        name: The server's.
        workers: How many.
        took: Each kill.
    """

    name: str
    workers: int
    took: tuple[float, ...]

    @property
    def spread(self) -> Spread:
        """How they are distributed."""
        return spread(self.took)


class ReplacementResult(Result, frozen=True, kw_only=True):
    """What the command found; ours first for each number of workers."""

    cases: tuple[Case, ...]


def main(arguments: list[str]) -> int:
    """Compare; the status is 1 when a promise did not hold, and another where the peers cannot be installed."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    commands = installed()
    cases = compare(commands, 3 if options.quick else 15)
    result = ReplacementResult(
        title="From kill -9 of a worker to the first answer of its replacement",
        machine=machine,
        quick=options.quick,
        verdicts=tuple(verdict for workers in BURSTS for verdict in _verdicts(cases, workers)),
        rows=_rows(cases),
        cases=cases,
    )
    return publish(NAME, result, _chart(cases), options.out)


def compare(binaries: Path, rounds: int) -> tuple[Case, ...]:
    """Kill one worker of each server in turn, each time of a server that was started afresh."""
    keys = [(command, workers) for workers in BURSTS for command in COMPARED]
    took: dict[tuple[Command, int], list[float]] = {key: [] for key in keys}
    for _ in range(rounds):
        for command, workers in keys:
            took[command, workers].append(replaced(binaries, command, workers))
    return tuple(Case(command.name, workers, tuple(took[command, workers])) for command, workers in keys)


def replaced(binaries: Path, command: Command, workers: int) -> float:
    """Kill a worker; milliseconds until its replacement answers."""
    with served(binaries, command, workers, STOREFRONT) as server:
        _answering(server, BURSTS[workers])
        time.sleep(QUIET)
        known = {process.pid for process in below(server.pid)}
        victim = _answering(server, 1).pop()
        began = time.monotonic_ns()
        os.kill(victim, signal.SIGKILL)
        until(
            lambda: bool(_answering(server, BURSTS[workers]) - known),
            REPLACED,
            lambda: f"{command.name}: no replacement answers\n{server.words()}",
            pause=0,
        )
        return (time.monotonic_ns() - began) / 1e6


def _answering(server: Server, connections: int) -> set[int]:
    """The processes that answer so many new connections."""
    return {int(answer.body) for answer in burst(server.address, "/process", connections)}


def _verdicts(cases: Sequence[Case], workers: int) -> list[Verdict]:
    ours, *others = (case for case in cases if case.workers == workers)
    return [
        Verdict(
            f"median, {workers} worker{'s' if workers > 1 else ''}, as {other.name}",
            f"<= {other.spread.median:.0f} ms",
            f"{ours.spread.median:.0f} ms",
            ours.spread.median <= other.spread.median,
        )
        for other in others
    ]


def _rows(cases: Sequence[Case]) -> tuple[tuple[str, ...], ...]:
    head = ("milliseconds", "workers", "kills", "shortest", "median", "longest")
    body = (
        (
            *(case.name, str(case.workers), str(len(case.took))),
            *(f"{value:.0f}" for value in (min(case.took), case.spread.median, case.spread.worst)),
        )
        for case in cases
    )
    return (head, *body)


def _chart(cases: Sequence[Case]) -> Chart:
    series = (Series(f"{case.name}, {case.workers}", list(enumerate(case.took, start=1)), Style.DOTS) for case in cases)
    return Chart("From kill -9 to the replacement's first answer", "round", "milliseconds", tuple(series))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
