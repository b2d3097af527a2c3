"""What was released is remembered without being held, until it is seen to be gone."""

import asyncio
import gc
import sys
import threading
import time
from collections.abc import AsyncIterator

import pytest

from changeover.workers.generation import holders, remnants
from changeover.workers.serving import attribution
from tests.bench import Bench, loaded
from tests.waits import until

KEPT: list[object] = []
GATE = threading.Event()

CODE = """
from tests.unit.workers.generation.test_remnants import GATE
class Own(Plugin):
    def quote(self): pass
"""
IN_TWO_STEPS = """
    def on_load(self, ctx):
        self.itself, self.rule = self, Rule()
import msgspec
class Rule(msgspec.Struct):
    limit: int = 1
"""
"""The collector does not follow an instance that holds numbers alone to its class, so the cycle has to go first."""
STARTS = """
    async def on_load(self, ctx):
        threading.Thread(target=GATE.wait, args=(10,), name="poller", daemon=True).start()
        asyncio.create_task(stubborn(), name="consumer")
async def stubborn():
    while not GATE.is_set():
        try:
            await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            pass
"""


@pytest.fixture
async def attributed() -> AsyncIterator[None]:
    """Tasks and threads are attributed to the hooks that start them, as in a worker."""
    attribution.install(asyncio.get_running_loop())
    yield
    attribution.uninstall()


async def replaced(bench: Bench, epoch: int, *, kept: bool) -> None:
    """Serve one more content, release the one before, and hold on to the new one."""
    generation = await bench.serve(epoch, bench.plugin(f"{CODE}    number = {epoch}\n"))
    if kept:
        KEPT.append(sys.modules[type(loaded(generation).instance).__module__])
    del generation
    await bench.retire()


async def test_what_is_gone_is_forgotten_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remnants, "REMEMBERED", 1)
    for epoch in range(1, 4):
        await replaced(bench, epoch, kept=False)
    unproved = [bench.workshop.remnants.unproved]
    gc.collect()
    assert bench.workshop.remnants.review() == []
    unproved.append(bench.workshop.remnants.unproved)
    assert unproved == [True, False]
    assert (bench.workshop.remnants.count, bench.workshop.copies()) == (0, {"plugin pricing": 1})


async def test_each_leak_is_new_once_and_known_until_it_is_gone(bench: Bench) -> None:
    for epoch in range(1, 4):
        await replaced(bench, epoch, kept=True)
    gc.collect()
    fresh = bench.workshop.remnants.review()
    assert [leak.unit.partition(" since ")[2] for leak in fresh] == ["epoch 1", "epoch 2"]
    assert bench.workshop.remnants.review() == []
    assert bench.workshop.remnants.known() == fresh
    assert (bench.workshop.remnants.count, bench.workshop.copies()) == (2, {"plugin pricing": 3})
    KEPT.pop(0)
    gc.collect()
    assert [leak.unit for leak in bench.workshop.remnants.known()] == [fresh[1].unit]
    KEPT.clear()
    assert bench.workshop.leaks() == []


async def test_what_goes_with_a_second_collection_is_no_leak(bench: Bench) -> None:
    await bench.serve(1, bench.plugin(CODE + IN_TWO_STEPS))
    await replaced(bench, 2, kept=False)
    assert bench.workshop.leaks() == []


async def test_too_many_are_counted_and_no_longer_named(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remnants, "REMEMBERED", 2)
    for epoch in range(1, 6):
        await replaced(bench, epoch, kept=True)
    assert [leak.unit.partition(" since ")[2] for leak in bench.workshop.leaks()] == ["epoch 3", "epoch 4"]
    assert (bench.workshop.remnants.forgotten, bench.workshop.remnants.count) == (2, 4)
    KEPT.clear()


async def test_candidates_that_never_served_are_not_remembered_without_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remnants, "UNPROVED", 2)
    for epoch in range(1, 6):
        candidate = await bench.built(epoch, bench.plugin(f"{CODE}    number = {epoch}\n"))
        KEPT.append(sys.modules[type(loaded(candidate).instance).__module__])
        await bench.workshop.discard(candidate)
    leaks = bench.workshop.leaks()
    assert [leak.unit.partition(" since ")[2] for leak in leaks] == ["epoch 4", "epoch 5"]
    assert bench.workshop.remnants.forgotten == 0
    KEPT.clear()


