"""Why a rollback finds nothing to go back to, as far as the journal knows it. Pure."""

from changeover.supervisor.artifacts import rollback
from changeover.supervisor.artifacts.problems import Problem, refusals
from changeover.supervisor.artifacts.scanner import Past
from changeover.supervisor.core.outcome import Action, CutoverRequest, ScanRefused
from changeover.supervisor.telemetry.amounts import named
from changeover.workers.protocol.snapshot import Snapshot


def refusal(request: CutoverRequest, current: Snapshot | None, past: Past) -> ScanRefused | None:
    """Refuse a rollback to what was never served, and one that has nowhere left to go.

    Args:
        request: What is wished for.
        current: What is served; None when nothing is.
        past: What the journal remembers.

    Returns:
        None when it is no rollback, or when the scan is to say.
    """
    if request.action is not Action.ROLLBACK or current is None:
        return None
    why = _nowhere_left(current, past) if request.to is None else _never_committed(request.to, past)
    return ScanRefused(refusals([Problem(why)])) if why else None


def _never_committed(epoch: int, past: Past) -> str:
    given = any(each.epoch == epoch for each in past.kept)
    if not given or any(each.epoch == epoch for each in past.committed):
        return ""
    return (
        f"epoch {epoch} was never committed, so there is nothing of it to go back to; "
        f"`changeover explain {epoch}` says what became of it"
    )


def _nowhere_left(current: Snapshot, past: Past) -> str:
    earlier = [each.epoch for each in reversed(past.committed) if each.epoch < current.epoch]
    if not earlier or rollback.target(past.committed, current, None, past.set_aside, past.held) is not None:
        return ""
    return (
        "all earlier content that is kept was rolled back already, or is what serves: epoch "
        f"{named(map(str, earlier))}; `changeover rollback --to EPOCH` goes back to one of them all the same"
    )
