"""A plugin's self-test decides before anything of a candidate is activated, and no worker ever imports it."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from changeover.workers.generation.switch import Generation
from changeover.workers.preflight.selftests import SelfTests, self_tested
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.bench import Bench

EPOCHS = itertools.count(1)
OWN = "class Own(Plugin):\n    rate = 3\n"
MANIFEST = 'plugin = "pricing:Own"\nself_test = "tried:run"\n'


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A workshop whose hooks have little time."""
    bench = Bench(tmp_path, hook_deadline=0.5)
    yield bench
    await bench.workshop.close()


async def outcome_of(bench: Bench, test: str, *, manifest: str = MANIFEST) -> SelfTests:
    stored = bench.plugin(OWN, manifest=manifest, files={"tried.py": test})
    return await self_tested(await bench.built(next(EPOCHS), stored), ())


async def refused(bench: Bench, test: str, *, manifest: str = MANIFEST) -> Refusal:
    tests = await outcome_of(bench, test, manifest=manifest)
    assert (tests.passed, tests.tests) == (0, 1)
    assert tests.refusal is not None
    assert (tests.refusal.stage, tests.refusal.hook, tests.refusal.unit) == (
        Stage.PREFLIGHT,
        "self_test",
        "plugin pricing",
    )
    return tests.refusal


@pytest.mark.parametrize(
    "test",
    [
        "def run(): pass",
        "def run(plugin): assert plugin.rate == 3",
        "async def run(plugin): assert plugin.rate == 3",
        "async def run(): pass",
        "import asyncio\ndef run(plugin): return asyncio.sleep(0)",
        "class run:\n    def __init__(self, plugin): assert plugin.rate == 3",
    ],
)
async def test_a_self_test_passes_with_or_without_the_instance(bench: Bench, test: str) -> None:
    assert await outcome_of(bench, test) == SelfTests(None, 1, 1)


async def test_a_plugin_without_a_class_is_tested_without_an_instance(bench: Bench) -> None:
    manifest = 'self_test = "tried:run"\n'
    assert await outcome_of(bench, "def run(): import pricing", manifest=manifest) == SelfTests(None, 1, 1)
    refusal = await refused(bench, "def run(plugin): pass", manifest=manifest)
    assert "is no function of the plugin's instance, or of nothing; write `def run(plugin)`" in refusal.summary


async def test_a_self_test_that_fails_refuses_with_its_place(bench: Bench) -> None:
    refusal = await refused(bench, "def run(plugin):\n    assert plugin.rate == 4, 'the rate'\n")
    assert refusal.summary == "AssertionError: the rate"
    assert (refusal.where, refusal.source) == ("tried.py:2", "assert plugin.rate == 4, 'the rate'")


@pytest.mark.parametrize(
    ("test", "fault", "said"),
    [
        ("def run(): return False", Fault.CONTRACT, "the self-test returned False"),
        ("async def run(): return False", Fault.CONTRACT, "the self-test returned False"),
        ("def run(): raise SystemExit(3)", Fault.CRASH, "SystemExit: 3"),
        ("def run(a, b): pass", Fault.CONTRACT, "is no function of the plugin's instance"),
        ("run = 3", Fault.CONTRACT, "is no function of the plugin's instance"),
        ("", Fault.CONTRACT, "tried has no 'run'"),
        ("import gone\ndef run(): pass", Fault.CONTRACT, "No module named 'gone'"),
        ("import asyncio\nasync def run(): await asyncio.sleep(60)", Fault.TIMEOUT, "not done within"),
        ("import time\ndef run(): time.sleep(2)", Fault.TIMEOUT, "not done within"),
    ],
)
async def test_whatever_keeps_it_from_passing_is_told(bench: Bench, test: str, fault: Fault, said: str) -> None:
    refusal = await refused(bench, test)
    assert refusal.fault is fault
    assert said in refusal.summary


async def test_a_module_that_is_not_there_is_told_as_one(bench: Bench) -> None:
    refusal = await refused(bench, "", manifest='self_test = "gone:run"\n')
    assert refusal.fault is Fault.CONTRACT
    assert "there is no module 'gone' in the plugin" in refusal.summary


async def test_the_first_that_fails_ends_it_and_what_serves_is_not_tested_again(bench: Bench) -> None:
    stored = [
        bench.plugin(
            OWN, id=name, manifest=f'plugin = "{name}:Own"\nself_test = "tried:run"\n', files={"tried.py": code}
        )
        for name, code in (("a", "def run(): pass"), ("b", "def run(): 1 / 0"), ("c", "def run(): pass"))
    ]
    built = await bench.built(1, *stored)
    tests = await self_tested(built, ())
    assert (tests.passed, tests.tests) == (1, 3)
    assert tests.refusal is not None
    assert tests.refusal.unit == "plugin b"
    before = [key for key in built.units if key.ref.name == "b"]
    assert await self_tested(built, before) == SelfTests(None, 2, 2)


async def test_extension_points_give_what_the_candidate_offers(bench: Bench) -> None:
    offering = bench.plugin("PRICE = 3\n", id="offering", manifest='extensions = { "shop.price" = "offering:PRICE" }\n')
    asking = bench.plugin(
        OWN,
        manifest=MANIFEST,
        files={
            "tried.py": "from changeover.plugin import extension_point\n"
            "prices = extension_point('shop.price', int)\n"
            "def run(): assert prices() == (3,), prices()\n"
        },
    )
    assert await self_tested(await bench.built(1, offering, asking), ()) == SelfTests(None, 1, 1)


async def test_no_worker_imports_or_runs_it(bench: Bench) -> None:
    stored = bench.plugin(OWN, manifest=MANIFEST, files={"tried.py": "raise RuntimeError"})
    generation: Generation = await bench.serve(1, stored)
    assert generation.epoch == 1
