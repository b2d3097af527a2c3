"""Generations are built beside what serves, and every unit ends exactly once."""

import asyncio
import gc
import signal
import sys
import time
import weakref

import msgspec
import pytest

from changeover.workers.generation.switch import NOTHING, Generation
from changeover.workers.generation.workshop import StillServing
from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.opened import PREFIX
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.serving import attribution
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.observation import PipelineEventKind
from tests.bench import LOG, NOISY, Bench, lease, loaded, unit_set
from tests.waits import until

KEPT: list[object] = []
"""What a careless program kept."""

SERVICE = '\nservices = { quote = { mount = "/q" } }\n'
HANDLED = 'plugin = "pricing:Own"\nhandlers = { first = "inbound" }' + SERVICE
KEEPING = HANDLED.replace("pricing", "kept").replace("quote", "kept").replace("/q", "/k")
CODE = (
    NOISY
    + """
    @inbound
    def first(self, request, call): ...
    @service
    async def quote(self, request, call): return Response.text("{0}")
"""
)


async def test_before_the_first_build_nothing_is_resident(bench: Bench) -> None:
    assert bench.workshop.resident() == ()
    assert bench.switch.current is NOTHING


async def test_the_hooks_run_where_the_table_puts_them(bench: Bench) -> None:
    one, two = bench.plugin(NOISY.format("one")), bench.plugin(NOISY.format("two"))
    first = await bench.built(1, one)
    assert LOG == ["one on_load at 1"]
    await bench.activate(first)
    second = await bench.built(2, two)
    digest = first.snapshot.units[0].key.digest
    assert LOG[1:] == ["one on_activate", f"two on_reload from {digest[:4]}"]
    await bench.activate(second)
    assert LOG[3:] == ["one on_deactivate", "two on_activate"]
    await bench.retire()
    assert LOG[5:] == ["one on_unload"]


async def test_every_move_of_a_plugin_is_witnessed_in_order(bench: Bench) -> None:
    first = await bench.serve(1, bench.plugin(NOISY.format("one")))
    [entry] = bench.workshop.plugins()
    assert (entry.key, entry.state) == (first.snapshot.units[0].key, "Active")
    assert 0 <= time.time() - entry.loaded_at < 60
    assert [state for _, state in bench.witness.moves] == ["Loaded", "Linked", "Initialized", "Active"]
    bench.witness.moves.clear()
    await bench.refused(2, bench.plugin("class Own(Plugin[None]):\n    def on_reload(self, ctx, old): 1 / 0"))
    assert [state for _, state in bench.witness.moves] == ["Loaded", "Linked", "Removed"]
    bench.witness.moves.clear()
    await bench.serve(3)
    assert [entry.state for entry in bench.workshop.plugins()] == ["Draining"]
    await bench.retire()
    assert [state for _, state in bench.witness.moves] == ["Draining", "Removed"]
    assert bench.workshop.plugins() == ()


async def test_in_a_preflight_nothing_is_begun_that_only_a_worker_that_serves_may_do(bench: Bench) -> None:
    bench.workshop = bench.make(5.0, stage="preflight")
    told = NOISY.replace('f"{0} on_load at {{ctx.epoch}}"', 'f"{0} on_load in {{ctx.stage}}"')
    await bench.serve(1, bench.plugin(told.format("one")))
    second = await bench.serve(2, bench.plugin(NOISY.format("two")))
    await bench.retire()
    assert [line.partition(" from ")[0] for line in LOG] == [
        "one on_load in preflight",
        "two on_reload",
        "one on_unload",
    ]
    assert loaded(second).lifecycle.state is State.ACTIVE


async def test_a_unit_that_did_not_change_is_the_same_object(bench: Bench) -> None:
    kept = bench.plugin(NOISY.format("kept"), id="kept")
    first = await bench.serve(1, kept, bench.plugin(CODE.format("one"), manifest=HANDLED))
    second = await bench.serve(2, kept, bench.plugin(CODE.format("two"), manifest=HANDLED))
    assert loaded(first, "kept") is loaded(second, "kept")
    assert loaded(first) is not loaded(second)
    assert [line for line in LOG if line.startswith("kept")] == ["kept on_load at 1", "kept on_activate"]


