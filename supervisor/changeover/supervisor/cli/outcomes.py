"""How an outcome reads, and which exit status it has. Pure."""

from collections.abc import Iterator, Sequence

import msgspec

from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.control import Milestone
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.outcome import (
    Action,
    Committed,
    NeedsRoll,
    Outcome,
    Planned,
    Refused,
    Unchanged,
    Undecided,
)
from changeover.supervisor.core.records.part import PartServes
from changeover.supervisor.remaining import LeasesView
from changeover.supervisor.telemetry.amounts import MOST_NAMED, NOT_TAKEN, age, in_all, seconds
from changeover.supervisor.telemetry.amounts import workers as counted
from changeover.supervisor.telemetry.phrases import extra_memory, refused_by, unchanged
from changeover.workers.protocol.refusal import Fault, Stage

OUTPUT_END = 6
"""Lines of what a process wrote that are shown at once; `explain` has all that is kept."""
TRACEBACK_END = 6
"""Lines of a traceback that are shown at once; `explain` has all of it."""
INNERMOST_FIRST = "(most recent call first)"
"""What stacks say that are written from outside, as of a process that died: they end where Python's begin."""


class Workers(msgspec.Struct, frozen=True):
    """Who is there.

    Attributes:
        serving: How many slots serve.
        missing: Those that do not, and why.
    """

    serving: int
    missing: tuple[str, ...] = ()

    @property
    def slots(self) -> int:
        """How many there are."""
        return self.serving + len(self.missing)

    def __str__(self) -> str:
        return in_all(self.serving, self.missing)


def exit_of(outcome: Outcome) -> Exit:
    """The exit status of the command that waited for it."""
    match outcome:
        case Committed(workers=0):
            return Exit.REFUSED
        case Committed() | Unchanged() | Planned():
            return Exit.DONE
        case Undecided():
            return Exit.WAIT_ENDED
        case _:
            return Exit.REFUSED


def lines(outcome: Outcome, workers: Workers, again: str) -> Iterator[str]:
    """Say how it ended and what to do next.

    Args:
        outcome: The end.
        workers: Who serves.
        again: The command that tries again.
    """
    match outcome:
        case Committed():
            yield from _committed(outcome)
        case Unchanged():
            yield from _unchanged(outcome)
        case Planned():
            yield from _planned(outcome, workers)
        case NeedsRoll(serving=serving, changed=changed, rolls=rolls):
            yield f"refused (exit 1): no swap can take this; nothing changed, epoch {serving} serves"
            yield from (f"  {line}" for line in changed)
            yield f"next: {'`changeover reload`, which rolls' if rolls else 'restart the server to take it'}"
        case Refused():
            yield from _refused(outcome, workers, again)
        case Undecided(epoch=epoch, reason=reason):
            yield f"undecided (exit 6): whether epoch {epoch} is committed is not known: {reason}"
            yield f"next: `changeover explain {epoch}` once the supervisor is back"


def _planned(outcome: Planned, workers: Workers) -> Iterator[str]:
    rolls = outcome.candidate is not None and outcome.candidate.is_roll
    how = f"a roll to {counted(workers.slots)}" if rolls else f"a swap in {counted(workers.serving)}"
    yield f"would change, by {how} beside epoch {outcome.serving}{_in_parts(outcome.parts)}:"
    yield from (f"  {line}" for line in outcome.summary)
    if outcome.memory is not None:
        yield f"  needs {extra_memory(outcome.memory)}"
    yield "nothing was changed (--dry-run)"


def _in_parts(sizes: Sequence[int]) -> str:
    """How many parts, and of which sizes: all but the last are alike."""
    if not sizes:
        return ""
    last = f", the last of {sizes[-1]}" if sizes[-1] != sizes[0] else ""
    return f", in {len(sizes)} parts of {counted(sizes[0])} each{last}, one after the other"


