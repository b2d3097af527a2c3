"""Measurements in, findings out. Pure."""

import enum
from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from changeover.supervisor.cli.diagnosis.growth import growths
from changeover.supervisor.cli.diagnosis.measurements import Answered, Change, Look, Measured
from changeover.supervisor.telemetry.amounts import seconds
from changeover.workers.protocol.examination import Examination, Kind, ModuleTime

NAMED = 5
"""Modules, failures and the like that are named."""
LISTED = 20
"""Durations that one line lists."""
HARMLESS = frozenset({Kind.APPENDED, Kind.DEVICE})
"""What workers may share."""
NOT_TO_SHARE = (
    "make it in the lifespan's startup, which runs in each worker, or start with --no-preload, which takes more memory"
)
EACH_MODULE = "import what is slow where it is used, or make it in the background after the startup"


class Verdict(enum.Enum):
    """What came of a question."""

    OK = "ok"
    FOUND = "FOUND"
    UNKNOWN = "unknown"
    """It was not tried, or there was nothing to look at."""


class Check(msgspec.Struct, frozen=True):
    """One question and its answer.

    Attributes:
        title: The question.
        verdict: The answer.
        figure: What it rests on, in one line.
        details: Who, one line each.
        advice: What to do; empty where nothing has to be done.
    """

    title: str
    verdict: Verdict
    figure: str
    details: tuple[str, ...] = ()
    advice: str = ""


def judge(measured: Measured) -> tuple[Check, ...]:
    """Answer every question."""
    plan = measured.plan
    return (
        fork_safe(measured.alone, plan.preload),
        boots_fast(measured.alone, plan.within),
        keeps_instance(measured.swaps_looks, len(measured.swaps)),
        changes("swaps", measured.swaps, plan.swaps, measured.swaps_load),
        changes("rolls", measured.rolls, plan.rolls, measured.rolls_load),
        grows("swaps leave nothing", measured.swaps_looks, ("workers",)),
        grows("rolls leave nothing", measured.rolls_looks, ("supervisor", "zygote")),
    )


def fork_safe(alone: Examination | None, preload: bool) -> Check:
    """Whether workers can be forked from a process that has imported the application."""
    title = "fork-safe"
    if alone is None:
        return Check(title, Verdict.UNKNOWN, "no application: nothing is imported before workers are forked")
    if alone.failure:
        return _not_alone(title, alone)
    shared = [each for each in alone.left if each.kind not in HARMLESS]
    details = (
        *(f"{module} starts a thread" for module in alone.threads),
        *(f"{each.module} leaves a {each.kind.value}: {each.what}" for each in shared),
        *(
            f"{each.module} keeps a {each.kind.value}, which may be shared: {each.what}"
            for each in alone.left
            if each.kind in HARMLESS
        ),
    )
    found = _counted([*["thread" for _ in alone.threads], *(each.kind.value for each in shared)])
    if not found:
        figure = f"the import of {_modules(alone)} leaves nothing that workers must not share"
        return Check(title, Verdict.OK, figure, details)
    if not preload:
        figure = f"workers import for themselves (preload is off): {found} in each"
        return Check(title, Verdict.OK, figure, details)
    after = "; until then workers import after the fork, each for itself" if alone.threads else ""
    return Check(title, Verdict.FOUND, f"the import leaves: {found}", details, NOT_TO_SHARE + after)


def boots_fast(alone: Examination | None, within: float) -> Check:
    """Whether import and startup take no longer than they may."""
    title = "boots fast"
    if alone is None:
        return Check(title, Verdict.UNKNOWN, "no application")
    if alone.failure:
        return _not_alone(title, alone)
    took = alone.imported + alone.started
    figure = (
        f"{seconds(took)} of {seconds(within)}: import {seconds(alone.imported)} ({_modules(alone)}), "
        f"instance and startup {seconds(alone.started)}"
    )
    if took <= within:
        return Check(title, Verdict.OK, figure)
    return Check(title, Verdict.FOUND, figure, tuple(_slowest(alone.modules, alone.started)), EACH_MODULE)


