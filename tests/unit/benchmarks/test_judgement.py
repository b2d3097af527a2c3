"""An answer counts only when it is whole, right, and from exactly one epoch."""

import pytest
from benchmarks.load.answer import Answer
from benchmarks.load.judgement import Expected, Identity, Wrong, judge
from benchmarks.load.record import Fault


def line(epoch: int = 7, started: int = 5) -> bytes:
    return b"epoch=%d slot=2 started=%d marker=v1\n" % (epoch, started)


def answer(body: bytes, status: int = 200, epoch: bytes = b"7") -> Answer:
    return Answer(status, {b"x-changeover-epoch": epoch}, body)


def test_a_right_answer_says_who_made_it() -> None:
    assert judge(answer(line()), Expected()) == Identity(7, 2, 5, "v1")


def test_an_echo_stands_between_two_equal_lines() -> None:
    assert isinstance(judge(answer(line() + b"a\nb" + line()), Expected(lines=2, echo=b"a\nb")), Identity)


@pytest.mark.parametrize(
    ("made", "expected", "fault"),
    [
        (answer(line(), status=503), Expected(), Fault.STATUS),
        (answer(line() + line()), Expected(lines=3), Fault.CONTENT),
        (answer(line()[:-1]), Expected(), Fault.CONTENT),
        (answer(line() + b"lost" + line()), Expected(lines=2, echo=b"kept"), Fault.CONTENT),
        (answer(line() + line(8)), Expected(lines=2), Fault.EPOCHS),
        (answer(line() + b"echo" + line(8)), Expected(lines=2, echo=b"echo"), Fault.EPOCHS),
        (answer(line(), epoch=b"8"), Expected(), Fault.EPOCHS),
        (Answer(200, {}, line()), Expected(), Fault.EPOCHS),
    ],
)
def test_what_is_wrong_with_an_answer_is_named(made: Answer, expected: Expected, fault: Fault) -> None:
    verdict = judge(made, expected)
    assert isinstance(verdict, Wrong)
    assert verdict.fault is fault
