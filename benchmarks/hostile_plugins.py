"""Hostile plugins, offered one after the other to a server under load: each is refused with a reason, and that is all.

They are those of `tests/hostile_plugins`: code that raises, exits, crashes, hangs, floods, forks and eats memory, at
import and in each hook that runs before a commit; code that does what it was not granted; and manifests that are broken
or lie.
"""

import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from benchmarks.chart import Chart, Series, Style
from benchmarks.load.process import Totals, running, total
from benchmarks.load.record import Mix
from benchmarks.machine import here
from benchmarks.publication import Result, Verdict, parser, publish
from benchmarks.subject import COMMAND, Subject, SubjectBroken, descendants, serving, until
from benchmarks.swaps_under_load import told_of
from changeover.supervisor.api.bodies import CutoverAnswer, CutoverBody
from changeover.supervisor.core.outcome import Committed, Outcome, Refused
from tests.hostile_plugins.corpus import COUNT, SEED, corpus
from tests.hostile_plugins.offer import SERVING, VICTIM, Offer, put, take_back

NAME = "hostile_plugins"
HOOK, PREFLIGHT = 1.0, 5.0
"""Seconds for one hook, and for a whole preflight: what hangs costs as much, and would say no more for longer."""
SETTINGS = (
    f"CHANGEOVER_DEADLINES_HOOK={HOOK:g}",
    f"CHANGEOVER_DEADLINES_PREFLIGHT={PREFLIGHT:g}",
    f"CHANGEOVER_PREFLIGHT_MEMORY={256 << 20}",
)
PATIENCE = 60.0
"""Seconds until an offer has its outcome."""
GONE = 5.0
"""Seconds until nothing is left of what was refused."""


class Parameters(msgspec.Struct, frozen=True):
    """How long a run is.

    Attributes:
        workers: Of the server.
        step: Every which of the plugins is offered.
        mix: The load.
    """

    workers: int = 4
    step: int = 1
    mix: Mix = Mix()


QUICK = Parameters(workers=2, step=10)


class Answer(msgspec.Struct, frozen=True):
    """What came of one offer.

    Attributes:
        name: What was offered.
        kind: What it does.
        runs: Whether its code had to run.
        took: Seconds to the outcome.
        reason: Why it was refused; empty where it was not, or where nobody said.
        fault: Whose fault it was said to be.
        stage: How far it came.
        asked: Whether a worker was asked about it.
        left: Processes below the supervisor that were not there before, afterwards.
    """

    name: str
    kind: str
    runs: bool
    took: float
    reason: str = ""
    fault: str = ""
    stage: str = ""
    asked: bool = False
    left: int = 0


class HostileResult(Result, frozen=True, kw_only=True):
    """What the command found.

    Attributes:
        totals: Of the load.
        answers: Every offer's.
    """

    totals: Totals
    answers: tuple[Answer, ...]


def main(arguments: list[str]) -> int:
    """Offer them all."""
    options = parser(f"benchmarks.{NAME}", __doc__).parse_args(arguments)
    parameters = QUICK if options.quick else Parameters()
    machine = here(f"benchmarks.{NAME}")
    with serving(parameters.workers, command=("env", *SETTINGS, COMMAND)) as subject:
        plugins = subject.contents.folder.parent
        put(plugins, VICTIM, SERVING)
        _commit(subject)
        before = subject.workers()
        began = time.monotonic()
        with running(subject.address, parameters.mix) as load:
            answers = [offered(subject, plugins, offer) for offer in corpus()[:: parameters.step]]
            totals = total(load.stop())
        took = time.monotonic() - began
        restarted = sum(pid != before.get(slot) for slot, pid in subject.workers().items())
        subject.contents.renew()
        _commit(subject)
    result = HostileResult(
        title=f"{len(answers)} hostile plugins offered under mixed load, {parameters.workers} workers",
        machine=machine,
        quick=options.quick,
        verdicts=_verdicts(answers, totals, restarted),
        rows=_rows(answers),
        notes=(*_notes(answers, took), *told_of(totals)),
        totals=totals,
        answers=tuple(answers),
    )
    return publish(NAME, result, _chart(answers), options.out)


