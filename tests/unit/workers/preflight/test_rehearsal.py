"""A rehearsal does what workers will do: it loads what serves, then the candidate beside it, swaps, and ends both."""

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator, Iterator

import msgspec
import pytest

from changeover.workers.generation.solo import Stored
from changeover.workers.plugins.opened import OPENED
from changeover.workers.preflight.page import Page, Part
from changeover.workers.preflight.rehearsal import Note, Rehearsal
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport
from changeover.workers.protocol.snapshot import (
    EMPTY,
    ApplicationSpec,
    PipelineSpec,
    Route,
    UnitKey,
    UnitKind,
    UnitRef,
)
from changeover.workers.serving import attribution
from changeover.workers.serving.offering import here
from tests.rehearsing import FINE, HEAD, MANIFEST, OWN, Orders

LOG: list[str] = []
REHEARSALS: list[Rehearsal] = []
"""Those of one test."""

NOISY = (
    HEAD
    + "from tests.unit.workers.preflight.test_rehearsal import LOG\n"
    + """
class Own(Plugin[None]):
    def on_load(self, ctx): LOG.append(f"{0} on_load for {{ctx.stage}}")
    def on_reload(self, ctx, old): LOG.append(f"{0} on_reload from {{old.version}}")
    def on_activate(self): LOG.append("{0} on_activate")
    def on_deactivate(self): LOG.append("{0} on_deactivate")
    def on_unload(self): LOG.append("{0} on_unload")
"""
)
ALONE = ["two on_load for preflight", "two on_unload"]
"""It is loaded once more, as a worker loads it that is started later."""
SERVICE = MANIFEST + '[services]\n{id} = {{ mount = "/{id}" }}\n'
SERVING = "    @service\n    async def {id}(self, request, call): ...\n"


@pytest.fixture(autouse=True)
async def undone() -> AsyncIterator[None]:
    """What a rehearsal leaves to the end of its process."""
    LOG.clear()
    opened = set(OPENED)
    attribution.install(asyncio.get_running_loop())
    yield
    while REHEARSALS:
        await REHEARSALS.pop()._workshop.close()
    attribution.uninstall()
    here.leave()
    assert set(OPENED) == opened


async def rehearsed(order: RehearsalOrder, note: Note | None = None) -> RehearsalReport:
    REHEARSALS.append(Rehearsal(order, note or Note(Page(), ()), []))
    return await REHEARSALS[-1].run()


async def test_everything_is_done_but_what_only_a_process_that_serves_may_do(orders: Orders) -> None:
    one = orders.plugin(NOISY.format("one"))
    two = orders.plugin(NOISY.format("two"), version="2.0")
    report = await rehearsed(orders.order(two, current=(one,)))
    assert ["one on_load for preflight", "two on_reload from 1.0", "one on_unload", "two on_unload", *ALONE] == LOG
    assert report == RehearsalReport(modules=1)


async def test_services_and_what_they_hang_on_are_gone_in_the_end(orders: Orders) -> None:
    code = FINE + "@service\nasync def geo(request, call): ...\n"
    offering = SERVICE.replace("{{ ", '{{ entry = "geo:geo", ') + '[extensions]\n"shop.geo" = "geo:geo"\n'
    one = orders.plugin(code, manifest=offering)
    two = orders.plugin(code, version="2.0", manifest=offering)
    assert await rehearsed(orders.order(two, current=(one,))) == RehearsalReport(modules=1)


async def test_who_offers_something_at_a_point_that_is_nearly_one_that_is_asked_is_told(orders: Orders) -> None:
    asking = orders.plugin(FINE + 'near = extension_point("shop.near", object)\n')
    misspelt, other = (
        orders.plugin("def near(): ...\n", id=id, manifest=f'[extensions]\n"{point}" = "{id}:near"\n')
        for id, point in (("one", "shop.nera"), ("two", "shop.elsewhere"))
    )
    told = "plugin one: nobody asks 'shop.nera', where it offers something; did you mean 'shop.near'?"
    report = await rehearsed(orders.order(asking, misspelt, other, current=(asking,)))
    assert report.warnings == (told,)
    again = await rehearsed(orders.order(asking, misspelt, other, current=(asking, misspelt)))
    assert again.warnings == ()


