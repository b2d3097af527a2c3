"""Swaps by SIGHUP under mixed load: nothing fails, nothing is closed, nothing starts on an epoch that was replaced.

The start of a request is stamped by the worker before it reads the commit cell; the time of a store is taken by
the supervisor after the store returned. Where the supervisor is killed right after the store, its time is not
known: the time at which an observer, who looks all the time, had seen the new value stands in for it. That is later
than the store, so it can hide a late start that came within that time, and cannot invent one.
"""

import sys
import time
from bisect import bisect_left
from collections.abc import Iterable

import msgspec

from benchmarks import kernel
from benchmarks.chart import Chart, Series, Style
from benchmarks.load.process import Totals, running, total
from benchmarks.load.record import CLOSES, Kind, Mix
from benchmarks.machine import here
from benchmarks.network import leave_for_own
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.samples import Sample, Stores, samples
from benchmarks.subject import serving, until
from benchmarks.swap import Swap, Swapper
from benchmarks.visitors import visiting

NAME = "swaps_under_load"
PAUSE = 0.4
"""Seconds between two swaps: 1.5 s requests then hold at most 5 generations, below the bound on resident copies."""
AFTER = 3.0
"""Seconds for which load goes on after the supervisor was killed."""
SHARED = "the kernel's counters are those of the whole machine: a network namespace of its own needs root"
NEAR = 15_000_000
"""Nanoseconds around a store that the chart shows."""
DRAWN = 12_000
"""Most dots in the chart."""


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        workers: Of the server.
        swaps: Under load.
        idle: Swaps without load.
        killed: Rounds in which the supervisor is killed, idle and under load each.
        mix: The load.
    """

    workers: int = 4
    swaps: int = 100
    idle: int = 50
    killed: int = 5
    mix: Mix = Mix()


QUICK = Parameters(swaps=5, idle=5, killed=1)


class Scene(msgspec.Struct, frozen=True):
    """What was seen in one situation.

    Attributes:
        swaps: How many there were.
        answers: Whole, right answers.
        failed: Requests without one.
        closed: Connections that the server closed, unasked.
        late: Requests started on an epoch after its successor was stored.
        torn: Answers, epochs or contents that were not of exactly one epoch.
        stale: Workers that did not serve the last epoch at the end.
        untimed: Swaps of which the supervisor did not say when they were stored.
        kernel: Counters of the kernel that have grown.
    """

    swaps: int
    answers: int
    failed: int = 0
    closed: int = 0
    late: int = 0
    torn: int = 0
    stale: int = 0
    untimed: int = 0
    kernel: dict[str, int] = {}

    def __add__(self, other: "Scene") -> "Scene":
        numbers = {name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__[:-1]}
        kernel = {name: self.kernel.get(name, 0) + other.kernel.get(name, 0) for name in {*self.kernel, *other.kernel}}
        return Scene(**numbers, kernel=kernel)


class SwapsResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        scenes: Situation -> what was seen.
        totals: Of the load of the long run.
        swaps: Every swap of the long run.
    """

    scenes: dict[str, Scene]
    totals: Totals
    swaps: tuple[Swap, ...]