async def test_a_pipeline_tells_when_it_was_assembled_and_when_it_serves(bench: Bench) -> None:
    def told(kind: PipelineEventKind) -> list[tuple[str, str]]:
        return [(each.pipeline, each.detail) for each in bench.events if each.kind is kind]

    kept = bench.plugin(CODE.format("kept").replace("quote", "kept"), id="kept", manifest=KEEPING)
    first = await bench.built(1, kept, bench.plugin(CODE.format("one"), manifest=HANDLED))
    both = [("kept:kept", "1 handlers, of epoch 1"), ("pricing:quote", "1 handlers, of epoch 1")]
    assert sorted(told(PipelineEventKind.ASSEMBLED)) == both
    assert told(PipelineEventKind.ACTIVATED) == []
    await bench.activate(first)
    assert sorted(told(PipelineEventKind.ACTIVATED)) == both
    await bench.serve(2, kept, bench.plugin(CODE.format("two"), manifest=HANDLED))
    changed = ("pricing:quote", "1 handlers, of epoch 2")
    assert told(PipelineEventKind.ASSEMBLED)[2:] == told(PipelineEventKind.ACTIVATED)[2:] == [changed]


async def test_a_candidate_that_contradicts_itself_is_nobodys_fault_but_ours(bench: Bench) -> None:
    snapshot = bench.snapshot(1, bench.plugin(CODE.format("one"), manifest=HANDLED))
    whole = snapshot.units
    refusal = await bench.workshop.build(msgspec.structs.replace(snapshot, units=whole[1:]))
    assert isinstance(refusal, Refusal)
    assert (refusal.stage, refusal.fault) == (Stage.LINK, Fault.INTERNAL)
    assert "the snapshot contradicts itself" in refusal.summary


async def test_a_unit_set_is_shared_while_nothing_in_it_changes(bench: Bench) -> None:
    shop = bench.plugin(CODE.format("shop"), manifest=HANDLED)
    other = 'plugin = "geo:Own"\nservices = { where = { mount = "/w" } }'
    where = NOISY.format("geo") + "\n    @service\n    async def where(self, request, call): return Response.text('')\n"
    first = await bench.serve(1, shop, bench.plugin(where, id="geo", manifest=other))
    second = await bench.serve(2, shop, bench.plugin(where + "# 2", id="geo", manifest=other))
    assert unit_set(first, "pricing:quote") is unit_set(second, "pricing:quote")
    assert unit_set(first, "geo:where") is not unit_set(second, "geo:where")
    assert {str(key.ref) for key in unit_set(second, "pricing:quote").keys} == {
        "plugin pricing",
        "service pricing:quote",
        "pipeline pricing:quote",
    }


async def test_a_leased_unit_drains_on_its_own_while_later_cutovers_go_on(bench: Bench) -> None:
    generations = []
    for epoch in (1, 2, 3):
        plugin = bench.plugin(CODE.format(epoch), manifest=HANDLED)
        generations.append(await bench.serve(epoch, plugin))
        if epoch < 3:
            lease(generations[-1], "pricing:quote")
    assert [key.since for key in bench.workshop.draining()] == [1, 1, 1, 2, 2, 2]
    assert bench.drained == []
    (second,) = unit_set(generations[1], "pricing:quote").leases
    second.release()
    assert [key.since for key in bench.drained[0]] == [2, 2, 2]
    (first,) = unit_set(generations[0], "pricing:quote").leases
    first.release()
    first.release()
    assert [[key.since for key in keys] for keys in bench.drained] == [[2, 2, 2], [1, 1, 1]]
    assert len(await bench.workshop.release(bench.drained[0])) == 3
    assert {key.since for key in bench.workshop.resident()} == {1, 3}
    await bench.retire()


