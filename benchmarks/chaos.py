"""Random mishaps to a service under mixed load, until the time is over: what must hold whatever happens.

`python -m benchmarks.chaos --minutes 10 --seed 7`. Workers, zygotes and supervisors are killed with -9 or stopped for a
moment, content is reloaded, broken and rolled, workers become more and fewer; a dead supervisor is started again after
a moment, as a service manager does. Every request must be answered but those whose connection a killed worker held,
and every answer be of one epoch and its content. Now and then nothing happens for a while: then the service has to come
to a quiet state, with no process, socket or descriptor too many, and take a reload.

With `--soak` no worker is killed, so nothing at all may fail, and memory is watched as well.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterator

import msgspec

from benchmarks.household import proportional, surplus
from benchmarks.killing.holdings import least
from benchmarks.killing.mishaps import Mishaps
from benchmarks.killing.premises import disquiet, zygotes
from benchmarks.killing.trial import DYING, disarm
from benchmarks.load.process import Totals, running, total
from benchmarks.load.record import CLOSES, Fault, LoadReport, Mix, Trouble
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, show
from benchmarks.subject import Kind, Subject, SubjectBroken, serving, until
from benchmarks.swaps_under_load import told_of
from changeover.supervisor.api.bodies import ScaleBody
from changeover.supervisor.api.client import NoAnswer

WORKERS = 3
MIX = Mix(busy=4, idle=8, fresh=1, silent=2, post=1, dribble=1, stream=2, long=2, pace=0.01)
BETWEEN = (0.0, 1.5)
"""Seconds between two mishaps, at least and at most."""
SPELL = 12
"""Mishaps between two rests."""
QUIET = 120.0
"""Seconds until a service that is left alone is quiet."""
GROWTH = 1.2
"""Memory at the last rest may be so many times that at the first."""
MODULES = {Kind.PLUGIN: "probe/content.py", Kind.APPLICATION: "content.py"}
"""What is replaced -> the file that is broken by turns."""
SHOWN = 40
"""Mishaps that are told when something did not hold."""


class Rest(msgspec.Struct, frozen=True):
    """A service that was left alone and is quiet.

    Attributes:
        epoch: What it serves.
        memory: Proportional memory of all processes, bytes.
        held: What supervisor, zygotes and workers hold open: kind and name -> how many.
    """

    epoch: int
    memory: int
    held: dict[str, int]


class Act(msgspec.Struct, frozen=True):
    """What became of one service.

    Attributes:
        mishaps: How often each kind happened.
        rests: Every rest.
        broken: Why it did not come to rest; empty when it always did.
        excused: Faults on connections that killed workers held.
        unexcused: Faults of any other connection.
        totals: Of the load.
        last: The last mishaps.
    """

    mishaps: dict[str, int]
    rests: tuple[Rest, ...]
    broken: str
    excused: int
    unexcused: tuple[Trouble, ...]
    totals: Totals
    last: tuple[str, ...]


def main(arguments: list[str]) -> int:
    """Do harm for a while to a service with plugins, then to one with an application; 1 when something did not hold."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    options.add_argument("--minutes", type=float, default=10.0, help="for both services together")
    options.add_argument("--seed", type=int, default=None, help="chooses the mishaps; without one, by the clock")
    options.add_argument("--soak", action="store_true", help="kill no worker, and watch memory")
    given = options.parse_args(arguments)
    seed = given.seed if given.seed is not None else time.time_ns() % 1_000_000
    print(f"seed {seed}", flush=True)
    acts = {kind.value: play(kind, seed, given.minutes * 60 / len(Kind), not given.soak) for kind in Kind}
    result = Result(
        title=f"{sum(sum(act.mishaps.values()) for act in acts.values())} mishaps under mixed load, seed {seed}",
        machine=here("benchmarks.chaos"),
        quick=False,
        verdicts=tuple(verdict for name, act in acts.items() for verdict in verdicts(name, act, given.soak)),
        rows=(("mishap", *acts), *_rows(acts)),
        notes=tuple(note for name, act in acts.items() for note in _notes(name, act)),
    )
    show(result)
    return 0 if all(verdict.holds for verdict in result.verdicts) else 1


def play(kind: Kind, seed: int, seconds: float, workers_die: bool) -> Act:
    """Do harm to one service for so long."""
    rests, broken = list[Rest](), ""
    with serving(WORKERS, kind, DYING) as subject:
        mishaps = Mishaps(subject, random.Random(f"{seed} {kind.value}"), MODULES[kind], workers_die)
        with running(subject.address, MIX) as load:
            try:
                rests += spells(mishaps, time.monotonic() + seconds)
            except SubjectBroken as error:
                broken = str(error)
            reports = load.stop()
    excused, unexcused = judged(reports, mishaps.excused)
    totals, last = total(reports), tuple(mishaps.done[-SHOWN:])
    return Act(dict(mishaps.counts), tuple(rests), broken, excused, unexcused, totals, last)