async def test_what_serves_on_is_the_same_and_is_not_loaded_again(orders: Orders) -> None:
    shop = orders.plugin(NOISY.format("shop"), id="shop")
    one, two = orders.plugin(NOISY.format("one")), orders.plugin(NOISY.format("two"))
    report = await rehearsed(orders.order(shop, two, current=(shop, one)))
    assert [line for line in LOG if line.startswith("shop")] == ["shop on_load for preflight", "shop on_unload"]
    assert report == RehearsalReport(modules=2)


async def test_where_nothing_serves_the_candidate_is_rehearsed_alone(orders: Orders) -> None:
    assert await rehearsed(orders.order(orders.plugin(NOISY.format("one")), current=None)) == RehearsalReport(modules=1)
    assert LOG == ["one on_load for preflight", "one on_unload"]


async def test_a_refusal_is_as_in_a_worker_but_for_its_stage(orders: Orders) -> None:
    code = OWN + "    def on_reload(self, ctx, old):\n        1 / 0\n"
    refusal = (await rehearsed(orders.order(code))).refusal
    assert refusal is not None
    assert (refusal.stage, refusal.fault, refusal.unit, refusal.hook) == (
        Stage.PREFLIGHT,
        Fault.CRASH,
        "plugin geo",
        "on_reload",
    )
    assert (refusal.summary, refusal.where, refusal.source) == (
        "ZeroDivisionError: division by zero",
        "geo.py:5",
        "1 / 0",
    )


async def test_what_it_is_at_is_written_down(orders: Orders) -> None:
    page = Page()
    await rehearsed(orders.order(OWN + "    def on_reload(self, ctx, old): 1 / 0\n"), Note(page, ("all",)))
    standing = page.read()
    assert (standing.part, standing.unit, standing.missing) == (Part.CANDIDATE, "plugin geo", ("all",))


async def test_what_serves_and_does_not_load_here_is_left_out_with_what_requires_it(orders: Orders) -> None:
    alone = OWN + "    def on_load(self, ctx):\n        raise PermissionError('its log')\n" + SERVING
    log = orders.plugin(alone.format(id="log"), id="log", manifest=SERVICE)
    shop = orders.plugin(NOISY.format("shop"), id="shop", manifest='requires = {{ log = ">=1" }}\n' + MANIFEST)
    one, two = orders.plugin(NOISY.format("one")), orders.plugin(NOISY.format("two"))
    report = await rehearsed(orders.order(log, shop, two, current=(log, shop, one)))
    assert LOG[-5:] == ["two on_reload from 1.0", "one on_unload", "two on_unload", *ALONE]
    assert report.refusal is None
    assert report.warnings == (
        "left out: plugin log on_load serves, and does not load in a preflight: PermissionError: its log",
    )


@pytest.fixture
def requiring(orders: Orders) -> RehearsalOrder:
    """Two plugins require a third, which does not load in a preflight; one of them changes."""
    alone = OWN + "    def on_load(self, ctx):\n        raise PermissionError('its log')\n"
    log = orders.plugin(alone, id="log")
    manifest = 'requires = {{ log = ">=1" }}\n' + MANIFEST
    one, two = (orders.plugin(NOISY.format(each), manifest=manifest) for each in ("one", "two"))
    shop = orders.plugin(NOISY.format("shop"), id="shop", manifest=manifest)
    return orders.order(log, shop, two, current=(log, shop, one))


async def test_what_changes_and_requires_what_is_left_out_is_refused_and_told_the_ways_out(
    requiring: RehearsalOrder,
) -> None:
    refusal = (await rehearsed(requiring)).refusal
    assert refusal is not None
    assert (LOG, refusal.unit, refusal.fault, refusal.requires) == ([], "plugin geo", Fault.CONFIG, "plugin log")
    assert refusal.summary == (
        "it requires plugin log, which serves and does not load in a preflight (on_load: PermissionError: its log), so "
        "it cannot be rehearsed: mend plugin log, or say `preflight = false` in [plugins.log] to have workers run both "
        "first"
    )