async def test_units_are_told_once_and_released_once(bench: Bench) -> None:
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    await bench.serve(2, bench.plugin(NOISY.format("two")))
    released = await bench.retire()
    assert [str(key.ref) for key in released] == ["plugin pricing"]
    assert await bench.workshop.release(released) == ()
    assert (LOG.count("one on_unload"), len(bench.drained)) == (1, 1)


async def test_what_a_hook_started_before_it_failed_ends_too(bench: Bench) -> None:
    code = """
class Own(Plugin[None]):
    async def on_load(self, ctx):
        LOG.append(asyncio.get_running_loop().create_task(asyncio.sleep(60), name="begun").get_name())
        raise OSError("no")
"""
    attribution.install(asyncio.get_running_loop())
    try:
        await bench.refused(1, bench.plugin(code))
    finally:
        attribution.uninstall()
    assert LOG == ["begun"]
    assert "begun" not in [task.get_name() for task in asyncio.all_tasks()]


async def test_what_serves_is_not_released(bench: Bench) -> None:
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    with pytest.raises(StillServing, match="plugin pricing"):
        await bench.workshop.release(bench.workshop.resident())
    assert "one on_unload" not in LOG


def waits(bench: Bench) -> bool:
    """Whether a release waits for a lease to go."""
    return bench.workshop._drains._freed is not None


async def test_a_unit_that_is_leased_again_is_released_after_that(bench: Bench) -> None:
    first = await bench.serve(1, bench.plugin(CODE.format("one"), manifest=HANDLED))
    await bench.serve(2, bench.plugin(CODE.format("two"), manifest=HANDLED))
    await until(lambda: bench.drained)
    late = unit_set(first, "pricing:quote").lease(LeaseKind.TASK, 1, "/", 0)
    releasing = asyncio.ensure_future(bench.workshop.release(bench.drained[0]))
    await until(lambda: waits(bench))
    assert "one on_unload" not in LOG
    late.release()
    assert len(await releasing) == 3
    assert unit_set(first, "pricing:quote").retired


async def test_a_unit_that_is_leased_again_keeps_nobody_else_waiting(bench: Bench) -> None:
    first = await bench.serve(1, bench.plugin(CODE.format("one"), manifest=HANDLED))
    await bench.serve(2, bench.plugin(CODE.format("two"), manifest=HANDLED))
    await until(lambda: bench.drained)
    late = unit_set(first, "pricing:quote").lease(LeaseKind.TASK, 1, "/", 0)
    releasing = [asyncio.ensure_future(bench.workshop.release([key])) for key in bench.drained[0]]
    await until(lambda: waits(bench))
    async with asyncio.timeout(5):
        await bench.serve(3, bench.plugin(CODE.format("three"), manifest=HANDLED))
    assert "one on_unload" not in LOG
    late.release()
    async with asyncio.timeout(5):
        assert sorted(map(len, await asyncio.gather(*releasing))) == [1, 1, 1]


async def test_a_unit_whose_last_lease_goes_right_after_the_switch_can_be_released_at_once(bench: Bench) -> None:
    bench.workshop = bench.make(5.0, aftermath=30.0)
    first = await bench.serve(1, bench.plugin(CODE.format("one"), manifest=HANDLED))
    second = await bench.built(2, bench.plugin(CODE.format("two"), manifest=HANDLED))
    held = lease(first, "pricing:quote")
    bench.switch.prepared, bench.cell.epoch = second, 2
    assert bench.switch.admit() is second
    held.release()
    assert len(await bench.workshop.release(bench.drained[0])) == 3


async def test_a_discarded_candidate_is_unwound_in_reverse_and_nothing_else_changes(bench: Bench) -> None:
    base = bench.plugin(NOISY.format("base"), id="base")
    serving = await bench.serve(1, base)
    above = bench.plugin(
        NOISY.format("above"), id="above", manifest='plugin = "above:Own"\nrequires = { base = ">=1" }'
    )
    top = bench.plugin(NOISY.format("top"), id="top", manifest='plugin = "top:Own"\nrequires = { above = ">=1" }')
    candidate = await bench.built(2, base, above, top)
    resident = bench.workshop.resident()
    await bench.workshop.discard(candidate)
    await bench.workshop.discard(candidate)
    assert LOG[-2:] == ["top on_unload", "above on_unload"]
    assert bench.workshop.resident() == resident[:1]
    assert bench.switch.current is serving
    assert not [name for name in sys.modules if name.startswith(f"{PREFIX}.top")]


