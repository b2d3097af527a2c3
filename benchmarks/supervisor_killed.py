"""The supervisor killed with -9 at every step of swaps and rolls, under mixed load, and started again.

Some migrate, some go to another address or part by part, and some are refused on the way. The supervisor kills itself
exactly there, from both sides of each step; half a second later the next one starts. That has to adopt every worker,
settle the cutover (what is on disk as committed is driven forward, a part of it is reverted, anything less is aborted
and what was migrated for it undone), come to a quiet state in which nobody and nothing is left over, and reload. The
load goes on all the time. A request counts as late when it started on an epoch after an observer, who looks all the
time, had seen a later one in the commit cell; of parts, in the word of it that they read. Where a start adopts,
`make chaos` kills.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import msgspec

from benchmarks import kernel
from benchmarks.chart import Chart, Series, Style
from benchmarks.killing.cell_watch import CellWatch, watching_cell
from benchmarks.killing.cutovers import PLAYS, Cutover, Play
from benchmarks.killing.moments import Moment
from benchmarks.killing.reckoning import Seen, reckon
from benchmarks.killing.trial import DYING, Trial, Trials
from benchmarks.load.process import Totals, running, total
from benchmarks.load.record import Mix
from benchmarks.machine import here
from benchmarks.network import leave_for_own
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.samples import PartStores
from benchmarks.subject import SubjectBroken, serving
from benchmarks.swaps_under_load import SHARED, told_of

NAME = "supervisor_killed"
CALM = 1.0
"""Seconds of load before the first trial, and after the last."""


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        workers: Of the server.
        every: At every so many moments.
        mix: The load.
    """

    workers: int = 4
    every: int = 1
    mix: Mix = Mix()


QUICK = Parameters(workers=2, every=9)


class Scene(msgspec.Struct, frozen=True):
    """What was seen of one kind of cutover.

    Attributes:
        mixes: Whether two versions serve beside each other, so that one content answers under several epochs.
        trials: Every one.
        seen: Of each one, what the load met.
        broken: Why the trials ended early; empty when they did not.
        missed: Moments that were not tried therefore.
        totals: Of the load.
        kernel: Counters of the kernel that have grown.
    """

    mixes: bool
    trials: tuple[Trial, ...]
    seen: tuple[Seen, ...]
    broken: str
    missed: int
    totals: Totals
    kernel: dict[str, int]


class KilledResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        scenes: What was cut over to -> what was seen.
    """

    scenes: dict[str, Scene]


def main(arguments: list[str]) -> int:
    """Kill, and judge."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    parameters = QUICK if options.quick else Parameters()
    machine = here(f"benchmarks.{NAME}")
    alone = leave_for_own()
    scenes = {each.name: _play_all(each, parameters) for each in PLAYS}
    count = sum(len(scene.trials) for scene in scenes.values())
    result = KilledResult(
        title=f"The supervisor killed with -9 at {count} steps under mixed load, {parameters.workers} workers",
        machine=machine,
        quick=options.quick,
        verdicts=tuple(verdict for name, scene in scenes.items() for verdict in verdicts(name, scene)),
        rows=_rows(scenes),
        notes=tuple(_notes(scenes, alone)),
        scenes=scenes,
    )
    return publish(NAME, result, _chart(scenes), options.out)


def _play_all(each: Play, parameters: Parameters) -> Scene:
    return play(each, each.moments(each.workers or parameters.workers)[:: parameters.every], parameters)


def play(each: Play, chosen: Sequence[tuple[Cutover, Moment]], parameters: Parameters) -> Scene:
    """Kill the supervisor of one server at each of these moments of a cutover, under load."""
    trials, broken, workers = list[Trial](), "", each.workers or parameters.workers
    with serving(workers, each.kind, DYING) as subject, ExitStack() as stack:
        words = subject.cell.words if each.mixes else (subject.cell,)
        watches = [stack.enter_context(watching_cell(word)) for word in words]
        before, first = kernel.counters(), {subject.status().epoch: subject.contents.marker}
        with running(subject.address, parameters.mix) as load:
            time.sleep(CALM)
            killer = Trials(subject)
            try:
                trials += (killer.run(cutover, moment) for cutover, moment in chosen)
            except SubjectBroken as error:
                broken = str(error)
            time.sleep(CALM)
            reports = load.stop()
        grown = kernel.grown(before, kernel.counters())
    seen, totals = reckon(trials, reports, _stores(watches), first), total(reports)
    return Scene(each.mixes, tuple(trials), seen, broken, len(chosen) - len(trials), totals, grown)


def _stores(watches: Sequence[CellWatch]) -> PartStores:
    return PartStores([watch.stores for watch in watches])


def verdicts(name: str, scene: Scene) -> Iterator[Verdict]:
    """What is promised, and what was seen."""
    totals = scene.totals
    mixed = 0 if scene.mixes else len(totals.confused)
    torn = mixed + sum(count for fault, count in totals.faults.items() if fault.name == "EPOCHS")
    counts = {
        "failed requests": totals.failed,
        "connections closed unasked": totals.closed,
        "answers not of exactly one epoch": torn,
        "answers of content that was not committed under their epoch": sum(seen.wrong for seen in scene.seen),
        "requests started on the old epoch after the store": sum(seen.late for seen in scene.seen),
        "cutovers not settled as the disk says, or processes not adopted": sum(bool(t.problems) for t in scene.trials),
        "moments that were not reached": scene.missed,
    }
    for what, count in counts.items():
        yield Verdict(f"{name}: {what}", "0", str(count), not count)
    grown = ", ".join(f"{counter} +{count}" for counter, count in scene.kernel.items()) or "none"
    yield Verdict(f"{name}: kernel counters of drops and resets that grew", "none", grown, not scene.kernel)


def _rows(scenes: dict[str, Scene]) -> tuple[tuple[str, ...], ...]:
    head = ("killed", "settled as", "answers", "failed", "closed", "late starts", "wrong content", "quiet after, s")
    body = (
        (
            f"{name}: {trial.moment}" if trial.cutover == name else f"{name}, {trial.cutover}: {trial.moment}",
            f"NOT {trial.fate.value}" if trial.problems else trial.fate.value,
            *map(str, (seen.answers, seen.failed, seen.closed, seen.late, seen.wrong)),
            f"{trial.took:.1f}",
        )
        for name, scene in scenes.items()
        for trial, seen in zip(scene.trials, scene.seen, strict=True)
    )
    return (head, *body)


def _notes(scenes: dict[str, Scene], alone: bool) -> Iterator[str]:
    for name, scene in scenes.items():
        yield from (f"{name}: {line}" for line in told_of(scene.totals))
        yield from (
            f"{name}: {trial.cutover}: {trial.moment}: {problem}"
            for trial in scene.trials
            for problem in trial.problems
        )
        if scene.broken:
            yield f"{name}: {scene.broken}"
    if not alone:
        yield SHARED


def _chart(scenes: dict[str, Scene]) -> Chart:
    """How long each start took to settle everything."""
    series = (
        Series(name, [(number, trial.took) for number, trial in enumerate(scene.trials, start=1)], Style.DOTS)
        for name, scene in scenes.items()
    )
    return Chart("From the start of the next supervisor to quiet", "step", "seconds", tuple(series))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