@pytest.mark.parametrize(
    ("passing", "fault"), [(Fault.TIMEOUT, Fault.TIMEOUT), (Fault.RESOURCE, Fault.RESOURCE), (None, Fault.CONFIG)]
)
async def test_what_requires_what_an_earlier_rehearsal_left_out_may_pass_where_that_may(
    passing: Fault | None, fault: Fault, requiring: RehearsalOrder
) -> None:
    log = UnitRef(UnitKind.PLUGIN, "log")
    told = () if passing is None else ((log, passing),)
    for order in (requiring, rolled(requiring, "log", "shop")):
        refusal = (await rehearsed(msgspec.structs.replace(order, left_out=(log,), passing=told))).refusal
        assert refusal is not None
        assert (refusal.unit, refusal.requires, refusal.fault) == ("plugin geo", "plugin log", fault)
        assert "serves and is left out of this preflight" in refusal.summary


async def test_what_requires_what_lacked_here_what_only_a_preflight_limits_may_pass(orders: Orders) -> None:
    raising = OWN + '    def on_load(self, ctx): raise RuntimeError("can\'t start new thread")\n'
    log = orders.plugin(raising, id="log")
    one, two = (
        orders.plugin(code, manifest='requires = {{ log = ">=1" }}\n' + MANIFEST)
        for code in (FINE, OWN + "    x = 1\n")
    )
    refusal = (await rehearsed(orders.order(log, two, current=(log, one)))).refusal
    assert refusal is not None
    assert (refusal.requires, refusal.fault) == ("plugin log", Fault.RESOURCE)


async def test_what_goes_back_is_told_to_be_unrehearsed_there_and_is_not_refused(requiring: RehearsalOrder) -> None:
    report = await rehearsed(msgspec.structs.replace(requiring, goes_back=True))
    assert (LOG, report.refusal) == ([], None)
    assert report.warnings[1:] == ("not rehearsed: plugin geo, which requires what was left out",)


async def test_what_the_configuration_exempts_is_not_loaded_and_what_requires_it_is_told(
    requiring: RehearsalOrder,
) -> None:
    report = await rehearsed(msgspec.structs.replace(requiring, exempt=(UnitRef(UnitKind.PLUGIN, "log"),)))
    assert (LOG, report.refusal) == ([], None)
    assert report.warnings == ("not rehearsed: plugin geo, which requires plugin log (preflight = false)",)


async def test_what_the_configuration_exempts_is_told_where_it_changes(orders: Orders) -> None:
    bad = orders.plugin(OWN + "    def on_load(self, ctx): 1 / 0\n")
    order = orders.order(bad, orders.plugin(NOISY.format("shop"), id="shop"))
    report = await rehearsed(msgspec.structs.replace(order, exempt=(bad_ref := UnitRef(UnitKind.PLUGIN, "geo"),)))
    assert (LOG, report.refusal) == (["shop on_load for preflight", "shop on_unload"], None)
    assert report.warnings == (f"not rehearsed: {bad_ref} (preflight = false)",)


BROKEN = OWN + "    def export_state(self): raise KeyError('boom')\n"


async def test_what_could_not_be_replaced_again_without_losing_its_state_is_refused(orders: Orders) -> None:
    refusal = (await rehearsed(orders.order(BROKEN))).refusal
    assert refusal is not None
    assert (refusal.unit, refusal.hook, refusal.fault, refusal.where) == (
        "plugin geo",
        "export_state",
        Fault.CRASH,
        "geo.py:4",
    )
    assert (
        refusal.summary
        == "KeyError: 'boom'; as it stands, what replaces it some day could only begin without its state"
    )


async def test_of_what_goes_back_that_is_told_and_refuses_nothing(orders: Orders) -> None:
    report = await rehearsed(msgspec.structs.replace(orders.order(BROKEN), goes_back=True))
    assert report.refusal is None
    [warning] = report.warnings
    assert warning.startswith("plugin geo export_state: KeyError: 'boom'; as it stands, ")