FAILURES = {
    "a module that raises": ("raise KeyError('no')", "", Stage.LOAD, Fault.CRASH),
    "a module that is no Python": ("def f(:", "", Stage.LOAD, Fault.CONTRACT),
    "an import that is missing": ("import not_there_at_all", "", Stage.LOAD, Fault.CONTRACT),
    "a module that exits": ("raise SystemExit(3)", "", Stage.LOAD, Fault.CRASH),
    "a module that interrupts": ("raise KeyboardInterrupt", "", Stage.LOAD, Fault.CRASH),
    "a class that is not there": ("", "", Stage.LINK, Fault.CONTRACT),
    "a class that is no Plugin": ("class Own: ...", "", Stage.LINK, Fault.CONTRACT),
    "a constructor that raises": (
        "class Own(Plugin):\n    def __init__(self, config): raise OSError(24, 'Too many open files')",
        "",
        Stage.LINK,
        Fault.RESOURCE,
    ),
    "a constructor that forgets": (
        "class Own(Plugin):\n    def __init__(self, config): pass",
        "",
        Stage.LINK,
        Fault.CONTRACT,
    ),
    "a handler that is not there": (
        NOISY.format("x"),
        'plugin = "pricing:Own"\nhandlers = { nope = "inbound" }',
        Stage.LINK,
        Fault.CONTRACT,
    ),
    "a handler of another direction": (
        NOISY.format("x") + "\n    @outbound\n    def first(self, request, response, call): ...",
        'plugin = "pricing:Own"\nhandlers = { first = "inbound" }',
        Stage.LINK,
        Fault.CONTRACT,
    ),
    "a handler that takes too much": (
        NOISY.format("x") + "\n    def first(self, request, call, more): ...",
        'plugin = "pricing:Own"\nhandlers = { first = "inbound" }',
        Stage.LINK,
        Fault.CONTRACT,
    ),
    "a configuration that is not taken": (NOISY.format("x"), "", Stage.LINK, Fault.CONFIG),
    "on_load that raises": (
        "class Own(Plugin):\n    def on_load(self, ctx): raise PermissionError(13, 'no')",
        "",
        Stage.INITIALISE,
        Fault.CAPABILITY,
    ),
    "async on_load that raises": (
        "class Own(Plugin):\n    async def on_load(self, ctx): raise TimeoutError('no connection')",
        "",
        Stage.INITIALISE,
        Fault.TIMEOUT,
    ),
    "async on_load that exits": (
        "class Own(Plugin):\n    async def on_load(self, ctx): sys.exit(1)",
        "",
        Stage.INITIALISE,
        Fault.CRASH,
    ),
    "on_load that exits": (
        "class Own(Plugin):\n    def on_load(self, ctx): sys.exit(1)",
        "",
        Stage.INITIALISE,
        Fault.CRASH,
    ),
    "on_load that cancels itself": (
        "class Own(Plugin):\n    async def on_load(self, ctx): raise asyncio.CancelledError",
        "",
        Stage.INITIALISE,
        Fault.CRASH,
    ),
    "a resource that is not declared": (
        "class Own(Plugin):\n    def on_load(self, ctx): ctx.resource('rules')",
        "",
        Stage.INITIALISE,
        Fault.CONTRACT,
    ),
    "a service that is nothing": (
        NOISY.format("x") + "\n    quote = 3",
        'plugin = "pricing:Own"' + SERVICE,
        Stage.LINK,
        Fault.CONTRACT,
    ),
    "a service whose constructor raises": (
        NOISY.format("x")
        + """
class Quote(Service):
    def __init__(self, plugin): raise ConnectionRefusedError
    async def __call__(self, request, call): ...
""",
        'plugin = "pricing:Own"\nservices = { quote = { entry = "pricing:Quote", mount = "/q" } }',
        Stage.LINK,
        Fault.RESOURCE,
    ),
    "a lifespan that fails": (
        NOISY.format("x") + "\nasync def app(scope, receive, send): raise ValueError('not today')",
        'plugin = "pricing:Own"\nservices = { quote = { entry = "pricing:app", interface = "asgi", mount = "/q" } }',
        Stage.INITIALISE,
        Fault.CRASH,
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failure_anywhere_in_prepare_leaves_nothing_behind(bench: Bench, failure: str) -> None:
    code, manifest, stage, fault = FAILURES[failure]
    if failure == "a lifespan that fails":
        code = code.replace("raise ValueError", "await receive(); raise ValueError")
    before = bench.plugin(NOISY.format("before"), id="before")
    serving = await bench.serve(1, before)
    resident, modules, tasks = bench.workshop.resident(), set(sys.modules), asyncio.all_tasks()
    config = {"surplus": 1} if failure == "a configuration that is not taken" else {}
    begun = bench.plugin(NOISY.format("begun"), id="begun")
    broken = bench.plugin(
        code,
        manifest=(manifest or 'plugin = "pricing:Own"') + '\nrequires = { begun = ">=1" }',
        config=config,
    )
    refusal = await bench.refused(2, before, begun, broken)
    assert (refusal.stage, refusal.fault) == (stage, fault), refusal
    assert LOG[-1] == "begun on_unload"
    assert bench.workshop.resident() == resident
    assert {name for name in set(sys.modules) - modules if name.startswith(PREFIX)} == set()
    assert asyncio.all_tasks() == tasks
    assert (bench.switch.current, bench.switch.prepared) == (serving, None)
    gc.collect()
    assert bench.workshop.leaks() == []


async def test_a_refusal_names_the_place_as_its_author_knows_it(bench: Bench) -> None:
    files = {
        "pricing_rules/__init__.py": "",
        "pricing_rules/deep.py": "def connect():\n    raise TimeoutError('5 s')\n",
    }
    code = "from pricing_rules import deep\nclass Own(Plugin):\n    async def on_load(self, ctx):\n"
    code += "        deep.connect()\n"
    refusal = await bench.refused(1, bench.plugin(code, files=files))
    assert (refusal.unit, refusal.hook) == ("plugin pricing", "on_load")
    assert (refusal.where, refusal.source) == ("pricing_rules/deep.py:2", "raise TimeoutError('5 s')")
    assert refusal.summary == "TimeoutError: 5 s"
    assert refusal.fault.transient
    assert refusal.traceback.splitlines() == [
        "Traceback (most recent call last):",
        '  File "pricing.py", line 7, in on_load',
        "    deep.connect()",
        '  File "pricing_rules/deep.py", line 2, in connect',
        "    raise TimeoutError('5 s')",
        "TimeoutError: 5 s",
    ]


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_hook_that_hangs_is_refused_with_its_stack_and_the_next_build_works(bench: Bench, kind: str) -> None:
    bench.workshop = bench.make(hook_deadline=0.1)
    wait = "GATE.wait(2)" if kind == "def" else "await asyncio.Event().wait()"
    code = f"GATE = threading.Event()\nclass Own(Plugin):\n    {kind} on_load(self, ctx):\n        {wait}\n"
    refusal = await bench.refused(1, bench.plugin(code))
    assert (refusal.fault, refusal.hook) == (Fault.TIMEOUT, "on_load")
    assert (refusal.where, refusal.source) == ("pricing.py:7", wait)
    assert "in on_load" in refusal.traceback
    assert ("cannot be killed" in refusal.summary) == (kind == "def")
    generation = await bench.built(2, bench.plugin(NOISY.format("fine")))
    await bench.workshop.discard(generation)


async def test_a_cancelled_build_is_unwound(bench: Bench) -> None:
    slow = """
class Own(Plugin):
    async def on_load(self, ctx):
        LOG.append('begun')
        await asyncio.Event().wait()
"""
    begun = bench.plugin(NOISY.format("early"), id="early")
    late = bench.plugin(slow, manifest='plugin = "pricing:Own"\nrequires = { early = ">=1" }')
    building = asyncio.ensure_future(bench.workshop.build(bench.snapshot(1, begun, late)))
    await until(lambda: "begun" in LOG)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert LOG[-1] == "early on_unload"
    assert bench.workshop.resident() == ()
    await bench.workshop.discard(await bench.built(2, begun))


@pytest.mark.parametrize(
    ("hook", "told"),
    [("on_activate", "on_activate"), ("on_deactivate", "on_deactivate"), ("on_unload", "on_unload")],
)
async def test_a_failure_after_the_commit_is_reported_and_the_epoch_stays(bench: Bench, hook: str, told: str) -> None:
    code = f"class Own(Plugin):\n    def {hook}(self):\n        raise ValueError('late')\n"
    await bench.serve(1, bench.plugin(code))
    second = await bench.serve(2, bench.plugin(NOISY.format("two")))
    await bench.retire()
    assert [(refusal.hook, refusal.summary, refusal.where) for refusal in bench.degraded] == [
        (told, "ValueError: late", "pricing.py:6")
    ]
    assert bench.switch.current is second
    assert bench.workshop.leaks() == []


async def test_a_joiner_builds_what_serves_and_the_candidate_before_it_activates_either(bench: Bench) -> None:
    kept = bench.plugin(NOISY.format("kept"), id="kept")
    current = await bench.built(1, kept, bench.plugin(NOISY.format("one")))
    candidate_plugin = bench.plugin(NOISY.format("two"))
    snapshot = bench.snapshot(2, kept, candidate_plugin)
    kept_key = current.snapshot.units[0].key
    units = tuple(current.snapshot.units[:1]) + tuple(u for u in snapshot.units if u.key.ref != kept_key.ref)
    candidate = await bench.workshop.build(type(snapshot)(2, snapshot.digest, units, snapshot.routes))
    assert isinstance(candidate, Generation)
    assert loaded(candidate, "kept") is loaded(current, "kept")
    await bench.activate(candidate)
    await bench.workshop.discard(current)
    assert {str(key.ref) for key in bench.workshop.resident()} == {"plugin kept", "plugin pricing"}
    assert LOG[-1] == "one on_unload"


async def test_the_oldest_copies_past_the_bound_are_named_with_their_leases(bench: Bench) -> None:
    generations = []
    for epoch in (1, 2, 3, 4):
        generations.append(await bench.serve(epoch, bench.plugin(CODE.format(epoch), manifest=HANDLED)))
        lease(generations[-1], "pricing:quote")
    assert bench.workshop.leases_over(4) == []
    assert [held.epoch for held in bench.workshop.leases_over(2)] == [1, 2]
    for generation in generations:
        for held in list(unit_set(generation, "pricing:quote").leases):
            held.release()
    await bench.retire()


async def test_after_release_no_object_of_a_unit_is_alive(bench: Bench) -> None:
    first = await bench.serve(1, bench.plugin(CODE.format("one"), manifest=HANDLED))
    instance = loaded(first).instance
    assert instance is not None
    module = sys.modules[type(instance).__module__]
    weak = [weakref.ref(each) for each in (instance, type(instance), module, loaded(first))]
    KEPT.append(loaded(first).handlers["first"].call)
    del first, instance, module
    await bench.serve(2, bench.plugin(CODE.format("two"), manifest=HANDLED))
    await bench.retire()
    (leak,) = bench.workshop.leaks()
    assert leak.what == "module pricing.py is alive"
    assert leak.chain == (f"module {__name__}.KEPT", "list", "method Own.first", "function Own.first")
    KEPT.clear()
    assert bench.workshop.leaks() == []
    assert [reference() for reference in weak] == [None] * len(weak)


async def test_two_hundred_swaps_leave_no_old_module_alive(bench: Bench) -> None:
    files = {"pricing_rules.py": "import dataclasses\n@dataclasses.dataclass\nclass Rule:\n    x: int = 1\n"}
    lazy = "\n    def late(self):\n        import pricing_rules\n        return pricing_rules.Rule()\n"
    weak = []
    for epoch in range(1, 201):
        plugin = bench.plugin(CODE.format(epoch) + lazy, manifest=HANDLED, files=files)
        generation = await bench.serve(epoch, plugin)
        instance = loaded(generation).instance
        assert instance is not None
        weak.append(weakref.ref(type(instance)))
        instance.late()  # type: ignore[attr-defined]
        del generation, instance
        await bench.retire()
    assert bench.workshop.leaks() == []
    assert len(bench.workshop.resident()) == 3
    assert [reference() is not None for reference in weak].count(True) == 1
    assert len([name for name in sys.modules if name.startswith(f"{PREFIX}.pricing")]) == 4


async def test_a_worker_that_leaves_lets_what_requests_left_behind_finish_first(bench: Bench) -> None:
    generation = await bench.serve(1, bench.plugin(CODE.format("one"), manifest=HANDLED))
    held = lease(generation, "pricing:quote")
    closing = asyncio.ensure_future(bench.workshop.close(patience=30.0))
    await until(lambda: "one on_deactivate" in LOG)
    assert "one on_unload" not in LOG
    held.release()
    assert await closing == []
    assert LOG[-1] == "one on_unload"


async def test_a_worker_that_leaves_waits_no_longer_than_it_may(bench: Bench) -> None:
    generation = await bench.serve(1, bench.plugin(CODE.format("one"), manifest=HANDLED))
    held = lease(generation, "pricing:quote")
    held.holder = endless = asyncio.ensure_future(asyncio.Event().wait())
    assert await bench.workshop.close(patience=0.01) == [held]
    with pytest.raises(asyncio.CancelledError, match="the worker leaves"):
        await endless


async def test_what_a_version_left_to_run_at_exit_runs_when_it_ends(bench: Bench) -> None:
    code = "import atexit\natexit.register(LOG.append, 'exit')\n" + NOISY.format("one")
    await bench.serve(1, bench.plugin(code))
    await bench.serve(2, bench.plugin(NOISY.format("two")))
    assert "exit" not in LOG
    await bench.retire()
    assert LOG[-2:] == ["one on_unload", "exit"]
    assert bench.workshop.leaks() == []


async def test_what_fails_there_is_told_and_everything_ends_all_the_same(bench: Bench) -> None:
    code = "import atexit\natexit.register(LOG.append, 'exit')\natexit.register(lambda: 1 / 0)\n" + NOISY.format("one")
    await bench.serve(1, bench.plugin(code))
    await bench.serve(2)
    await bench.retire()
    assert [(told.hook, told.stage) for told in bench.degraded] == [("atexit", Stage.COMMIT)]
    assert LOG[-1] == "exit"
    assert bench.workshop.leaks() == []


async def test_a_candidate_that_is_refused_runs_what_it_left_too(bench: Bench) -> None:
    await bench.refused(1, bench.plugin("import atexit\natexit.register(LOG.append, 'exit')\n1 / 0"))
    assert LOG == ["exit"]
    assert bench.workshop.leaks() == []


async def test_the_signal_handler_of_a_version_goes_with_it_and_its_successors_stays(bench: Bench) -> None:
    code = NOISY + "    def on_activate(self): self.before = signal.signal(signal.SIGUSR2, lambda number, frame: 0)\n"
    before = signal.getsignal(signal.SIGUSR2)
    for epoch, name in enumerate(("one", "two", "three"), start=1):
        generation = await bench.serve(epoch, bench.plugin("import signal\n" + code.format(name)))
        await bench.retire()
        assert name == signal.getsignal(signal.SIGUSR2).__globals__["Own"].NAME  # type: ignore[union-attr]
        assert loaded(generation).instance.before is before  # type: ignore[union-attr]
        del generation
    await bench.serve(4)
    await bench.retire()
    assert signal.getsignal(signal.SIGUSR2) is before
    assert bench.workshop.leaks() == []