def _unchanged(outcome: Unchanged) -> Iterator[str]:
    yield unchanged(outcome.serving, outcome.action, outcome.notes)
    yield from (f"  {line}" for line in outcome.notes)
    if outcome.action is Action.ROLLBACK:
        yield "next: `changeover rollback --to EPOCH` goes back to other content; `changeover history` lists it"
    elif outcome.notes and all(line.startswith(NOT_TAKEN) and "(disabled, " in line for line in outcome.notes):
        yield "next: another `reload` under [plugins], or [plugins.ID], has it taken"
    elif outcome.action is Action.RELOAD:
        yield "next: `changeover reload --force` makes an epoch of it all the same, `--strategy roll` in new processes"


def _committed(outcome: Committed) -> Iterator[str]:
    took = seconds(outcome.durations.total)
    if not outcome.workers:
        yield f"committed (exit 1): epoch {outcome.serving} is to serve, and no worker lives that does  ({took})"
        yield "next: `changeover status` says why workers end; `changeover reload` or `rollback` tries other content"
        return
    yield f"done  epoch {outcome.serving} serves {in_all(outcome.workers, map(str, outcome.missing))}  ({took})"
    left_out = [line for line in outcome.summary if line.startswith(NOT_TAKEN)]
    if len(left_out) > MOST_NAMED:  # otherwise the line with which it began names them
        yield from (f"  {line}" for line in left_out)
    for lost in outcome.lost:
        yield f"  lost on the way: {refused_by(lost)}: {lost.refusal.summary}"


def _refused(outcome: Refused, workers: Workers, again: str) -> Iterator[str]:
    yield f"refused (exit 1): {_left(outcome, workers)}"
    yield from (f"  {part}" for part in outcome.parts)
    if not outcome.refusals:
        yield f"  {outcome.reason}"
    for refusal in _distinct(outcome.refusals):
        yield from refusal_lines(refusal, TRACEBACK_END, OUTPUT_END)
    if all(refusal.slot < 0 for refusal in outcome.refusals):
        yield from (f"  {line}" for line in outcome.summary if line.startswith("not taken: "))
    if any(refusal.refusal.fault.transient for refusal in outcome.refusals):
        yield "  the reason may pass: the same content can be tried again as it is"
    if any(refusal.refusal.fault is Fault.INTERNAL for refusal in outcome.refusals):
        yield "  this is a mistake of changeover's own: please report it, with all of it"
    whole = "" if outcome.epoch is None else f" | all of it: `changeover explain {outcome.epoch}`"
    if outcome.stopping and outcome.serving:
        last = f"`changeover run --boot=last` serves epoch {outcome.serving}"
        yield f"next: the next start takes what is on disk, unless `boot` says otherwise; {last}"
    elif any(_can_be_mended(refusal) for refusal in outcome.refusals):
        yield f"next: fix, then `{again}` (also tries the same content again){whole}"


def _left(outcome: Refused, workers: Workers) -> str:
    """What it left behind."""
    if outcome.stopping and outcome.parts:
        return "cut short by the end of the service, and nothing is reverted"
    if outcome.stopping:
        return "nothing changed, and the service is stopping"
    if outcome.reverts:
        return "what had changed is to be reverted, as soon as the journal can be written"
    serves = f"epoch {outcome.serving} serves {workers}" if outcome.serving else "nothing serves yet"
    return f"{'what had changed is reverted' if outcome.parts else 'nothing changed'}, {serves}"


def _can_be_mended(refused: SlotRefusal) -> bool:
    """Whether code of the user's ran and failed."""
    rehearsed = refused.refusal.stage is Stage.PREFLIGHT and refused.refusal.fault is not Fault.RESOURCE
    return refused.slot >= 0 or bool(refused.refusal.where) or rehearsed


def _distinct(refusals: Sequence[SlotRefusal]) -> Iterator[SlotRefusal]:
    """One of each: four workers that refuse for one reason are told once, by the first."""
    seen = set()
    for refusal in refusals:
        reason = (refusal.refusal.unit, refusal.refusal.hook, refusal.refusal.summary)
        if reason not in seen:
            seen.add(reason)
            yield refusal