async def test_what_serves_and_gives_no_state_is_named_and_what_goes_back_begins_without(orders: Orders) -> None:
    taking = orders.plugin(
        OWN + "    def import_state(self, old, state): ...\n", version="2.0", manifest=MANIFEST + 'state = ">=1"\n'
    )
    order = orders.order(taking, current=(BROKEN,))
    refusal = (await rehearsed(order)).refusal
    assert refusal is not None
    assert refusal.summary.startswith("geo 1.0, which serves, does not give its state: KeyError: 'boom' (geo.py:4); ")
    assert refusal.fault.transient
    afresh = msgspec.structs.replace(order.candidate, afresh=True)
    assert (await rehearsed(msgspec.structs.replace(order, candidate=afresh))).refusal is None


def rolled(requiring: RehearsalOrder, *served: str) -> RehearsalOrder:
    """The same by a roll; `served` did last."""
    refs = tuple(UnitRef(UnitKind.PLUGIN, each) for each in served)
    return msgspec.structs.replace(requiring, current=EMPTY, vacant=True, served=refs)


async def test_what_a_roll_has_of_what_served_and_does_not_load_here_is_left_out(orders: Orders) -> None:
    log = orders.plugin(OWN + "    def on_load(self, ctx):\n        raise PermissionError('its log')\n", id="log")
    shop = orders.plugin(NOISY.format("shop"), id="shop", manifest='requires = {{ log = ">=1" }}\n' + MANIFEST)
    order = orders.order(log, shop, orders.plugin(NOISY.format("two")), current=None)
    report = await rehearsed(rolled(order, "log", "shop"))
    assert LOG == ["two on_load for preflight", "two on_unload"]
    assert report.refusal is None
    assert report.warnings == (
        "left out: plugin log on_load serves, and does not load in a preflight: PermissionError: its log",
    )
    unknown = (await rehearsed(rolled(order, "shop"))).refusal
    assert unknown is not None
    assert unknown.unit == "plugin log"


async def test_what_is_new_in_a_roll_and_requires_what_is_left_out_is_refused_unless_it_goes_back(
    requiring: RehearsalOrder,
) -> None:
    order = rolled(requiring, "log", "shop")
    refusal = (await rehearsed(order)).refusal
    assert refusal is not None
    assert (refusal.unit, refusal.requires) == ("plugin geo", "plugin log")
    assert "say `preflight = false` in [plugins.log]" in refusal.summary
    report = await rehearsed(msgspec.structs.replace(order, goes_back=True))
    assert report.refusal is None
    assert report.warnings[1:] == ("not rehearsed: plugin geo, which requires what was left out",)


async def test_what_served_is_not_tested_again_in_a_roll_nor_refused_for_its_export(orders: Orders) -> None:
    manifest = MANIFEST + 'self_test = "{id}:test"\n'
    code = BROKEN + "def test(): raise ValueError('not here')\n"
    order = orders.order(orders.plugin(code, manifest=manifest), current=None)
    assert await rehearsed(rolled(order, "geo")) == RehearsalReport(modules=1)
    assert (await rehearsed(rolled(order))).refusal is not None


async def test_the_plugins_of_a_roll_are_rehearsed_as_in_new_workers_and_its_application_is_not(orders: Orders) -> None:
    one = orders.plugin(NOISY.format("one"))
    order = orders.order(one, current=None)
    application = ApplicationSpec(UnitKey(UnitRef(UnitKind.APPLICATION, "app"), "1f", 2), "nobody:here", "/nowhere")
    line = UnitKey(UnitRef(UnitKind.PIPELINE, "app"), "2f", 2)
    pipeline = PipelineSpec(line, target=application.key.ref, requires=(application.key.ref,))
    units = (*order.candidate.units, application, pipeline)
    candidate = msgspec.structs.replace(order.candidate, units=units, routes=(Route("app"),))
    rolled = msgspec.structs.replace(order, current=EMPTY, candidate=candidate, vacant=True)
    assert await rehearsed(rolled) == RehearsalReport(modules=1)
    assert LOG == ["one on_load for preflight", "one on_unload"]


