"""How a cutover's end is worded for those who waited, and for operators."""

import msgspec

from changeover.supervisor.core import outcome
from changeover.supervisor.core.entries import Origin, Part
from changeover.supervisor.core.outcome import Outcome
from changeover.supervisor.core.records.cutover import CutoverCompleted
from changeover.supervisor.core.records.part import PartServes
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import ChangePlanned, NothingChanged, RequestRefused, RollNeeded
from changeover.supervisor.core.requests import Wish
from changeover.supervisor.core.run import Run


def refused(run: Run, serving: int, reason: str) -> outcome.Refused:
    """Nothing changed."""
    return outcome.Refused(serving, reason=reason, epoch=run.epoch, refusals=tuple(run.refusals), summary=run.summary)


def committed(run: Run, workers: int, missing: tuple[outcome.MissingWorker, ...]) -> outcome.Committed:
    """Every worker that lives serves the epoch."""
    return outcome.Committed(
        run.epoch,
        previous=run.previous,
        workers=workers,
        summary=run.summary,
        lost=tuple(run.lost),
        memory=None if run.candidate is None else run.candidate.memory,
        missing=missing,
    )


def timed(ending: Outcome, run: Run, wish: Wish, now: float) -> Outcome:
    """The ending as one of several who wished for it lived through it."""
    durations = run.times.durations(now)
    mine = msgspec.structs.replace(durations, waited=run.times.began - wish.since, total=now - wish.since)
    return msgspec.structs.replace(ending, durations=mine)


def completed(run: Run, origin: Origin, ending: outcome.Committed, now: float) -> CutoverCompleted:
    """The record of a cutover that came to its end."""
    durations = run.times.durations(now)
    return CutoverCompleted(
        run.epoch,
        run.previous,
        origin,
        ending.workers,
        run.summary,
        durations.prepare,
        durations.commit,
        durations.total,
        None if run.candidate is None else run.candidate.restores,
        durations.preflight,
        ending.missing,
    )


def serves(run: Run, part: Part, workers: int, others: int) -> Record:
    """The record of a part that came to its end."""
    return PartServes(run.epoch, part.number, part.of, workers, others, tuple(sorted(run.fresh)))


def without_number(ending: Outcome, origin: Origin) -> Record:
    """The record of a request that ended before its candidate had a number."""
    match ending:
        case outcome.NeedsRoll():
            return RollNeeded(origin, ending.changed)
        case outcome.Refused():
            return RequestRefused(origin, ending.reason, ending.refusals, ending.summary)
        case outcome.Planned():
            return ChangePlanned(origin, ending.serving, ending.summary)
        case outcome.Unchanged():
            return NothingChanged(origin, ending.serving, ending.notes, ending.action)
        case _:
            return NothingChanged(origin, ending.serving)
