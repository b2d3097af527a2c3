"""What was measured, before anybody judges it. Pure."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from changeover.supervisor.cli.diagnosis.probe import WorkerCensus
from changeover.supervisor.process.footprint import Footprint
from changeover.workers.protocol.examination import Examination


class Plan(msgspec.Struct, frozen=True):
    """What is done.

    Attributes:
        title: What is examined, for people.
        workers: How many workers.
        swaps: How many swaps.
        rolls: How many rolls.
        path: What the load asks for.
        within: Seconds that import and startup may take together.
        preload: Whether the application is imported before workers are forked.
    """

    title: str
    workers: int
    swaps: int
    rolls: int
    path: str
    within: float
    preload: bool


class Change(msgspec.Struct, frozen=True):
    """One swap or roll.

    Attributes:
        took: Seconds from asking for it to its outcome.
        left: Seconds from there until all processes that it replaced were gone.
        failure: Why it was refused, line by line; empty when every worker serves it.
    """

    took: float
    left: float = 0.0
    failure: tuple[str, ...] = ()


class Answered(msgspec.Struct, frozen=True):
    """What the load met.

    Attributes:
        requests: How many were answered as they should.
        failures: The others, in words.
        closes: Connections that were closed unasked.
    """

    requests: int = 0
    failures: tuple[str, ...] = ()
    closes: int = 0

    def __add__(self, other: "Answered") -> "Answered":
        return Answered(self.requests + other.requests, (*self.failures, *other.failures), self.closes + other.closes)


class Amounts(msgspec.Struct, frozen=True):
    """What some processes have, all together.

    Attributes:
        rss: Resident memory, bytes.
        pss: The same with shared pages divided, bytes.
        threads: Threads by name, where the names are known.
        tasks: asyncio tasks by their coroutine.
        descriptors: Descriptors by what they are.
        thread_count: Threads, those without a known name included.
    """

    rss: int
    pss: int
    thread_count: int
    descriptors: dict[str, int]
    threads: dict[str, int] = {}
    tasks: dict[str, int] = {}


class Look(msgspec.Struct, frozen=True):
    """Everything that was there at one moment.

    Attributes:
        requests: How many requests had been answered in this part of the examination by then.
        workers: Pid of each worker -> what it said of itself.
        among_workers: What the workers have.
        supervisor: What the supervisor has.
        zygote: What the zygote has.
    """

    requests: int
    workers: dict[int, WorkerCensus]
    among_workers: Amounts
    supervisor: Amounts
    zygote: Amounts


class Measured(msgspec.Struct, frozen=True):
    """All of it.

    Attributes:
        plan: What was to be done.
        boot: Seconds from starting the server to all workers serving.
        status: What the first request was answered with.
        alone: The application imported and started by itself; None without one.
        swaps: Every swap, in order; those after one that failed were not tried.
        swaps_load: What the load met through them.
        swaps_looks: Before the first, at half, after the last.
        rolls: Every roll.
        rolls_load: What the load met through them.
        rolls_looks: After the first, at half, after the last.
    """

    plan: Plan
    boot: float
    status: int
    alone: Examination | None
    swaps: tuple[Change, ...]
    swaps_load: Answered
    swaps_looks: tuple[Look, ...]
    rolls: tuple[Change, ...]
    rolls_load: Answered
    rolls_looks: tuple[Look, ...]


def amounts(footprints: Iterable[Footprint], said: Iterable[WorkerCensus] = ()) -> Amounts:
    """Add up what several processes have.

    Args:
        footprints: What the kernel says.
        said: What they say of themselves.
    """
    rss = pss = count = 0
    descriptors: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    tasks: Counter[str] = Counter()
    for each in footprints:
        rss, pss, count = rss + each.rss, pss + each.pss, count + each.threads
        descriptors.update(each.descriptors)
    for census in said:
        threads.update(census.threads)
        tasks.update(census.tasks)
    return Amounts(rss, pss, count, dict(descriptors), dict(threads), dict(tasks))