async def test_an_application_that_does_not_load_there_keeps_nothing_else_from_being_rehearsed(orders: Orders) -> None:
    one, two = orders.plugin(NOISY.format("one")), orders.plugin(NOISY.format("two"), version="2.0")
    order = orders.order(two, current=(one,))
    application = ApplicationSpec(UnitKey(UnitRef(UnitKind.APPLICATION, "app"), "1f", 1), "nobody:here", "/nowhere")
    assert order.current is not None
    current, candidate = (
        msgspec.structs.replace(each, units=(*each.units, application)) for each in (order.current, order.candidate)
    )
    report = await rehearsed(msgspec.structs.replace(order, current=current, candidate=candidate))
    assert report.refusal is None
    assert LOG[-5:] == ["two on_reload from 1.0", "one on_unload", "two on_unload", *ALONE]
    [left_out] = report.warnings
    assert left_out.startswith("left out: application app serves, and does not load in a preflight: ")


async def test_what_does_not_load_and_changes_refuses_all_the_same(orders: Orders) -> None:
    broken = OWN + "    def on_load(self, ctx): raise PermissionError('{0}')\n"
    one, two = orders.plugin(broken.format("one")), orders.plugin(broken.format("two"))
    report = await rehearsed(orders.order(two, current=(one,)))
    assert report.refusal is not None
    assert (report.refusal.summary, report.refusal.fault) == ("PermissionError: two", Fault.CAPABILITY)


async def test_what_fails_too_late_and_what_leaks_is_told_and_refuses_nothing(orders: Orders) -> None:
    careless = (
        HEAD
        + "from tests.unit.workers.preflight.test_rehearsal import LOG\n"
        + "class Own(Plugin[None]):\n"
        + "    def on_load(self, ctx): LOG.append(self)\n"
        + "    def on_unload(self): 1 / 0\n"
    )
    report = await rehearsed(orders.order(FINE, current=(careless,)))
    assert report.refusal is None
    late, leak = report.warnings
    assert late == "plugin geo on_unload: ZeroDivisionError: division by zero"
    assert leak.startswith("leak: plugin geo")
    LOG.clear()


async def test_a_leak_of_what_no_worker_ever_swaps_is_not_told(orders: Orders) -> None:
    careless = (
        HEAD
        + "from tests.unit.workers.preflight.test_rehearsal import LOG\n"
        + "class Own(Plugin[None]):\n"
        + "    def on_load(self, ctx): LOG.append(self)\n"
    )
    rolls = 'strategy = "roll"\nrequires = {{ log = ">=1" }}\n' + MANIFEST
    log, shop = (orders.plugin(careless, id=id) for id in ("log", "shop"))
    report = await rehearsed(orders.order(log, shop, orders.plugin(careless, manifest=rolls), current=None))
    assert report.refusal is None
    [leak] = report.warnings
    assert leak.startswith("leak: plugin shop")
    LOG.clear()


ENDLESS = OWN + "    {how}\n        {wait}\n"
HANGS = {
    "sync": ENDLESS.format(how="def on_unload(self):", wait="gate.wait(30)").replace(
        "class Own", "from tests.unit.workers.preflight.test_rehearsal import GATE as gate\nclass Own"
    ),
    "async": ENDLESS.format(how="async def on_unload(self):", wait="await asyncio.Event().wait()"),
}
GATE = threading.Event()
"""Lets threads go that a rehearsal left behind."""


