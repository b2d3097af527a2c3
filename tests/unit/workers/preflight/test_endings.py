"""Whatever a rehearsal ends by has words: whose fault, how, and in whose code."""

import signal

import msgspec
import pytest

from changeover.workers.preflight.endings import (
    UNWATCHED,
    Ending,
    ending_of,
    not_forked,
    overdue,
    report_of,
)
from changeover.workers.preflight.page import Part, Standing
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import RehearsalOrder
from changeover.workers.protocol.snapshot import EMPTY, PluginSpec, UnitKind, UnitRef
from tests.rehearsing import FINE, OWN, Orders

IN_ON_LOAD = Standing(Part.CANDIDATE, "plugin geo", "on_load")
STACKS = """Fatal Python error: Segmentation fault

Thread 0x1 (most recent call first):
  File "{store}/{other}/shop.py", line 9 in wait

Current thread 0x2 (most recent call first):
  File "/usr/lib/python3.11/ctypes/__init__.py", line 519 in string_at
  File "{store}/{artifact}/lib/geo.py", line 4 in on_load
  File "{store}/{artifact}/geo.py", line 7 in later
"""


def refusal_of(ending: Ending, standing: Standing, stacks: str, order: RehearsalOrder) -> Refusal:
    """As what it is reported, where it is not what serves that ended."""
    refusal = report_of(ending, standing, stacks, order).refusal
    assert refusal is not None
    return refusal


def artifact_of(order: RehearsalOrder, plugin: str = "geo") -> str:
    [spec] = [unit for unit in order.candidate.units if isinstance(unit, PluginSpec) and unit.key.ref.name == plugin]
    return spec.artifact


@pytest.mark.parametrize(
    ("status", "fault", "how"),
    [
        (3, Fault.CRASH, "it ended its process with status 3 in plugin geo on_load"),
        (0, Fault.CRASH, "it ended its process with status 0 in plugin geo on_load"),
        (-signal.SIGSEGV, Fault.CRASH, "its process was ended by SIGSEGV in plugin geo on_load"),
        (-signal.SIGKILL, Fault.RESOURCE, "its process was killed in plugin geo on_load, as a rule for want of memory"),
        (-signal.SIGXCPU, Fault.TIMEOUT, "it used up its processor time in plugin geo on_load"),
        (-40, Fault.CRASH, "its process was ended by signal 40 in plugin geo on_load"),
    ],
)
def test_an_end_without_a_report_is_a_refusal(status: int, fault: Fault, how: str, orders: Orders) -> None:
    told = refusal_of(ending_of(status), IN_ON_LOAD, "", orders.order(FINE))
    assert told == Refusal(Stage.PREFLIGHT, fault, how, "plugin geo", "on_load")


def test_what_took_too_long_or_cannot_be_had_may_pass_another_time(orders: Orders) -> None:
    order = orders.order(FINE)
    late = refusal_of(overdue(20.0), Standing(), "", order)
    assert (late.fault, late.summary, late.unit) == (Fault.TIMEOUT, "not done within 20 s", "")
    none = refusal_of(not_forked(11), Standing(), "", order)
    assert (none.fault.transient, none.summary) == (
        True,
        "no process can be had for it (Resource temporarily unavailable)",
    )
    assert refusal_of(UNWATCHED, IN_ON_LOAD, "", order).fault is Fault.CRASH


def test_stacks_say_whose_code_crashed_and_where_whoever_was_at_it(orders: Orders) -> None:
    order = orders.order(FINE, orders.plugin(FINE, id="shop"))
    names = {"store": order.store, "artifact": artifact_of(order), "other": artifact_of(order, "shop")}
    stacks = STACKS.format(**names)
    told = refusal_of(ending_of(-11), msgspec.structs.replace(IN_ON_LOAD, unit="plugin shop"), stacks, order)
    assert (told.unit, told.hook, told.where) == ("plugin geo", "", "lib/geo.py:4")
    assert told.summary == "its process was ended by SIGSEGV in plugin geo"
    assert 'File "lib/geo.py", line 4 in on_load' in told.traceback
    assert order.store not in told.traceback


@pytest.mark.parametrize("ending", [ending_of(-11), ending_of(-9), overdue(20.0), UNWATCHED])
def test_what_serves_and_ends_in_a_preflight_refuses_nothing(ending: Ending, orders: Orders) -> None:
    told = report_of(ending, Standing(Part.CURRENT, "plugin geo", "on_load"), "", orders.order(FINE))
    assert told.refusal is None
    assert told.skipped.startswith(f"what serves cannot be loaded in a preflight: {ending.how} in plugin geo on_load")
    assert told.barred == "plugin geo"


