"""Of many events few are told, and how often each happened is never lost."""

import pytest

from changeover.workers.participant.digest import MOST, RHYTHM, Digest
from changeover.workers.protocol.observed import PipelineEvent, Repeated
from changeover.workers.protocol.observed import PipelineEventKind as Kind

FAILED = Kind.HANDLER_FAILED


def failed(handler: str = "pricing:discount", detail: str = "") -> PipelineEvent:
    return PipelineEvent(FAILED, "shop", handler, detail)


def test_the_first_of_its_kind_is_told_at_once() -> None:
    digest = Digest()
    assert digest.wait(100.0) is None
    digest.note(failed())
    assert digest.wait(100.0) == 0.0
    assert digest.take(100.0) == (Repeated(failed(), 1),)
    assert digest.take(100.0) == ()


def test_those_like_it_are_told_together_later_with_the_latest_detail() -> None:
    digest = Digest()
    digest.note(failed(detail="first"))
    digest.take(100.0)
    for number in range(1000):
        digest.note(failed(detail=f"error {number}"))
    assert digest.wait(101.0) == RHYTHM - 1.0
    assert digest.take(100.0 + RHYTHM - 0.1) == ()
    assert digest.take(100.0 + RHYTHM) == (Repeated(failed(detail="error 999"), 1000),)


def test_other_kinds_pipelines_and_subjects_do_not_wait_for_each_other() -> None:
    digest = Digest()
    digest.note(failed())
    digest.take(100.0)
    others = [
        failed("geo:find"),
        PipelineEvent(FAILED, "geo", "pricing:discount"),
        PipelineEvent(Kind.DRAINED, "shop"),
    ]
    for event in others:
        digest.note(event)
    assert digest.take(100.1) == tuple(Repeated(event, 1) for event in others)


@pytest.mark.parametrize("kind", [Kind.ASSEMBLED, Kind.ACTIVATED, Kind.DRAINED, Kind.INITIALIZER_FAILED])
def test_what_happens_once_for_each_cutover_is_told_of_each(kind: Kind) -> None:
    digest = Digest()
    for detail in ("of epoch 2", "of epoch 3", "of epoch 3", "of epoch 4"):
        digest.note(PipelineEvent(kind, "shop", "feed:lines", detail))
        digest.take(100.0)
    again = Repeated(PipelineEvent(kind, "shop", "feed:lines", "of epoch 3"), 1)
    assert digest.wait(100.0) == RHYTHM
    assert digest.take(100.0 + RHYTHM) == (again,)


def test_so_many_that_they_cannot_be_told_by_name_are_told_by_their_kind() -> None:
    digest = Digest()
    for number in range(MOST + 500):
        digest.note(failed(f"plugin{number}:handler"))
    told = digest.take(100.0)
    assert len(told) == MOST + 1
    assert told[-1] == Repeated(PipelineEvent(FAILED), 500)
    assert sum(each.count for each in told) == MOST + 500


def test_what_waits_is_told_when_the_worker_leaves() -> None:
    digest = Digest()
    digest.note(failed())
    digest.take(100.0)
    digest.note(failed(detail="last"))
    assert digest.rest(100.1) == (Repeated(failed(detail="last"), 1),)
    assert digest.wait(100.1) is None


def test_what_was_told_long_ago_is_forgotten() -> None:
    digest = Digest()
    for number in range(1000):
        digest.note(failed(f"plugin{number}:handler"))
        digest.take(number * 2 * RHYTHM)
    assert len(digest._told) <= 2
