"""What grows, and whether it goes on: a pool that fills up grows once, a leak in each half. Pure."""

from collections.abc import Iterator, Mapping

import msgspec

from changeover.supervisor.cli.diagnosis.measurements import Amounts, Look
from changeover.supervisor.telemetry.amounts import named

MEBIBYTE = 1024 * 1024
LEAST = {"memory": 2 * MEBIBYTE, "threads": 2, "tasks": 3, "descriptors": 3}
"""What a process has to grow by in each half, at least, to be told: less is what pools and allocators do."""


class Growth(msgspec.Struct, frozen=True):
    """One amount over time.

    Attributes:
        who: Whose it is.
        what: Which amount, one of `LEAST`.
        values: What it was, at each look.
        pss: Of memory, the share of pages that others share too.
        least: What it has to grow by in each half to go on growing.
        most: Names of what grew, most first, with by how much.
    """

    who: str
    what: str
    values: tuple[int, ...]
    pss: tuple[int, ...] = ()
    least: int = 1
    most: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.what} of the {self.who}"

    @property
    def goes_on(self) -> bool:
        """Whether it grew in the first half and in the second one."""
        first, half, last = self.values[0], self.values[len(self.values) // 2], self.values[-1]
        return half - first >= self.least and last - half >= self.least

    def shown(self) -> tuple[str, ...]:
        """The values for people."""
        return tuple(f"{value / MEBIBYTE:.1f} M" if self.what == "memory" else f"{value:,}" for value in self.values)

    def __str__(self) -> str:
        grown = f": {named(self.most)}" if self.most else ""
        return f"{self.name} {' -> '.join(self.shown())}{grown}"


def growths(who: str, looks: tuple[Look, ...]) -> Iterator[Growth]:
    """Every amount of one group of processes.

    Args:
        who: `workers`, `supervisor` or `zygote`.
        looks: In order, at least one.
    """
    seen = [_of(look, who) for look in looks]
    processes = len(looks[0].workers) if who == "workers" else 1
    first, last = seen[0], seen[-1]
    yield Growth(
        who, "memory", tuple(each.rss for each in seen), tuple(each.pss for each in seen), LEAST["memory"] * processes
    )
    threads = tuple(each.thread_count for each in seen)
    yield Growth(who, "threads", threads, (), LEAST["threads"], _grown(first.threads, last.threads))
    if who == "workers":
        tasks = tuple(sum(each.tasks.values()) for each in seen)
        yield Growth(who, "tasks", tasks, (), LEAST["tasks"], _grown(first.tasks, last.tasks))
    descriptors = tuple(sum(each.descriptors.values()) for each in seen)
    yield Growth(who, "descriptors", descriptors, (), LEAST["descriptors"], _grown(first.descriptors, last.descriptors))


def _of(look: Look, who: str) -> Amounts:
    return {"workers": look.among_workers, "supervisor": look.supervisor, "zygote": look.zygote}[who]


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[str, ...]:
    grown = {name: count - before.get(name, 0) for name, count in after.items() if count > before.get(name, 0)}
    return tuple(f"{name} +{count}" for name, count in sorted(grown.items(), key=lambda each: -each[1]))
