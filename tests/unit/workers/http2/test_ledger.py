"""What frames cost, and how it comes back."""

import pytest

from changeover.workers.http2 import frames
from changeover.workers.http2.faults import Violation
from changeover.workers.http2.frames import END_STREAM, Frame
from changeover.workers.http2.ledger import INCOME, RESET, RETURN, SAVINGS, Ledger, cost_of


def frame(kind: int, *, length: int = 0, flags: int = 0) -> Frame:
    return Frame(kind, flags, length, b"")


PING = frame(frames.PING, length=8)


@pytest.mark.parametrize(
    ("each", "cost"),
    [
        (frame(frames.HEADERS), 0),
        (frame(frames.DATA, length=1), 0),
        (frame(frames.DATA, flags=END_STREAM), 0),
        (frame(frames.DATA), 1),
        (frame(frames.RST_STREAM, length=4), RESET),
        (frame(frames.CONTINUATION, length=10), 1),
        (PING, 1),
        (frame(-1), 0),
    ],
)
def test_what_gets_a_client_further_costs_nothing(each: Frame, cost: int) -> None:
    assert cost_of(each) == cost


def test_savings_are_spent_and_come_back_with_time() -> None:
    ledger = Ledger(0.0)
    for _ in range(SAVINGS):
        ledger.charge(PING, 0.0)
    with pytest.raises(Violation):
        ledger.charge(PING, 0.0)
    ledger = Ledger(0.0)
    ledger.spend(SAVINGS, 0.0)
    for _ in range(INCOME):
        ledger.charge(PING, 1.0)
    with pytest.raises(Violation):
        ledger.charge(PING, 1.0)


def test_nobody_saves_more_than_there_is() -> None:
    ledger = Ledger(0.0)
    ledger.earn()
    ledger.spend(SAVINGS, 1000.0)
    with pytest.raises(Violation):
        ledger.charge(PING, 1000.0)


def test_who_takes_a_body_can_give_its_windows_back() -> None:
    ledger = Ledger(0.0)
    ledger.spend(SAVINGS, 0.0)
    for _ in range(100):
        ledger.earn()
        for _ in range(RETURN):
            ledger.charge(frame(frames.WINDOW_UPDATE, length=4), 0.0)