@pytest.fixture
def gate() -> Iterator[None]:
    """Let go in the end what waits in threads."""
    GATE.clear()
    yield
    GATE.set()


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("how", HANGS)
async def test_a_candidate_that_does_not_end_is_refused_and_what_it_replaces_bars_nothing(
    how: str, orders: Orders
) -> None:
    hangs = orders.plugin(HANGS[how])
    candidate = await rehearsed(orders.order(hangs, hook=0.2))
    assert candidate.refusal is not None
    told = (candidate.refusal.stage, candidate.refusal.fault, candidate.refusal.unit, candidate.refusal.hook)
    assert told == (Stage.PREFLIGHT, Fault.TIMEOUT, "plugin geo", "on_unload")
    assert candidate.refusal.summary.startswith("not done within 0.2 s")
    assert not [line for line in candidate.warnings if line.startswith("plugin geo on_unload")]
    replaced = await rehearsed(orders.order(FINE, current=(hangs,), hook=0.2))
    assert replaced.refusal is None
    assert replaced.warnings[0].startswith("plugin geo on_unload: not done within 0.2 s")


@pytest.mark.usefixtures("gate")
async def test_what_hangs_and_serves_on_or_goes_back_bars_nothing(orders: Orders) -> None:
    shop = orders.plugin(HANGS["sync"], id="shop")
    beside = await rehearsed(orders.order(shop, FINE, current=(shop,), hook=0.2))
    back = await rehearsed(msgspec.structs.replace(orders.order(HANGS["sync"], hook=0.2), goes_back=True))
    for report, unit in ((beside, "shop"), (back, "geo")):
        assert report.refusal is None
        assert report.warnings[0].startswith(f"plugin {unit} on_unload: not done within 0.2 s")


@pytest.mark.usefixtures("gate")
async def test_what_served_last_and_hangs_bars_no_roll_and_what_is_new_does(orders: Orders) -> None:
    shop = orders.plugin(HANGS["sync"], id="shop")
    roll = msgspec.structs.replace(orders.order(shop, FINE, current=None, hook=0.2), current=EMPTY, vacant=True)
    served = await rehearsed(msgspec.structs.replace(roll, served=(UnitRef(UnitKind.PLUGIN, "shop"),)))
    assert served.refusal is None
    assert served.warnings[0].startswith("plugin shop on_unload: not done within 0.2 s")
    new = await rehearsed(roll)
    assert new.refusal is not None
    assert (new.refusal.unit, new.refusal.hook) == ("plugin shop", "on_unload")


RULED = MANIFEST + 'resources = {{ rules = {{ path = "rules.toml" }} }}\n'
TAKES = "    def on_resources(self, changed): ...\n"


@pytest.mark.usefixtures("gate")
@pytest.mark.parametrize("takes", [TAKES, ""], ids=["a copy", "loaded anew"])
@pytest.mark.parametrize("rolls", [False, True], ids=["in a swap", "in a roll"])
async def test_what_serves_and_hangs_can_have_its_resources_changed_and_nothing_else(
    takes: str, rolls: bool, orders: Orders
) -> None:
    def ruled(rules: str, code: str = HANGS["sync"] + takes) -> Stored:
        return orders.plugin(code, manifest=RULED, rules=rules)

    def ordered(new: Stored, old: Stored) -> RehearsalOrder:
        order = orders.order(new, current=(old,), hook=0.2)
        return msgspec.structs.replace(order, current=EMPTY, vacant=True) if rolls else order

    one, two = ruled("a = 1"), ruled("a = 2")
    for new, old in ((two, one), (one, two)):
        report = await rehearsed(ordered(new, old))
        assert report.refusal is None
        assert report.warnings[0].startswith("plugin geo on_unload: not done within 0.2 s")
    configured = dataclasses.replace(two, config=msgspec.msgpack.encode({"depth": 2}))
    for other in (ruled("a = 2", HANGS["sync"] + takes + "    x = 1\n"), dataclasses.replace(two, granted=())):
        refusal = (await rehearsed(ordered(other, one))).refusal
        assert refusal is not None
        assert (refusal.unit, refusal.hook, refusal.fault) == ("plugin geo", "on_unload", Fault.TIMEOUT)
    assert ordered(configured, one).other_resources == ()


