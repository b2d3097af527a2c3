"""One refusal has one wording, whoever tells it."""

import pytest

from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.records.cutover import WorkerRefused
from changeover.supervisor.core.run import headline
from changeover.supervisor.telemetry.wording import word
from changeover.testing import SwapRefused
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage

WHOLE = Refusal(Stage.LOAD, Fault.CONTRACT, "no such column", "plugin ledger", "migrate", "ledger.py:4")


@pytest.mark.parametrize(
    ("refusal", "line"),
    [
        (WHOLE, "plugin ledger migrate: no such column (ledger.py:4)"),
        (Refusal(Stage.LOAD, Fault.CONTRACT, "does not load", "plugin ledger"), "plugin ledger: does not load"),
        (Refusal(Stage.PREPARE, Fault.CRASH, "ended by SIGKILL"), "ended by SIGKILL"),
    ],
)
def test_a_refusal_names_who_what_and_where_as_far_as_that_is_known(refusal: Refusal, line: str) -> None:
    assert refusal.line == line


def test_outcome_log_and_tests_of_plugins_say_it_in_the_same_words() -> None:
    assert headline([SlotRefusal(2, 41, WHOLE)]) == f"slot 2: {WHOLE.line}"
    assert word(WorkerRefused(WorkerId(1, 2, 3), 41, 8, WHOLE)).line.endswith(f"refused epoch 8: {WHOLE.line}")
    assert str(SwapRefused(WHOLE)) == WHOLE.line
