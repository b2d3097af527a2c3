"""A candidate is rehearsed without what keeps a rehearsal from it, within the time of the first one."""

import msgspec
import pytest

from changeover.supervisor.tries import LEAST, TRIES, Try
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import Confinement, RehearsalOrder, RehearsalReport
from changeover.workers.protocol.snapshot import EMPTY, PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

GEO, SHOP, TAX = (UnitRef(UnitKind.PLUGIN, each) for each in ("geo", "shop", "tax"))
THREE = tuple(PluginSpec(UnitKey(each, "1f", 7), "1.0", "1f") for each in (GEO, SHOP, TAX))
UNITS = THREE[:2]
SERVING, CANDIDATE = Snapshot(7, "old", units=UNITS), Snapshot(8, "new", units=UNITS[:1])
ORDER = RehearsalOrder(SERVING, CANDIDATE, Confinement(deadline=60.0), "/store", after_fork="shop:reseed")
FIRST = Try(ORDER, until=100.0)
CRASHED = RehearsalReport(skipped="geo crashed", barred=str(GEO))


def following(trying: Try, report: RehearsalReport = CRASHED, now: float = 50.0) -> Try:
    found = trying.after(report, now)
    assert found is not None
    return found


def test_a_report_about_the_candidate_is_the_last_one() -> None:
    assert FIRST.after(RehearsalReport(), 50.0) is None


def test_first_the_unit_that_is_in_the_way_is_left_out_and_then_everything() -> None:
    second = following(FIRST)
    third = following(second, RehearsalReport(skipped="shop crashed", barred=str(SHOP)))
    assert [each.order.left_out for each in (FIRST, second, third)] == [(), (GEO,), (GEO, SHOP)]
    assert third.before == ("geo crashed", "shop crashed")
    assert third.after(CRASHED, 50.0) is None
    for each in (second, third):
        assert (each.order.current, each.order.candidate, each.order.after_fork) == (SERVING, CANDIDATE, "shop:reseed")


def why(barred: UnitRef | str, fault: Fault) -> RehearsalReport:
    return RehearsalReport(skipped="no", barred=str(barred), fault=fault)


@pytest.mark.parametrize(
    ("reasons", "passing"),
    [
        ([(GEO, Fault.TIMEOUT)], ((GEO, Fault.TIMEOUT),)),
        ([(GEO, Fault.RESOURCE)], ((GEO, Fault.RESOURCE),)),
        ([(GEO, Fault.CRASH)], ()),
        ([("nobody", Fault.RESOURCE)], ((GEO, Fault.RESOURCE), (SHOP, Fault.RESOURCE), (TAX, Fault.RESOURCE))),
        ([("nobody", Fault.CRASH)], ()),
        ([(GEO, Fault.TIMEOUT), (SHOP, Fault.CRASH)], ((GEO, Fault.TIMEOUT), (TAX, Fault.TIMEOUT))),
        ([(GEO, Fault.CRASH), (SHOP, Fault.RESOURCE)], ((SHOP, Fault.RESOURCE), (TAX, Fault.RESOURCE))),
        ([(GEO, Fault.CRASH), (SHOP, Fault.CRASH)], ()),
    ],
)
def test_what_may_load_another_time_is_told_with_the_reason(
    reasons: list[tuple[UnitRef | str, Fault]], passing: tuple[tuple[UnitRef, Fault], ...]
) -> None:
    serving = msgspec.structs.replace(SERVING, units=THREE)
    trying = Try(msgspec.structs.replace(ORDER, current=serving), until=100.0)
    for barred, fault in reasons:
        trying = following(trying, why(barred, fault))
    assert trying.order.passing == passing


def test_where_nobody_knows_which_unit_it_is_everything_is_left_out_at_once() -> None:
    second = following(FIRST, RehearsalReport(skipped="it crashed", barred="plugin geo of yesterday"))
    assert (second.order.left_out, second.order.after_fork) == ((GEO, SHOP), "")
    assert second.after(CRASHED, 50.0) is None


def test_of_a_roll_it_is_what_that_has_of_what_served() -> None:
    both = Snapshot(8, "new", units=UNITS)
    order = msgspec.structs.replace(ORDER, current=EMPTY, candidate=both, served=(SHOP,), after_fork="")
    second = following(Try(order, 100.0), RehearsalReport(skipped="shop crashed", barred=str(SHOP)))
    assert second.order.left_out == (SHOP,)
    assert second.after(RehearsalReport(skipped="geo crashed", barred=str(GEO)), 50.0) is None


def test_where_nothing_serves_nothing_but_after_fork_can_be_left_out() -> None:
    alone = Try(msgspec.structs.replace(FIRST.order, current=Snapshot(7, "none")), 100.0)
    second = following(alone, RehearsalReport(skipped="it crashed", barred="server hook"))
    assert (second.order.left_out, second.order.after_fork) == ((), "")
    assert second.after(CRASHED, 50.0) is None


def test_all_of_them_have_the_time_of_the_first() -> None:
    assert following(FIRST, now=70.02).order.settings.deadline == 30.0
    assert following(FIRST, now=100.5).order.settings.deadline == LEAST


def test_no_two_have_the_same_number() -> None:
    epochs = [Try(msgspec.structs.replace(FIRST.order, candidate=Snapshot(each, "")), 100.0) for each in (8, 9)]
    numbers = [trying.number for each in epochs for trying in (each, following(each), following(following(each)))]
    assert len(set(numbers)) == 2 * TRIES


def test_a_candidate_that_was_not_loaded_alone_is_loaded_alone_once_and_only_a_refusal_counts() -> None:
    passed = RehearsalReport(modules=3, warnings=("one",), unproved=True)
    alone = following(FIRST, passed)
    assert (alone.order.current, alone.order.served, alone.order.vacant) == (EMPTY, (GEO,), True)
    assert alone.order.settings.deadline == 50.0
    assert alone.number not in {FIRST.number, following(FIRST).number, following(following(FIRST)).number}
    assert alone.after(CRASHED, 60.0) is None
    assert alone.after(passed, 60.0) is None
    assert alone.outcome(RehearsalReport()) == passed
    assert alone.outcome(CRASHED).warnings == ("one", "not loaded alone: geo crashed")
    refused = RehearsalReport(Refusal(Stage.PREFLIGHT, Fault.RESOURCE, "OSError: no"))
    assert alone.outcome(refused) == refused
    assert FIRST.after(msgspec.structs.replace(refused, unproved=True), 50.0) is None
