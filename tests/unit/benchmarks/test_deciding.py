"""What is a wrong answer of the authorization example, by what was known when it was asked for."""

import pytest
from benchmarks.deciding import Deciding, Known

from tests.authz import BEN_SHOWS, VOTE
from tests.service import Answer

KNOWN = Known(epoch=2, facts=40, ben=True)


def body(epoch: int = 2, facts: int = 40, because: str = "v2", allowed: bool = True) -> str:
    named = f'"{because}"' if because else ""
    return f'{{"allowed":{str(allowed).lower()},"because":[{named}],"epoch":{epoch},"facts":{facts}}}'


def judged(known: Known, query: str, told: str, status: int = 200) -> Deciding:
    deciding = Deciding()
    deciding.judge(known, query, Answer(status, {}, told))
    return deciding


@pytest.mark.parametrize(
    ("known", "query", "told"),
    [
        (KNOWN, VOTE, body()),
        (KNOWN, VOTE, body(epoch=3, facts=80, because="v3")),
        (KNOWN, BEN_SHOWS, body(because="projection-shows")),
        (Known(epoch=2, facts=80), BEN_SHOWS, body(facts=80, because="", allowed=False)),
    ],
)
def test_what_is_by_what_was_known_or_by_what_came_since_is_right(known: Known, query: str, told: str) -> None:
    deciding = judged(known, query, told)
    assert (deciding.wrong, deciding.failed, deciding.decided) == ([], [], {(query, told)})


@pytest.mark.parametrize(
    ("known", "query", "told", "why"),
    [
        (KNOWN, VOTE, body(because="v1"), "mixed, or not by the epoch that it names"),
        (KNOWN, VOTE, body(because="", allowed=False), "mixed, or not by the epoch that it names"),
        (KNOWN, VOTE, body(epoch=1, because="v1"), "by epoch 1 after 2 served"),
        (KNOWN, VOTE, body(facts=0), "by the facts of 0 after those of 40 were written"),
        (KNOWN, BEN_SHOWS, body(because="", allowed=False), "not by what was written"),
        (Known(epoch=2, facts=40), BEN_SHOWS, body(because="projection-shows"), "not by what was written"),
    ],
)
def test_what_is_mixed_older_or_lost_is_wrong(known: Known, query: str, told: str, why: str) -> None:
    deciding = judged(known, query, told)
    assert (deciding.wrong, deciding.decided) == ([f"{why}: {told}"], set())


def test_what_is_no_answer_failed() -> None:
    assert judged(KNOWN, VOTE, "no", 503).failed == ["503 no"]