async def test_a_candidate_that_never_ends_a_merge_is_refused(orders: Orders) -> None:
    state = "    def export_state(self): return b'x'\n"
    hangs = "    async def merge_state(self, *told): await asyncio.Event().wait()\n"
    taken = MANIFEST + 'state = ">=1"\n'
    merging = orders.plugin(OWN + "    def import_state(self, old, state): ...\n" + hangs, manifest=taken)
    refusal = (await rehearsed(orders.order(merging, current=(OWN + state,), hook=0.2))).refusal
    assert refusal is not None
    assert (refusal.hook, refusal.fault) == ("merge_state", Fault.TIMEOUT)


STATE = MANIFEST + 'state = ">=1"\n'
GIVES = "    def export_state(self): return b'x'\n"
TAKES_STATE = "    def import_state(self, old, state): ...\n"
BLOCKS = {
    "merge_state": (GIVES + TAKES_STATE + "    def merge_state(self, *told): time.sleep(0.3)\n", GIVES),
    "on_unload": ("    async def on_unload(self): time.sleep(0.3)\n", "    pass\n"),
}


@pytest.mark.parametrize("hook", BLOCKS)
async def test_a_candidate_that_returns_after_its_deadline_is_refused_where_no_worker_could(
    hook: str, orders: Orders
) -> None:
    blocks, served = BLOCKS[hook]
    candidate, serves = orders.plugin(OWN + blocks, manifest=STATE), orders.plugin(OWN + served, manifest=STATE)
    refusal = (await rehearsed(orders.order(candidate, current=(serves,), hook=0.2))).refusal
    assert refusal is not None
    assert (refusal.unit, refusal.hook, refusal.fault) == ("plugin geo", hook, Fault.TIMEOUT)
    assert refusal.summary.startswith("not done within 0.2 s; the loop stood still for")
    back = msgspec.structs.replace(orders.order(candidate, current=(serves,), hook=0.2), goes_back=True)
    report = await rehearsed(back)
    assert report.refusal is None
    assert report.warnings[0].startswith(f"plugin geo {hook}: not done within 0.2 s")


async def test_what_serves_and_ends_after_its_deadline_bars_nothing(orders: Orders) -> None:
    serves = orders.plugin(OWN + BLOCKS["on_unload"][0])
    report = await rehearsed(orders.order(FINE, current=(serves,), hook=0.2))
    assert report.refusal is None
    assert report.warnings[0].startswith("plugin geo on_unload: not done within 0.2 s")


async def test_a_candidate_whose_end_raises_is_told_and_taken(orders: Orders) -> None:
    raising = OWN + "    def on_unload(self): raise TimeoutError('its socket')\n"
    report = await rehearsed(orders.order(raising))
    assert (report.refusal, report.warnings) == (None, ("plugin geo on_unload: TimeoutError: its socket",))


async def test_memory_that_is_not_there_says_how_much_there_is(orders: Orders) -> None:
    code = OWN + "    def on_reload(self, ctx, old): raise MemoryError\n"
    refusal = (await rehearsed(orders.order(code, memory=2**28))).refusal
    assert refusal is not None
    assert refusal.fault.transient
    assert refusal.summary == ("MemoryError: a preflight has 256 MiB beyond what it begins with ([preflight] memory)")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            'RuntimeError("can\'t start new thread")',
            "RuntimeError: can't start new thread: a preflight has 9 processes and threads ([preflight] processes)",
        ),
        (
            "OSError(27, 'File too large')",
            "OSError: [Errno 27] File too large: a file has 256 MiB in a preflight ([preflight] memory)",
        ),
    ],
)
async def test_what_only_a_preflight_limits_may_pass_and_names_its_setting(
    code: str, told: str, orders: Orders
) -> None:
    code = OWN + f"    def on_reload(self, ctx, old): raise {code}\n"
    refusal = (await rehearsed(orders.order(code, memory=2**28, processes=9))).refusal
    assert refusal is not None
    assert (refusal.fault, refusal.summary) == (Fault.RESOURCE, told)


MERGES = "    def merge_state(self, old, imported, latest): ...\n"


