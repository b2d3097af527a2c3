"""What each further worker costs in memory, beside other servers with the same FastAPI application.

Proportional memory (PSS) of all processes of a server is added up with one worker and with four, after every server has
answered the same requests; a further worker costs a third of the difference. Servers take turns. Then a server of ours
rolls, and the most that all of its processes have together meanwhile is reported.
"""

import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from benchmarks.chart import Chart, Series
from benchmarks.contents import STOREFRONT
from benchmarks.environment import installed
from benchmarks.household import Look, Process, below, proportional, watching
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.servers import (
    CHANGEOVER,
    GRANIAN,
    GUNICORN_ASGI_PRELOADED,
    GUNICORN_PRELOADED,
    UVICORN,
    Command,
    Server,
    served,
)
from benchmarks.subject import SubjectBroken, until
from benchmarks.visitors import burst
from benchmarks.zygotes import cohort, named
from changeover.supervisor.control import StatusView

NAME = "cohort_memory"
COMPARED = (CHANGEOVER, GUNICORN_PRELOADED, GUNICORN_ASGI_PRELOADED, GRANIAN, UVICORN)
WORKERS = 4
REQUESTS = 50
"""Requests that every worker has answered, at least, before memory is looked at: one that has not is smaller."""
BURST = 32
"""Connections that ask at the same time."""
BURSTS = 400
"""Bursts until then, at most."""
QUIET = 1.0
"""Seconds between the last request and the look."""
ROLLED = 30.0
"""Seconds until a roll has ended and only its workers are left."""


class Size(msgspec.Struct, frozen=True):
    """Proportional memory of all processes of one server, bytes.

    Attributes:
        name: The server's.
        ones: With one worker, in each round.
        alls: With four, in each round.
    """

    name: str
    ones: tuple[int, ...]
    alls: tuple[int, ...]

    @property
    def one(self) -> float:
        """With one worker, the median."""
        return statistics.median(self.ones)

    @property
    def all(self) -> float:
        """With four workers, the median."""
        return statistics.median(self.alls)

    @property
    def further(self) -> float:
        """What each further worker costs."""
        return (self.all - self.one) / (WORKERS - 1)


class CohortResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        sizes: Of each server, ours first.
        roll: Memory of all processes of our server while it rolls.
    """

    sizes: tuple[Size, ...]
    roll: tuple[Look, ...]


def main(arguments: list[str]) -> int:
    """Compare; the status is 1 when a promise did not hold, and another where the peers cannot be installed."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    commands = installed()
    sizes = compare(commands, 1 if options.quick else 7)
    looks = roll(commands)
    result = CohortResult(
        title=f"Memory of each further worker of the same FastAPI application, of {WORKERS}",
        machine=machine,
        quick=options.quick,
        verdicts=tuple(_verdict(sizes[0], size) for size in sizes[1:] if "--preload" in size.name),
        rows=_rows(sizes),
        notes=(*_rounds(sizes), *_notes(looks)),
        sizes=sizes,
        roll=tuple(looks),
    )
    return publish(NAME, result, _chart(looks), options.out)


def compare(binaries: Path, rounds: int) -> tuple[Size, ...]:
    """Look at each server with one worker and with all, in turn."""
    found: dict[tuple[str, int], list[int]] = {}
    for _ in range(rounds):
        for command in COMPARED:
            for workers in (1, WORKERS):
                found.setdefault((command.name, workers), []).append(weigh(binaries, command, workers))
    return tuple(Size(each.name, tuple(found[each.name, 1]), tuple(found[each.name, WORKERS])) for each in COMPARED)


def weigh(binaries: Path, command: Command, workers: int) -> int:
    """Proportional memory of all processes of one server that has answered requests, bytes."""
    with served(binaries, command, workers, STOREFRONT) as server:
        _warm(server, workers)
        return proportional((server.pid, *(process.pid for process in below(server.pid))))


def _warm(server: Server, workers: int) -> None:
    """Have every worker answer.

    Raises:
        SubjectBroken: One does not.
    """
    answered: Counter[bytes] = Counter()
    for _ in range(BURSTS):
        answered.update(answer.body for answer in burst(server.address, "/process", BURST))
        if len(answered) == workers and min(answered.values()) >= REQUESTS:
            time.sleep(QUIET)
            return
    raise SubjectBroken(f"{server.command.name}: workers answered {sorted(answered.values())} requests")


def roll(binaries: Path) -> list[Look]:
    """Watch the memory of a server of ours before, during and after a roll."""
    with served(binaries, CHANGEOVER, WORKERS, STOREFRONT) as server:
        _warm(server, WORKERS)
        old = set(below(server.pid))
        with watching(server.pid) as watch:
            time.sleep(QUIET)
            server.contents.append("main.py", "\nROLLED = True\n")
            server.hang_up()
            until(lambda: not _left(server, old), ROLLED, server.words, pause=0.05)
            _warm(server, WORKERS)
    return watch.looks


def _left(server: Server, old: Iterable[Process]) -> list[Process]:
    """Those of `old` that live and are not the zygote that the supervisor says it keeps."""
    wanted = named(server.control.get("/v1/status", StatusView))
    return [process for process in old if process.alive and cohort(process.pid) not in wanted]


def _verdict(ours: Size, other: Size) -> Verdict:
    bound, measured = f"<= {other.further / 2**20:.2f} MiB", f"{ours.further / 2**20:.2f} MiB"
    return Verdict(f"each further worker, as {other.name}", bound, measured, ours.further <= other.further)


def _rows(sizes: Sequence[Size]) -> tuple[tuple[str, ...], ...]:
    head = ("MiB of all processes (PSS)", "1 worker", f"{WORKERS} workers", "each further worker")
    body = ((size.name, *(f"{value / 2**20:.2f}" for value in (size.one, size.all, size.further))) for size in sizes)
    return (head, *body)


def _rounds(sizes: Sequence[Size]) -> Iterable[str]:
    for size in sizes:
        each = ((more - one) / (WORKERS - 1) / 2**20 for one, more in zip(size.ones, size.alls, strict=True))
        yield f"each further worker of {size.name}, by rounds: {', '.join(f'{value:.2f}' for value in each)} MiB"


def _notes(looks: Sequence[Look]) -> tuple[str, ...]:
    most = max(looks, key=lambda look: look.bytes)
    return (
        f"a roll of {WORKERS} workers: {looks[0].bytes / 2**20:.1f} MiB before, {most.bytes / 2**20:.1f} MiB at most "
        f"(with {most.processes} processes), {looks[-1].bytes / 2**20:.1f} MiB after",
    )


def _chart(looks: Sequence[Look]) -> Chart:
    points = [(look.at - looks[0].at, look.bytes / 2**20) for look in looks]
    return Chart(
        f"All processes of a server of {WORKERS} workers while it rolls",
        "seconds",
        "MiB (PSS)",
        (Series("PSS", points),),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