def keeps_instance(looks: tuple[Look, ...], swaps: int) -> Check:
    """Whether every worker has the same processes and instances after the swaps as before."""
    title = "keeps its instance"
    before, after = looks[0].workers, looks[-1].workers
    if not swaps:
        return Check(title, Verdict.UNKNOWN, "nothing was swapped")
    details = [f"pid {pid} ended" for pid in before.keys() - after.keys()]
    for pid in before.keys() & after.keys():
        made = after[pid].instances - before[pid].instances
        if made:
            details.append(f"pid {pid} made {made} more")
    if details:
        figure = f"not the same instance after {swaps} swaps"
        return Check(title, Verdict.FOUND, figure, tuple(sorted(details)), "this is a fault of changeover: report it")
    each = max(census.instances for census in after.values())
    if not each:
        return Check(title, Verdict.UNKNOWN, f"no application; the same {len(after)} processes after {swaps} swaps")
    return Check(title, Verdict.OK, f"the same one in the same {len(after)} workers after {swaps} swaps")


def changes(title: str, made: tuple[Change, ...], wanted: int, load: Answered) -> Check:
    """Whether every swap or roll was committed, and no request or connection was lost in them."""
    if not made:
        return Check(title, Verdict.UNKNOWN, "not tried" if wanted else "none wanted")
    failed = next((change for change in made if change.failure), None)
    committed = len(made) - (failed is not None)
    took, left = [change.took for change in made], max(change.left for change in made)
    stayed = f", what they replaced gone {seconds(left)} later at most" if left else ""
    figure = (
        f"{committed}/{wanted} committed, {seconds(sum(took) / len(took))} each, {seconds(max(took))} at most{stayed}; "
        f"{load.requests:,} requests, {len(load.failures)} failed, {load.closes} closed"
    )
    lost = tuple(f"{count} x {words}" for words, count in Counter(load.failures).most_common(NAMED))
    each = _each(change.took for change in made)
    if failed is not None:
        reason = (f"number {len(made)}: {failed.failure[0]}", *failed.failure[1:])
        advice = "mend what it says; the others were not tried"
        return Check(title, Verdict.FOUND, figure, (*reason, *lost, each), advice)
    if load.failures or load.closes:
        advice = "look whether these requests also fail when nothing changes"
        return Check(title, Verdict.FOUND, figure, (*lost, each), advice)
    return Check(title, Verdict.OK, figure, (each,))


def grows(title: str, looks: tuple[Look, ...], who: tuple[str, ...]) -> Check:
    """Whether memory, threads, tasks and descriptors stay what they were."""
    if len(looks) < 3:
        return Check(title, Verdict.UNKNOWN, "too few were made to tell")
    growing = [growth for group in who for growth in growths(group, looks) if growth.goes_on]
    if not growing:
        return Check(title, Verdict.OK, "memory, threads, tasks and descriptors do not go on growing")
    requests = looks[-1].requests - looks[0].requests
    figure = f"still growing after {requests:,} requests: {', '.join(growth.name for growth in growing)}"
    advice = "find who makes what is named and does not close, cancel or drop it"
    return Check(title, Verdict.FOUND, figure, tuple(map(str, growing)), advice)


def _modules(alone: Examination) -> str:
    count = len(alone.modules)
    return "1 module" if count == 1 else f"{count} modules"


def _not_alone(title: str, alone: Examination) -> Check:
    advice = "mend it; a roll imports the application while the old workers still hold what they have"
    return Check(title, Verdict.FOUND, f"it cannot be imported by itself: {alone.failure}", (), advice)


def _slowest(modules: tuple[ModuleTime, ...], started: float) -> Iterator[str]:
    """The packages that took longest, by the own code of their modules, and the startup among them."""
    packages: dict[str, list[ModuleTime]] = {}
    for module in modules:
        packages.setdefault(module.name.partition(".")[0], []).append(module)
    lines = [(sum(module.own for module in each), _package(name, each)) for name, each in packages.items()]
    lines.append((started, "instance and lifespan startup"))
    for took, words in sorted(lines, reverse=True)[:NAMED]:
        yield f"{seconds(took)}  {words}"


def _package(name: str, modules: list[ModuleTime]) -> str:
    slowest = max(modules, key=lambda module: module.own)
    if len(modules) == 1:
        return slowest.name
    return f"{name}  ({len(modules)} modules; {slowest.name} {seconds(slowest.own)})"


def _each(took: Iterable[float]) -> str:
    """Every duration in order, as many as fit a line."""
    values = list(took)
    more = f" and {len(values) - LISTED} more" if len(values) > LISTED else ""
    return f"in seconds: {' '.join(f'{value:.2f}' for value in values[:LISTED])}{more}"


def _counted(words: Iterable[str]) -> str:
    return ", ".join(f"{count} x {word}" if count > 1 else word for word, count in Counter(words).items())