def offered(subject: Subject, plugins: Path, offer: Offer) -> Answer:
    """Put a plugin on disk, reload, and take it back."""
    family = set(descendants(subject.pid))
    put(plugins, offer.plugin, offer.files)
    began = time.monotonic()
    outcome = reloaded(subject)
    took = time.monotonic() - began
    take_back(plugins, offer)
    left = _left(subject, family)
    if not isinstance(outcome, Refused):
        return Answer(offer.name, offer.kind, offer.runs, took, left=left)
    told = next((each for each in outcome.refusals if each.refusal.summary), None)
    if told is None:
        return Answer(offer.name, offer.kind, offer.runs, took, outcome.reason, left=left)
    refusal, asked = told.refusal, any(each.slot >= 0 for each in outcome.refusals)
    fault, stage = refusal.fault.value, refusal.stage.value
    reason = refusal.summary.replace(f"{subject.folder}/", "").replace(sys.executable, "python")
    return Answer(offer.name, offer.kind, offer.runs, took, reason, fault, stage, asked, left)


def reloaded(subject: Subject) -> Outcome:
    """Ask for a reload, and wait for its outcome."""
    for event in subject.control.stream("POST", "/v1/cutovers", CutoverBody(), seconds=PATIENCE):
        if event.event == "end":
            return msgspec.json.decode(event.data, type=CutoverAnswer).outcome
    raise SubjectBroken(f"a reload has no outcome\n{subject.words()}")


def _commit(subject: Subject) -> None:
    """What is sound is taken, before and afterwards."""
    outcome = reloaded(subject)
    if not isinstance(outcome, Committed):
        raise SubjectBroken(f"sound plugins are not taken: {outcome}")


def _left(subject: Subject, family: set[int]) -> int:
    """How many processes are more than there were, once those that end have ended."""

    def further() -> set[int]:
        return set(descendants(subject.pid)) - family

    try:
        until(lambda: not further(), GONE, str, 0.01)
    except SubjectBroken:
        return len(further())
    return 0


def _verdicts(answers: list[Answer], totals: Totals, restarted: int) -> tuple[Verdict, ...]:
    count = len(answers)
    refused = sum(bool(answer.reason) for answer in answers)
    ran = [answer for answer in answers if answer.runs]
    before = sum(bool(answer.reason) and not answer.asked for answer in ran)
    left = sum(answer.left for answer in answers)
    return (
        Verdict("refused with a reason", f"{count} of {count}", f"{refused} of {count}", refused == count),
        Verdict(
            "refused before a worker ran its code",
            f"{len(ran)} of {len(ran)}",
            f"{before} of {len(ran)}",
            before == len(ran),
        ),
        Verdict("workers restarted", "0", str(restarted), not restarted),
        Verdict("failed requests", "0", str(totals.failed), not totals.failed),
        Verdict("connections closed unasked", "0", str(totals.closed), not totals.closed),
        Verdict("processes of theirs that were left", "0", str(left), not left),
    )


def _rows(answers: list[Answer]) -> tuple[tuple[str, ...], ...]:
    head = ("what they do", "offered", "refused", "median s", "longest s", "the last one's reason")
    return (head, *(_row(kind, each) for kind, each in _by_kind(answers)))


def _by_kind(answers: Iterable[Answer]) -> Iterator[tuple[str, list[Answer]]]:
    kinds: dict[str, list[Answer]] = {}
    for answer in answers:
        kinds.setdefault(answer.kind.partition(" with ")[0], []).append(answer)
    yield from kinds.items()


def _row(kind: str, answers: list[Answer]) -> tuple[str, ...]:
    took = [answer.took for answer in answers]
    refused = [answer for answer in answers if answer.reason]
    last = refused[-1].reason.partition("\n")[0][:70] if refused else ""
    return (kind, str(len(answers)), str(len(refused)), f"{statistics.median(took):.2f}", f"{max(took):.2f}", last)


def _notes(answers: list[Answer], took: float) -> Iterator[str]:
    bounds = f"a hook has {HOOK:g} s here, and a preflight {PREFLIGHT:g} s"
    yield f"all of it took {took:.0f} s; {bounds}; {len(answers)} of {COUNT} were offered, those of seed {SEED}"
    yield from (f"NOT REFUSED: {answer.name}" for answer in answers if not answer.reason)
    yield from (f"ASKED A WORKER: {answer.name}: {answer.reason}" for answer in answers if answer.runs and answer.asked)
    yield from (f"LEFT {answer.left} PROCESSES: {answer.name}" for answer in answers if answer.left)


def _chart(answers: list[Answer]) -> Chart:
    """How long each refusal took."""
    ran = [(float(number), each.took) for number, each in enumerate(answers, start=1) if each.runs]
    read = [(float(number), each.took) for number, each in enumerate(answers, start=1) if not each.runs]
    return Chart(
        "From the reload to the refusal of each hostile plugin",
        "plugin",
        "seconds",
        (Series("its code ran", ran, Style.DOTS), Series("read and not run", read, Style.DOTS)),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
