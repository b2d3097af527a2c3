"""A report is hostile input: it is short or shortened, it accuses nobody outside of the candidate, and sets no time."""

import msgspec
import pytest

from changeover.workers.plugins.refused import MAX_TRACEBACK
from changeover.workers.preflight.believing import LINE, REASON, WARNINGS, believed, bounded, lacking
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import MAX_REPORT, RehearsalReport, encode
from tests.rehearsing import FINE, Orders


def test_what_was_reported_is_taken_but_for_what_only_the_keeper_knows(orders: Orders) -> None:
    report = RehearsalReport(None, 3, 1, 2, took=9.0, output="words", missing=("all",), warnings=("a leak",))
    expected = RehearsalReport(None, 3, 1, 2, warnings=("a leak",))
    assert believed(encode(report), orders.order(FINE)) == expected


def test_a_refusal_is_one_of_the_preflight_and_accuses_only_the_candidate(orders: Orders) -> None:
    order = orders.order(FINE)
    for unit, accused in (("plugin geo", "plugin geo"), ("plugin shop", "")):
        report = RehearsalReport(Refusal(Stage.COMMIT, Fault.CRASH, "why", unit, "on_load"))
        told = believed(encode(report), order).refusal
        assert told == Refusal(Stage.PREFLIGHT, Fault.CRASH, "why", accused, "on_load")


def test_long_words_are_cut_and_numbers_are_none_below_zero(orders: Orders) -> None:
    refusal = Refusal(Stage.LOAD, Fault.CRASH, "s" * 2 * LINE, traceback="begin" + "t" * MAX_TRACEBACK)
    report = RehearsalReport(refusal, -1, -2, -3, warnings=("w" * 2 * LINE,) * (WARNINGS + 1))
    told = believed(encode(report), orders.order(FINE))
    assert told.refusal is not None
    assert (len(told.refusal.summary), told.refusal.traceback) == (LINE, "t" * MAX_TRACEBACK)
    assert (told.modules, told.tests_passed, told.tests) == (0, 0, 0)
    assert told.warnings == ("w" * LINE,) * WARNINGS
    assert believed(encode(bounded(report)), orders.order(FINE)) == told


def test_of_what_is_missing_only_steps_that_there_are_are_believed() -> None:
    said = ("limits (no room)", "\x1b[2J", "limits (again)", "another user (" + "x" * 999, "no new privileges")
    told = lacking(said)
    assert told == (("another user (" + "x" * 999)[:REASON], "no new privileges", "limits (again)")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x90",
        b"x" * 99,
        b"\x91" * 100_000,
        msgspec.msgpack.encode({"refusal": "none"}),
        b"\0" * (MAX_REPORT + 1),
    ],
    ids=["empty", "nonsense", "list", "text", "deep", "other", "long"],
)
def test_what_is_no_report_is_none(data: bytes, orders: Orders) -> None:
    with pytest.raises(MalformedFrame):
        believed(data, orders.order(FINE))
