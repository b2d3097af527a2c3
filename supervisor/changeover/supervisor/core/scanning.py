"""What a scan's result amounts to."""

import msgspec

from changeover.supervisor.core.entries import Quarantined, SlotRefusal
from changeover.supervisor.core.holding import brought_back
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    CutoverRequest,
    HeldBack,
    NeedsRoll,
    NothingChanged,
    Outcome,
    Planned,
    Refused,
    RollNeeded,
    ScanRefused,
    ScanResult,
    Strategy,
    Unchanged,
)
from changeover.supervisor.core.quarantine import refused_as
from changeover.supervisor.core.run import headline
from changeover.workers.protocol.refusal import Fault, Refusal, Stage


def judge(result: ScanResult, request: CutoverRequest, epoch: int, ledger: Ledger) -> Outcome | None:
    """How the request ends without a cutover; None when `result` is a candidate to go on with.

    Args:
        result: What the scan found.
        request: What was wanted.
        epoch: The number that the candidate had to have.
        ledger: What is committed, and what is held.
    """
    serving = 0 if ledger.committed is None else ledger.committed.epoch
    match result:
        case ScanRefused(refusals, notes):
            return Refused(serving, reason=headline(refusals), refusals=refusals, summary=notes)
        case RollNeeded(changed, rolls):
            return NeedsRoll(serving, changed=changed, rolls=rolls)
        case HeldBack(notes):
            return _not_taken(request, serving, HELD, notes)
        case NothingChanged(notes):
            return Unchanged(serving, notes=notes, action=request.action)
        case Candidate():
            return _judge_candidate(result, request, epoch, ledger, serving)


def _judge_candidate(
    found: Candidate, request: CutoverRequest, epoch: int, ledger: Ledger, serving: int
) -> Outcome | None:
    snapshot = found.snapshot
    wrong = list(snapshot.inconsistencies())
    if snapshot.epoch != epoch:
        wrong.append(f"it is numbered {snapshot.epoch} instead of {epoch}")
    if snapshot.rolled not in {epoch, *([ledger.current.rolled] if ledger.current else [])}:
        wrong.append(f"no process can serve what epoch {snapshot.rolled} rolled")
    if wrong:
        refusal = Refusal(Stage.SCAN, Fault.INTERNAL, f"the candidate contradicts itself: {'; '.join(wrong)}")
        return Refused(serving, reason=refusal.summary, refusals=(SlotRefusal(-1, 0, refusal),), summary=found.summary)
    unchanged = ledger.committed is not None and snapshot.serves_as(ledger.committed)
    if unchanged and not request.force and request.strategy is not Strategy.ROLL:
        return Unchanged(serving, action=request.action)
    if is_held(found, request, ledger):
        return _not_taken(request, serving, HELD, found.summary)
    if request.policy is not None and (known := refused_as(ledger.quarantine, snapshot, found.exempt)) is not None:
        return Unchanged(serving, notes=(*found.summary, f"not taken: {quarantined(known)}"))
    if request.dry_run:
        return Planned(serving, candidate=snapshot, summary=found.summary, memory=found.memory, files=found.files)
    return None


def permitted(found: Candidate, request: CutoverRequest) -> Candidate:
    """The candidate, which says whether its plugins may begin without state that they are not given.

    Whoever goes back, or uses force, wants the other content more than that.
    """
    afresh = request.force or request.action is Action.ROLLBACK
    return msgspec.structs.replace(found, snapshot=msgspec.structs.replace(found.snapshot, afresh=afresh))


def _not_taken(request: CutoverRequest, serving: int, why: str, notes: tuple[str, ...]) -> Outcome:
    """A refusal for somebody who asked; nothing new for a trigger that would ask again and again."""
    return Refused(serving, reason=why, summary=notes) if request.policy is None else Unchanged(serving, notes=notes)


def quarantined(known: Quarantined) -> str:
    """Why content is not taken, for people."""
    if known.requires:
        why = f"refused as epoch {known.epoch} for {known.required}, which it requires"
        return f"{known} ({why}; not tried again by itself until one of them changes)"
    return f"{known} (refused as epoch {known.epoch}; not tried again by itself until it changes)"


HELD = "this content was rolled back or removed, and is held: change it, or use --force"


def is_held(found: Candidate, request: CutoverRequest, ledger: Ledger) -> bool:
    """Whether the candidate has what was rolled back: a change, `--force`, or whoever names just it brings it back."""
    taken = request.force or request.action is not Action.RELOAD
    return not taken and bool(brought_back(ledger.held, ledger.committed, found.snapshot))