def spells(mishaps: Mishaps, end: float) -> Iterator[Rest]:
    """Let mishaps happen, and have the service come to rest after each spell of them.

    Raises:
        SubjectBroken: It does not.
    """
    first: dict[str, int] = {}
    while time.monotonic() < end:
        for _ in range(SPELL):
            mishaps.next()
            time.sleep(mishaps.random.uniform(*BETWEEN))
        disarm(mishaps.subject)
        time.sleep(BETWEEN[1])
        mishaps.revive()
        found = rest(mishaps.subject, first)
        first = first or found.held
        yield found


def rest(subject: Subject, first: dict[str, int]) -> Rest:
    """Wait until the service is quiet, reload, and wait again.

    Args:
        subject: The service.
        first: What was held at the first rest; empty for that one.

    Raises:
        SubjectBroken: It does not get quiet, or does not take the reload.
    """
    until(lambda: _scaled(subject), QUIET, lambda: f"no answer\n{subject.words()}", 0.1)
    _await(subject, 0)
    before = subject.status().epoch
    subject.contents.renew()
    subject.hang_up()
    _await(subject, before + 1)
    family = {subject.pid, *subject.workers().values(), *zygotes(subject)}
    return Rest(subject.status().epoch, proportional(family), least(subject, first))


def _scaled(subject: Subject) -> bool:
    try:
        subject.control.raw("PUT", "/v1/scale", ScaleBody(subject.count))
    except NoAnswer:
        return False
    return True


def _await(subject: Subject, least: int) -> None:
    """Wait until the service is quiet on an epoch that is not below `least`."""
    until(lambda: not disquiet(subject, least), QUIET, lambda: f"{disquiet(subject, least)}\n{subject.words()}", 0.1)


def judged(reports: tuple[LoadReport, ...], excused: set[int]) -> tuple[int, tuple[Trouble, ...]]:
    """How many faults a killed worker explains, and those that none does.

    Args:
        reports: Of the load.
        excused: Ports of clients whose connection a killed worker held.
    """
    troubles = [trouble for report in reports for trouble in report.troubles]
    explained = [each for each in troubles if each.port in excused and each.fault in CLOSES - {Fault.ANNOUNCED}]
    return len(explained), tuple(each for each in troubles if each not in explained)


def verdicts(name: str, act: Act, soak: bool) -> Iterator[Verdict]:
    """What must hold, and what was seen."""
    torn = len(act.totals.confused) + sum(n for fault, n in act.totals.faults.items() if fault is Fault.EPOCHS)
    counts = {
        "faults that no killed worker explains": len(act.unexcused),
        "answers not of exactly one epoch": torn,
        "services that did not come to rest": int(bool(act.broken)),
    }
    for what, count in counts.items():
        yield Verdict(f"{name}: {what}", "0", str(count), not count)
    if len(act.rests) > 1:
        first, last = act.rests[0], act.rests[-1]
        more = {what: n for each in act.rests for what, n in surplus(first.held, each.held).items()}
        words = ", ".join(f"{what} +{count}" for what, count in more.items()) or "none"
        yield Verdict(f"{name}: descriptors of a process at a rest beside those at the first", "none", words, not more)
        if soak:
            bound, size = f"{first.memory * GROWTH / 2**20:.1f} MiB", f"{last.memory / 2**20:.1f} MiB"
            yield Verdict(f"{name}: memory at the last rest", f"<= {bound}", size, last.memory <= first.memory * GROWTH)


def _rows(acts: dict[str, Act]) -> Iterator[tuple[str, ...]]:
    for what in sorted({what for act in acts.values() for what in act.mishaps}):
        yield (what, *(str(act.mishaps.get(what, 0)) for act in acts.values()))
    yield ("whole, right answers", *(str(sum(act.totals.requests.values())) for act in acts.values()))
    yield ("faults that a killed worker explains", *(str(act.excused) for act in acts.values()))
    yield ("rests", *(str(len(act.rests)) for act in acts.values()))


def _notes(name: str, act: Act) -> Iterator[str]:
    yield from (f"{name}: {line}" for line in told_of(act.totals))
    bad = bool(act.unexcused or act.broken or act.totals.confused)
    yield from (f"{name}: {what}" for what in (*act.totals.confused, *(act.last if bad else ())))
    for each in act.unexcused[:SHOWN]:
        yield f"{name}: {each.at / 1e9:.3f} {each.kind.value}: {each.fault.value} {each.detail}"
    if act.broken:
        yield f"{name}: {act.broken}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