@pytest.mark.parametrize(("merges", "told"), [(False, 1), (True, 0)])
async def test_an_author_is_told_of_state_that_would_miss_what_is_written_meanwhile(
    merges: bool, told: int, orders: Orders
) -> None:
    code = OWN + GIVES + TAKES_STATE + (MERGES if merges else "")
    report = await rehearsed(orders.order(orders.plugin(code, manifest=STATE), current=None))
    lost = "what is written between the export and the commit is lost"
    assert report.warnings == (f"plugin geo: it has export_state and no merge_state: {lost}",)[:told]
    assert (await rehearsed(orders.order(code))).warnings == ()


@pytest.mark.parametrize("merging", ["", MERGES])
@pytest.mark.parametrize("manifest", [MANIFEST, STATE, MANIFEST + "singleton = true\n"])
async def test_an_author_is_told_of_state_that_nothing_imports(manifest: str, merging: str, orders: Orders) -> None:
    plugin = orders.plugin(OWN + GIVES + merging, manifest=manifest)
    [told] = (await rehearsed(orders.order(plugin, current=None))).warnings
    assert told == (
        "plugin geo: it has export_state and no import_state: "
        "nothing that it exports goes over to another version or process"
    )


async def test_an_author_is_told_that_state_does_not_follow_who_leads(orders: Orders) -> None:
    single = orders.plugin(OWN + GIVES + TAKES_STATE + MERGES, manifest=STATE + "singleton = true\n")
    [told] = (await rehearsed(orders.order(single, current=None))).warnings
    assert told.startswith("plugin geo: it has export_state and is a singleton: in a roll ")


async def test_self_tests_of_what_is_new_are_counted_and_one_that_fails_refuses(orders: Orders) -> None:
    tested = MANIFEST + 'self_test = "{id}:tried"\n'
    shop = orders.plugin(FINE + "def tried(): 1 / 0\n", id="shop", manifest=tested)
    good = orders.plugin(FINE + "async def tried(plugin): assert plugin.config is None\n", manifest=tested)
    bad = orders.plugin(FINE + "def tried(plugin):\n    assert not plugin\n", manifest=tested)
    passed = await rehearsed(orders.order(shop, good, current=(shop, FINE)))
    assert (passed.refusal, passed.tests_passed, passed.tests) == (None, 1, 1)
    failed = await rehearsed(orders.order(shop, bad, current=(shop, FINE)))
    assert (failed.tests_passed, failed.tests) == (0, 1)
    assert failed.refusal is not None
    assert (failed.refusal.stage, failed.refusal.hook, failed.refusal.source) == (
        Stage.PREFLIGHT,
        "self_test",
        "assert not plugin",
    )


RELOADS = "    def on_reload(self, ctx, old): ...\n"
FAILS = "    def on_load(self, ctx): raise OSError('nothing to load')\n"


async def test_a_candidate_that_only_loads_beside_what_it_replaces_is_not_proved(orders: Orders) -> None:
    for code, current, unproved in (
        (OWN + FAILS + RELOADS, (FINE,), True),
        (OWN + RELOADS, (FINE,), False),
        (OWN + FAILS + RELOADS, (orders.plugin(FINE, id="shop"),), None),
    ):
        report = await rehearsed(orders.order(code, current=current))
        assert (None if report.refusal else report.unproved) == unproved


async def test_what_it_is_loaded_with_alone_ends_too_and_leaves_nothing(orders: Orders) -> None:
    noisy = NOISY.format("two") + "    def on_reload(self, ctx, old): LOG.append('two on_reload')\n"
    report = await rehearsed(orders.order(noisy))
    assert (report.refusal, report.warnings, report.unproved) == (None, (), False)
    assert ["two on_reload", "two on_unload", *ALONE] == LOG


async def test_alone_it_is_refused_by_a_process_that_did_not_have_it_before(orders: Orders) -> None:
    order = orders.order(OWN + FAILS + RELOADS)
    assert (await rehearsed(order)).unproved
    refusal = (await rehearsed(order.alone())).refusal
    assert refusal is not None
    assert (refusal.hook, refusal.summary) == ("on_load", "OSError: nothing to load")
    assert (await rehearsed(msgspec.structs.replace(order, goes_back=True))).unproved is False