def main(arguments: list[str]) -> int:
    """Run all situations."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    parameters = QUICK if options.quick else Parameters()
    machine = here(f"benchmarks.{NAME}")
    alone = leave_for_own()
    loaded, totals, swaps, answers = under_load(parameters)
    scenes = {
        "under load": loaded,
        "idle": idle(parameters),
        "killed under load": _sum(killed_under_load(parameters) for _ in range(parameters.killed)),
        "killed idle": _sum(killed_idle(parameters) for _ in range(parameters.killed)),
    }
    result = SwapsResult(
        title=f"{len(swaps)} swaps by SIGHUP under mixed load, {parameters.workers} workers",
        machine=machine,
        quick=options.quick,
        verdicts=_verdicts(scenes),
        rows=_rows(scenes),
        notes=(*told_of(totals), *(() if alone else (SHARED,))),
        scenes=scenes,
        totals=totals,
        swaps=tuple(swaps),
    )
    return publish(NAME, result, _chart(swaps, answers), options.out)


def under_load(parameters: Parameters) -> tuple[Scene, Totals, list[Swap], list[Sample]]:
    """Swap again and again while the whole mix runs."""
    with serving(parameters.workers) as subject:
        before = kernel.counters()
        swapper, swaps = Swapper(subject), list[Swap]()
        with running(subject.address, parameters.mix) as load:
            for _ in range(parameters.swaps):
                swaps.append(swapper.swap())
                time.sleep(PAUSE)
            reports = load.stop()
        grown = kernel.grown(before, kernel.counters())
    answers, totals = list(samples(reports)), total(reports)
    stores = Stores([(swap.epoch, swap.stored) for swap in swaps if swap.stored])
    scene = _scene(totals, len(swaps), len(stores.late(answers)), grown)
    return msgspec.structs.replace(scene, untimed=sum(not swap.stored for swap in swaps)), totals, swaps, answers


def idle(parameters: Parameters) -> Scene:
    """Ask idle workers in the moment in which the store is seen."""
    answers = late = stale = untimed = 0
    with serving(parameters.workers) as subject, visiting(subject.address, parameters.workers) as visitors:
        before = kernel.counters()
        swapper = Swapper(subject)
        for _ in range(parameters.idle):
            store = swapper.store(pause=0)
            made = visitors.ask()
            swap = swapper.timeline(store)
            answers += len(made)
            late += sum(each.epoch < swap.epoch and each.started > swap.stored for each in made)
            stale += sum(each.epoch != swap.epoch for each in visitors.ask())
            untimed += not swap.stored
        grown = kernel.grown(before, kernel.counters())
    return Scene(parameters.idle, answers, late=late, stale=stale, untimed=untimed, kernel=grown)


def killed_under_load(parameters: Parameters) -> Scene:
    """Kill the supervisor right after the store, and let the load go on."""
    with serving(parameters.workers) as subject:
        before = kernel.counters()
        with running(subject.address, parameters.mix) as load:
            store = Swapper(subject).store(pause=0)
            subject.kill_supervisor()
            time.sleep(AFTER)
            reports = load.stop()
        grown = kernel.grown(before, kernel.counters())
    answers, totals = list(samples(reports)), total(reports)
    late = Stores([(store.epoch, store.seen)]).late(answers)
    following = {sample.slot for sample in answers if sample.epoch == store.epoch}
    scene = _scene(totals, 1, len(late), grown)
    return msgspec.structs.replace(scene, stale=parameters.workers - len(following))


def killed_idle(parameters: Parameters) -> Scene:
    """Kill the supervisor right after the store, and ask every worker at once."""
    with serving(parameters.workers) as subject, visiting(subject.address, parameters.workers) as visitors:
        store = Swapper(subject).store(pause=0)
        subject.kill_supervisor()
        made = visitors.ask()
        until(lambda: not subject.alive, 10.0, lambda: "the supervisor does not die")
        again = visitors.ask()
    late = sum(each.epoch < store.epoch for each in made)
    return Scene(1, len(made) + len(again), late=late, stale=sum(each.epoch != store.epoch for each in again))


def _scene(totals: Totals, swaps: int, late: int, grown: dict[str, int]) -> Scene:
    torn = len(totals.confused) + sum(count for fault, count in totals.faults.items() if fault.name == "EPOCHS")
    return Scene(swaps, sum(totals.requests.values()), totals.failed, totals.closed, late, torn, kernel=grown)


def _sum(scenes: Iterable[Scene]) -> Scene:
    return sum(scenes, Scene(0, 0))


def _verdicts(scenes: dict[str, Scene]) -> tuple[Verdict, ...]:
    return tuple(verdict for name, scene in scenes.items() for verdict in _judge(name, scene))


def _judge(name: str, scene: Scene) -> list[Verdict]:
    grown = ", ".join(f"{counter} +{count}" for counter, count in scene.kernel.items()) or "none"
    counts = {
        "failed requests": scene.failed,
        "connections closed unasked": scene.closed,
        "answers not of exactly one epoch": scene.torn,
        "requests started on the old epoch after the store": scene.late,
        "workers not on the new epoch afterwards": scene.stale,
        "swaps whose store was not timed": scene.untimed,
    }
    verdicts = [Verdict(f"{name}: {what}", "0", str(count), not count) for what, count in counts.items()]
    return [
        *verdicts,
        Verdict(f"{name}: kernel counters of drops and resets that grew", "none", grown, not scene.kernel),
    ]


def _rows(scenes: dict[str, Scene]) -> tuple[tuple[str, ...], ...]:
    head = ("situation", "swaps", "answers", "failed", "closed", "late starts", "torn", "kernel")
    body = (
        (name, *map(str, (s.swaps, s.answers, s.failed, s.closed, s.late, s.torn, sum(s.kernel.values()))))
        for name, s in scenes.items()
    )
    return (head, *body)


def told_of(totals: Totals) -> tuple[str, ...]:
    """What a load says of itself: its answers by kind, its faults by kind, the first ones one by one."""
    kinds = ", ".join(f"{kind.value} {totals.requests.get(kind, 0)}" for kind in Kind)
    faults = tuple(
        f"{'closed' if fault in CLOSES else 'failed'}: {fault.value}, {count} times"
        for fault, count in totals.faults.items()
    )
    first = tuple(f"{trouble.kind.value}: {trouble.fault.value} {trouble.detail}" for trouble in totals.troubles[:5])
    return (f"answers by kind: {kinds}; {totals.connections} connections", *faults, *first)


def _chart(swaps: list[Swap], answers: list[Sample]) -> Chart:
    """When requests started around each store, those of the old epoch apart from those of the new."""
    old: list[tuple[float, float]] = []
    new: list[tuple[float, float]] = []
    starts = sorted((sample.started, sample.epoch) for sample in answers)
    for number, swap in enumerate(swaps, start=1):
        for started, epoch in _near(starts, swap.stored):
            (new if epoch >= swap.epoch else old).append(((started - swap.stored) / 1e6, number))
    thin = 1 + (len(old) + len(new)) // DRAWN
    return Chart(
        "Starts of requests around the store into the commit cell",
        "milliseconds after the store",
        "swap",
        (Series("old epoch", old[::thin], Style.DOTS), Series("new epoch", new[::thin], Style.DOTS)),
        edges=(0.0,),
    )


def _near(starts: list[tuple[int, int]], stored: int) -> list[tuple[int, int]]:
    if not stored:
        return []
    return starts[bisect_left(starts, (stored - NEAR, 0)) : bisect_left(starts, (stored + NEAR, 0))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