async def test_a_search_that_fails_is_told_and_keeps_nobody_from_the_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object) -> None:
        raise ReferenceError

    monkeypatch.setattr(holders, "chain", search)
    for epoch in range(1, 4):
        await replaced(bench, epoch, kept=True)
    gc.collect()
    fresh = [leak.what for leak in bench.workshop.remnants.review()]
    assert fresh == ["something is alive that raised ReferenceError when it was looked at"] * 2
    assert [leak.what for leak in bench.workshop.remnants.known()] == ["module pricing.py is alive"] * 2
    KEPT.clear()


async def test_tasks_and_threads_are_told_while_they_run(bench: Bench, attributed: None) -> None:
    GATE.clear()
    await bench.serve(1, bench.plugin(CODE + STARTS))
    await replaced(bench, 2, kept=False)
    told = [leak.what for leak in bench.workshop.leaks()]
    assert told[:2] == ["task consumer still runs", "thread poller still runs"]
    GATE.set()
    await until(lambda: bench.workshop.leaks() == [])


async def test_many_modules_of_one_plugin_are_one_leak(bench: Bench) -> None:
    files = {f"part{number}.py": "class Part:\n    def quote(self): pass\n" for number in range(5)}
    imports = "".join(f"import part{number}\n" for number in range(5))
    generation = await bench.serve(1, bench.plugin(imports + CODE, files=files))
    KEPT.append(sys.modules[type(loaded(generation).instance).__module__])
    del generation
    await replaced(bench, 2, kept=False)
    [leak] = bench.workshop.leaks()
    assert leak.what.endswith(" and 3 more are alive")
    assert str(leak).endswith(f", held by module {__name__}.KEPT -> list -> module pricing")
    KEPT.clear()


async def test_looking_for_what_holds_many_is_bounded_and_goes_on_when_somebody_asks(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(_: object, package: str, until: float) -> tuple[str, ...]:
        searched.append(package)
        while time.thread_time() < until:
            continue
        return ()

    searched: list[str] = []
    for epoch in range(1, 6):
        await replaced(bench, epoch, kept=True)
    gc.collect()
    with monkeypatch.context() as patched:
        patched.setattr(holders, "chain", search)
        patched.setattr(remnants, "LONGEST", 0.05)
        began = time.thread_time()
        fresh = bench.workshop.remnants.review()
        took = time.thread_time() - began
    assert (len(searched), took < 0.5) == (1, True)
    assert [leak.what for leak in fresh] == [f"module pricing.py is alive{remnants.CUT}"] * 4
    monkeypatch.setattr(remnants, "LONGEST", 60.0)  # the process of all tests is larger than any worker
    known = bench.workshop.remnants.known()
    assert [leak.what for leak in known] == ["module pricing.py is alive"] * 4
    assert {leak.chain[0] for leak in known} == {f"module {__name__}.KEPT"}
    KEPT.clear()


HIDDEN = """
import collections, enum, msgspec, typing
class Outer:
    class Inner: pass
def made():
    class Local: pass
    return Local
NESTED = Outer.Inner
LOCAL = made()
STRUCT = msgspec.defstruct("Struct", ["a"])
STRUCT_IN_CLASS = type("Space", (), {"Rule": type("Rule", (msgspec.Struct,), {})}).Rule
TUPLE = collections.namedtuple("Tuple", "a")
CALLED = type("Called", (), {})
CHOICE = enum.Enum("Choice", "A")
"""


@pytest.mark.parametrize("name", ["NESTED", "LOCAL", "STRUCT", "STRUCT_IN_CLASS", "TUPLE", "CALLED", "CHOICE"])
async def test_a_class_that_needs_no_globals_is_told_wherever_it_was_made(bench: Bench, name: str) -> None:
    generation = await bench.serve(1, bench.plugin(CODE + HIDDEN))
    kept = getattr(sys.modules[type(loaded(generation).instance).__module__], name)
    del generation
    await replaced(bench, 2, kept=False)
    [leak] = bench.workshop.leaks()
    assert leak.what == f"class {kept.__qualname__} is alive"
    del kept
    assert bench.workshop.leaks() == []