@pytest.mark.parametrize("ending", [ending_of(3), overdue(20.0)])
def test_what_serves_and_does_not_survive_its_end_refuses_nothing(ending: Ending, orders: Orders) -> None:
    shop = orders.plugin(FINE, id="shop")
    order = orders.order(shop, FINE, current=(shop, FINE))
    serves = [
        Standing(Part.RETIRING, "plugin geo", "on_unload"),
        Standing(Part.RETIRING, "plugin geo", "export_state"),
        Standing(Part.ENDING, "plugin shop", "on_unload"),
    ]
    for standing in serves:
        told = report_of(ending, standing, "", order)
        assert (told.refusal, told.barred) == (None, standing.unit)
        assert told.skipped.startswith(f"what serves cannot be ended in a preflight: {ending.how} in {standing.unit}")


@pytest.mark.parametrize(
    "standing",
    [
        Standing(Part.RETIRING, "plugin geo", "merge_state"),
        Standing(Part.ENDING, "plugin geo", "on_unload"),
        Standing(Part.ENDING, "plugin geo", "atexit"),
    ],
)
def test_what_is_new_and_does_not_survive_its_end_is_refused(standing: Standing, orders: Orders) -> None:
    shop = orders.plugin(FINE, id="shop")
    told = report_of(overdue(20.0), standing, "", orders.order(shop, FINE, current=(shop, OWN + "    x = 1\n")))
    assert told.refusal is not None
    assert (told.refusal.unit, told.refusal.hook, told.skipped) == ("plugin geo", standing.hook, "")


@pytest.mark.parametrize("ending", [ending_of(3), overdue(20.0)])
def test_what_has_only_other_resources_or_goes_back_is_loaded_by_then_and_passes(
    ending: Ending, orders: Orders
) -> None:
    geo = UnitRef(UnitKind.PLUGIN, "geo")
    order = orders.order(FINE, orders.plugin(FINE, id="shop"), current=(OWN + "    x = 1\n",))
    ends = Standing(Part.ENDING, "plugin geo", "on_unload")
    for served in (
        msgspec.structs.replace(order, other_resources=(geo,)),
        msgspec.structs.replace(order, other_resources=(geo,), left_out=(geo,)),
        msgspec.structs.replace(order, goes_back=True),
    ):
        told = report_of(ending, ends, "", served)
        assert (told.refusal, told.skipped) == (None, "")
        [warning] = told.warnings
        assert warning.startswith(f"what serves cannot be ended in a preflight: {ending.how} in plugin geo on_unload")
        assert warning.endswith("; what ends after it was not seen to end")
    changed = msgspec.structs.replace(order, other_resources=(geo,))
    for standing in (
        Standing(Part.ENDING, "plugin shop", "on_unload"),
        Standing(Part.CANDIDATE, "plugin geo", "on_load"),
    ):
        assert report_of(ending, standing, "", changed).refusal is not None


def test_a_candidate_that_crashes_while_what_serves_ends_is_refused_and_named(orders: Orders) -> None:
    order = orders.order(FINE, current=(OWN + "    x = 1\n",))
    assert order.current is not None
    ends = Standing(Part.RETIRING, "plugin geo", "on_unload")
    names = {"store": order.store, "other": "elsewhere"}
    told = report_of(ending_of(-11), ends, STACKS.format(artifact=artifact_of(order), **names), order)
    assert told.refusal is not None
    assert (told.refusal.unit, told.refusal.where, told.skipped) == ("plugin geo", "lib/geo.py:4", "")
    [old] = [unit for unit in order.current.units if isinstance(unit, PluginSpec)]
    told = report_of(ending_of(-11), ends, STACKS.format(artifact=old.artifact, **names), order)
    assert (told.refusal, told.barred) == (None, "plugin geo")


def test_what_served_and_ends_in_a_roll_refuses_nothing_until_it_is_left_out(orders: Orders) -> None:
    geo = UnitRef(UnitKind.PLUGIN, "geo")
    order = msgspec.structs.replace(orders.order(FINE, current=None), current=EMPTY, served=(geo,))
    told = report_of(ending_of(3), IN_ON_LOAD, "", order)
    assert (told.refusal, told.barred) == (None, "plugin geo")
    assert told.skipped.startswith("what serves cannot be loaded in a preflight: it ended its process with status 3")
    for known in (msgspec.structs.replace(order, left_out=(geo,)), msgspec.structs.replace(order, served=())):
        assert report_of(ending_of(3), IN_ON_LOAD, "", known).refusal is not None


def test_what_is_new_and_ends_is_refused(orders: Orders) -> None:
    told = report_of(ending_of(-11), IN_ON_LOAD, "", orders.order(FINE))
    assert (told.refusal is None, told.skipped, told.barred) == (False, "", "")
    alone = orders.order(FINE, current=None)
    assert report_of(ending_of(-11), Standing(Part.CURRENT), "", alone).refusal is not None
    without = msgspec.structs.replace(orders.order(FINE), left_out=(UnitRef(UnitKind.PLUGIN, "geo"),))
    assert report_of(ending_of(-11), Standing(Part.CURRENT), "", without).refusal is not None


def test_a_unit_that_only_served_before_is_not_accused(orders: Orders) -> None:
    order = orders.order(orders.plugin(FINE, id="shop"))
    assert refusal_of(ending_of(1), IN_ON_LOAD, "", order).unit == ""
