"""What a thousand swaps with ever new content leave behind in a worker: memory, and objects of retired contents.

The plugin has 20 modules, a task and a thread. Resident memory is read from smaps_rollup after every tenth swap,
while a light load goes on. Objects are counted by the plugin itself, in every worker, before the first swap and after
the last was retired, after one collection: what belongs to any content's modules, and tasks and threads that are in
code of these. More than one content's worth afterwards is a leak; and so is whatever the workers' own proofs of release
have told.
"""

import socket
import sys
import time

import msgspec

from benchmarks import kernel
from benchmarks.chart import Chart, Series
from benchmarks.figures import slope
from benchmarks.load.process import Totals, running, total
from benchmarks.load.record import Mix
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.subject import Subject, SubjectBroken, serving, until
from benchmarks.swap import Swapper
from benchmarks.visitors import MOST, answer
from benchmarks.wide_plugin import MODULES, widen
from changeover.supervisor.api.bodies import HistoryAnswer
from changeover.supervisor.control import EpochState
from changeover.supervisor.telemetry.counts import Counts

NAME = "memory"
WORKERS = 4
LIGHT = Mix(busy=4, idle=4, fresh=1, silent=1, post=0, dribble=0, stream=0, long=0, pace=0.05)
"""Nothing that takes long: swaps follow each other at once, and must not pile up copies to the residency bound."""
EVERY = 10
"""Swaps between two looks at the memory."""
BOUND = 1024.0
"""Bytes per swap."""
GONE = frozenset({EpochState.RETIRED, EpochState.ABORTED})
PROVED = 6.0
"""Seconds after the last release in which every worker has looked for what it released."""
RETIRED = 30.0
"""Seconds until what the last swap replaced is released everywhere."""


class Census(msgspec.Struct, frozen=True):
    """What is alive of the probe plugin in one worker.

    Attributes:
        epoch: What the worker serves.
        slot: The worker's.
        alive: What -> how many.
    """

    epoch: int
    slot: int
    alive: dict[str, int]


class MemoryResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        looks: Swaps so far, and slot -> memory then.
        slopes: Slot -> bytes per swap over the second half, of rss and of uss.
        before: Slot -> objects before the first swap.
        after: Slot -> objects after the last.
        totals: Of the load.
        counts: Of the server: proofs of release, their longest pause, and leaks.
    """

    looks: tuple[tuple[int, dict[int, kernel.Memory]], ...]
    slopes: dict[int, tuple[float, float]]
    before: dict[int, dict[str, int]]
    after: dict[int, dict[str, int]]
    totals: Totals
    counts: Counts


def main(arguments: list[str]) -> int:
    """Swap, look, and count."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    machine = here(f"benchmarks.{NAME}")
    swaps = 40 if options.quick else 1000
    looks, before, after, totals, counts = measure(swaps)
    slopes = {slot: _slopes(looks, slot, swaps // 2) for slot in range(WORKERS)}
    result = MemoryResult(
        title=f"Memory of {WORKERS} workers over {swaps} swaps of a plugin of {MODULES} modules, ever new",
        machine=machine,
        quick=options.quick,
        verdicts=(*_verdicts(slopes, before, after), _proved(counts), _nothing_failed(totals)),
        rows=_rows(looks, slopes, after),
        notes=tuple(
            f"slot {slot}: {_surplus(before[slot], after[slot])}" for slot in after if before[slot] != after[slot]
        ),
        looks=tuple(looks),
        slopes=slopes,
        before=before,
        after=after,
        totals=totals,
        counts=counts,
    )
    return publish(NAME, result, _chart(looks), options.out)


Looks = list[tuple[int, dict[int, kernel.Memory]]]
Objects = dict[int, dict[str, int]]


def measure(swaps: int) -> tuple[Looks, Objects, Objects, Totals, Counts]:
    """Swap so many times, looking at the memory; then count objects when all is retired."""
    looks: Looks = []
    with serving(WORKERS) as subject:
        widen(subject.contents)
        swapper = Swapper(subject, settle=0.0)
        last = swapper.swap()
        until(lambda: _retired(subject, last.epoch), RETIRED, lambda: "old epochs are not retired", pause=0.2)
        before = census(subject)
        workers = subject.workers()
        with running(subject.address, LIGHT) as load:
            for number in range(1, swaps + 1):
                last = swapper.swap()
                if number % EVERY == 0:
                    looks.append((number, {slot: kernel.memory(pid) for slot, pid in workers.items()}))
            reports = load.stop()
        if subject.workers() != workers:
            raise SubjectBroken(f"workers were replaced while they were measured\n{subject.words()}")
        until(lambda: _retired(subject, last.epoch), RETIRED, lambda: "old epochs are not retired", pause=0.2)
        after = census(subject)
        time.sleep(PROVED)
        counts = subject.status().counts
    return looks, before, after, total(reports), counts


def _retired(subject: Subject, serving: int) -> bool:
    lines = subject.control.get("/v1/history?limit=20", HistoryAnswer).epochs
    return all(line.state in GONE for line in lines if line.epoch != serving)


def census(subject: Subject) -> Objects:
    """Ask every worker what is alive in it."""
    found: Objects = {}
    for _ in range(MOST):
        with socket.create_connection(subject.address, 10.0) as connection:
            connection.sendall(b"GET /census HTTP/1.1\r\nhost: census\r\nconnection: close\r\n\r\n")
            counted = msgspec.json.decode(answer(connection).body, type=Census)
        found[counted.slot] = counted.alive
        if len(found) == WORKERS:
            return found
    raise SubjectBroken(f"after {MOST} connections only slots {sorted(found)} answered")


def _slopes(looks: Looks, slot: int, first: int) -> tuple[float, float]:
    later = [(number, memories[slot]) for number, memories in looks if number > first]
    rss = slope([(number, memory.rss) for number, memory in later])
    return rss, slope([(number, memory.uss) for number, memory in later])


def _verdicts(slopes: dict[int, tuple[float, float]], before: Objects, after: Objects) -> tuple[Verdict, ...]:
    rss, uss = (max(each[place] for each in slopes.values()) for place in (0, 1))
    surplus = sum(max(0, count - before[slot].get(what, 0)) for slot in after for what, count in after[slot].items())
    return (
        Verdict("growth of resident memory, worst worker", "< 1 KiB per swap", f"{rss:.0f} bytes", rss < BOUND),
        Verdict("growth of unshared memory, worst worker", "< 1 KiB per swap", f"{uss:.0f} bytes", uss < BOUND),
        Verdict("objects of retired contents alive, all workers", "0", str(surplus), not surplus),
    )


def _proved(counts: Counts) -> Verdict:
    found = f"{counts.leaks} in {counts.proofs} proofs, longest pause {counts.longest_pause * 1000:.0f} ms"
    return Verdict("leaks that workers found", "0", found, counts.proofs > 0 and not counts.leaks)


def _nothing_failed(totals: Totals) -> Verdict:
    bad = totals.failed + totals.closed
    return Verdict("failed requests and connections closed unasked", "0", str(bad), not bad)


def _rows(looks: Looks, slopes: dict[int, tuple[float, float]], after: Objects) -> tuple[tuple[str, ...], ...]:
    first, last = looks[0][1], looks[-1][1]
    head = ("slot", "rss first", "rss last", "uss last", "rss bytes per swap", "uss bytes per swap", "objects alive")
    body = (
        (
            str(slot),
            *(f"{size / 1024 / 1024:.1f} MiB" for size in (first[slot].rss, last[slot].rss, last[slot].uss)),
            *(f"{growth:.0f}" for growth in slopes[slot]),
            str(sum(after[slot].values())),
        )
        for slot in range(WORKERS)
    )
    return (head, *body)


def _surplus(before: dict[str, int], after: dict[str, int]) -> str:
    changes = {what: after.get(what, 0) - before.get(what, 0) for what in sorted({*before, *after})}
    return ", ".join(f"{what} {change:+d}" for what, change in changes.items() if change)


def _chart(looks: Looks) -> Chart:
    series = (
        Series(f"slot {slot}", [(number, memories[slot].rss / 1024 / 1024) for number, memories in looks])
        for slot in range(WORKERS)
    )
    return Chart("Resident memory of each worker", "swaps", "MiB", tuple(series), from_zero=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