def refusal_lines(refused: SlotRefusal, most: int | None, written: int | None = None) -> Iterator[str]:
    """Say who refused, where, and why.

    Args:
        refused: The "no".
        most: How many lines of the traceback to show, of its innermost end; None shows all.
        written: How many lines of what its process wrote to show, the last ones; None shows all that is kept.
    """
    refusal = refused.refusal
    if refused.slot >= 0 or refusal.unit or refusal.where or refusal.stage is Stage.PREFLIGHT:
        stage = refusal.hook or (refusal.stage.value if refused.slot >= 0 else "")
        what = "  ".join(part for part in (refused_by(refused), refusal.unit, stage) if part)
        yield f"  {what}" + (f"      {refusal.where}" if refusal.where else "")
    if refusal.source:
        yield f"      {refusal.source.strip()}"
    yield f"  {refusal.summary}"
    traceback = refusal.traceback.rstrip().splitlines()
    if len(traceback) > 1 or not refusal.traceback.rstrip().endswith(refusal.summary):
        lines = _innermost(_culprit_first(traceback, refusal.where), most)
        yield from (f"    | {line}".rstrip() for line in lines)
    yield from _output(refusal.output.rstrip().splitlines(), written)


def _output(lines: list[str], most: int | None) -> Iterator[str]:
    if lines:
        yield "  it wrote:"
        if most is not None and len(lines) > most:
            yield f"    > ({len(lines) - most} lines more)"
            lines = lines[-most:]
        yield from (f"    > {line}".rstrip() for line in lines)


def _culprit_first(stacks: list[str], where: str) -> list[str]:
    """Of the stacks of several threads, put the one first that stands at `where` (`rules.py:18`)."""
    file, _, number = where.rpartition(":")
    frame = f'File "{file}", line {number} in '
    at = next((at for at, line in enumerate(stacks) if frame in line), None)
    if at is None or not any(INNERMOST_FIRST in line for line in stacks):
        return stacks
    begins = max((each for each in range(at) if INNERMOST_FIRST in stacks[each]), default=0)
    ends = next((each for each in range(at, len(stacks)) if not stacks[each].strip()), len(stacks))
    return [*stacks[begins:ends], "", *stacks[:begins], *stacks[ends:]]


def _innermost(traceback: list[str], most: int | None) -> list[str]:
    if most is None or len(traceback) <= most:
        return traceback
    more = f"({len(traceback) - most} lines more)"
    if any(INNERMOST_FIRST in line for line in traceback):
        return [*traceback[:most], more]
    return [more, *traceback[-most:]]


def left_behind(leases: LeasesView) -> Iterator[str]:
    """Say what still holds older epochs."""
    held: dict[int, dict[str, list[str]]] = {}
    for slot in leases.slots:
        for lease in slot.leases:
            if lease.epoch < leases.epoch:
                held.setdefault(lease.epoch, {}).setdefault(lease.kind, []).append(f"{lease.path} ({age(lease.age)})")
    for epoch, kinds in sorted(held.items()):
        counted = ", ".join(f"{len(paths)} {kind} {paths[0]}" for kind, paths in sorted(kinds.items()))
        yield f"  still on {epoch}: {counted}   see: changeover leases"


def ended_before(parted: PartServes | None, workers: int) -> str:
    """What is known when the server ends before the outcome.

    Args:
        parted: How far a roll in parts had come; None where all served the same.
        workers: How many there were.
    """
    ended = "the server ended before the outcome was known"
    if parted is None:
        return f"{ended}; see `changeover history` once it runs again"
    part = f"part {parted.number} of {parted.of}"
    return "\n".join(
        (
            ended,
            f"  when last heard of, epoch {parted.epoch} ({part}) served in {parted.workers} of {counted(workers)}, "
            f"epoch {parted.others} in all others; those that live serve on",
            f"next: start it again: with workers that live it goes back to what epoch {parted.others} is, "
            "without any it takes what is on disk, unless `boot` says otherwise",
        )
    )


def wait_ended(decided: bool, until: Milestone, waited: float) -> str:
    """What is known when the caller's deadline passes first."""
    if not decided:
        return f"not decided within {waited:g} s (exit 6): it goes on; see `changeover history`"
    return f"committed, and not yet {until.value} within {waited:g} s (exit 6): it goes on; see `changeover leases`"
