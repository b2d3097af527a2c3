"""Why a rollback goes nowhere is said as it is."""

import msgspec
import pytest

from changeover.supervisor.artifacts.scanner import Past
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import Action, CutoverRequest
from changeover.supervisor.unrestorable import refusal
from tests.machines import snapshot

BACK = CutoverRequest(Origin(Trigger.COMMAND), Action.ROLLBACK)
KEPT = tuple(map(snapshot, range(1, 7)))


def reason(request: CutoverRequest, past: Past) -> str:
    refused = refusal(request, KEPT[-1], past)
    return "" if refused is None else refused.refusals[0].refusal.summary


def test_what_was_rolled_back_already_is_not_said_to_be_missing() -> None:
    past = Past(KEPT, KEPT, set_aside=frozenset(each.digest for each in KEPT[:5]))
    assert reason(BACK, past).startswith("all earlier content that is kept was rolled back already, or is what serves")
    assert "epoch 5, 4, 3 and 2 more; `changeover rollback --to EPOCH`" in reason(BACK, past)


def test_an_epoch_that_was_never_committed_is_not_said_to_be_lost() -> None:
    past = Past(committed=(*KEPT[:4], KEPT[5]), kept=KEPT)
    assert reason(msgspec.structs.replace(BACK, to=5), past).startswith("epoch 5 was never committed")


@pytest.mark.parametrize(
    ("wanted", "past"),
    [
        (BACK, Past(KEPT, KEPT, set_aside=frozenset({KEPT[4].digest}))),
        (BACK, Past(KEPT[5:], KEPT)),
        (msgspec.structs.replace(BACK, to=4), Past(KEPT, KEPT)),
        (msgspec.structs.replace(BACK, to=40), Past(KEPT, KEPT)),
        (CutoverRequest(Origin(Trigger.HUP)), Past(KEPT, KEPT, set_aside=frozenset(each.digest for each in KEPT))),
    ],
)
def test_all_else_is_for_the_scan_to_say(wanted: CutoverRequest, past: Past) -> None:
    assert reason(wanted, past) == ""
