"""What a plugin of another process exported is imported by one that waits to serve, and merged by one that does."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from changeover.workers.generation.switch import Generation
from changeover.workers.plugins.resources import PluginVersion
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.serving.lease import LeaseKind
from tests.bench import LOG, NOISY, Bench, lease, loaded, unit_set
from tests.unit.workers.generation.test_state import MANIFEST, SILENT, counting, hit, hits
from tests.waits import until

ONE, TWO = PluginVersion("pricing", "1.0.0", "d" * 64), PluginVersion("pricing", "1.5.0", "e" * 64)


async def prepared(bench: Bench, code: str = "", manifest: str = MANIFEST) -> Generation:
    """A plugin is ready in a process that serves nothing."""
    return await bench.built(2, bench.plugin(code or counting("two"), version="2.0.0", manifest=manifest))


async def test_the_first_state_is_imported_and_that_of_others_merged(bench: Bench) -> None:
    second = await prepared(bench)
    assert await bench.workshop.inherit(ONE, b"", b"{'ann': 2}") is None
    assert await bench.workshop.inherit(TWO, b"", b"{'ann': 1, 'bob': 5}") is None
    assert LOG == ["two import_state of 1.0.0", "two merge_state of 1.5.0"]
    assert hits(second) == {"ann": 3, "bob": 5}


async def test_what_came_since_is_merged_before_it_serves_and_once_it_does(bench: Bench) -> None:
    second = await prepared(bench)
    await bench.workshop.inherit(ONE, b"", b"{'ann': 2}")
    await bench.workshop.inherit(ONE, b"{'ann': 2}", b"{'ann': 3}")
    assert hits(second) == {"ann": 3}
    await bench.activate(second)
    hit(second)
    await bench.workshop.inherit(ONE, b"{'ann': 3}", b"{'ann': 7}")
    assert hits(second) == {"ann": 8}


async def test_one_that_serves_already_merges_all_of_it(bench: Bench) -> None:
    second = await prepared(bench)
    await bench.activate(second)
    hit(second)
    LOG.clear()
    assert await bench.workshop.inherit(ONE, b"", b"{'ann': 2}") is None
    assert LOG == ["two merge_state of 1.0.0"]
    assert hits(second) == {"ann": 3}


async def test_one_that_has_just_begun_to_serve_counts_as_serving(bench: Bench) -> None:
    bench.workshop = bench.make(5.0, aftermath=60.0)
    second = await prepared(bench)
    bench.switch.prepared, bench.cell.epoch = second, 2
    bench.switch.admit()
    hit(second)
    assert await bench.workshop.inherit(ONE, b"", b"{'ann': 2}") is None
    assert hits(second) == {"ann": 3}


async def test_it_goes_to_what_serves_and_from_there_into_a_candidate(bench: Bench) -> None:
    second = await prepared(bench)
    await bench.activate(second)
    third = await bench.built(3, bench.plugin(counting("three"), version="3.0.0", manifest=MANIFEST))
    await bench.workshop.inherit(ONE, b"", b"{'ann': 2}")
    assert (hits(second), hits(third)) == ({"ann": 2}, {})
    await bench.activate(third)
    assert hits(third) == {"ann": 2}


NO_MERGE = counting("two").replace("merge_state(self", "other(self")
AFRESH = {
    "a range that leaves it out": (counting("two"), MANIFEST.replace(">=1", ">=1.3"), "takes the state of >=1.3"),
    "no range": (counting("two"), SILENT, 'write `state = ">=1.0.0"`'),
    "no import": (counting("two").replace("import_state(self", "other(self"), MANIFEST, "it has no import_state"),
}  # fmt: skip


@pytest.mark.parametrize(("code", "manifest", "why"), AFRESH.values(), ids=AFRESH)
async def test_what_is_not_for_it_is_passed_over_and_told_once(
    bench: Bench, code: str, manifest: str, why: str
) -> None:
    second = await prepared(bench, code, manifest)
    assert await bench.workshop.inherit(ONE, b"", b"{'ann': 2}") is None
    await bench.activate(second)
    assert await bench.workshop.inherit(ONE, b"{'ann': 2}", b"{'ann': 3}") is None
    assert hits(second) == {}
    [(version, old, said)] = bench.witness.fresh
    assert (version, old) == ("2.0.0", "1.0.0")
    assert why in said


async def test_without_a_merge_the_first_state_stays_and_that_of_others_is_told_as_not_taken(bench: Bench) -> None:
    second = await prepared(bench, NO_MERGE)
    for old in (ONE, TWO):
        assert await bench.workshop.inherit(old, b"", b"{'ann': 2}") is None
    assert hits(second) == {"ann": 2}
    [(_, old_version, why)] = bench.witness.fresh
    assert (old_version, why) == ("1.5.0", "it has no merge_state, and goes on with something else already")


async def test_a_rollback_takes_what_the_older_manifest_admits(bench: Bench) -> None:
    await bench.built(2, bench.plugin(counting("old"), version="0.9", manifest=MANIFEST.replace(">=1", "<1.3")))
    assert await bench.workshop.inherit(ONE, b"", b"{}") is None
    assert bench.witness.fresh == []
    assert await bench.workshop.inherit(TWO, b"", b"{}") is None
    assert [why for _, _, why in bench.witness.fresh] == ["its manifest takes the state of <1.3"]


async def test_an_import_that_raises_is_refused_with_its_traceback(bench: Bench) -> None:
    await prepared(bench, counting("two").replace("self.hits = eval(state)", "raise ValueError('what is this?')"))
    refusal = await bench.workshop.inherit(ONE, b"", b"{}")
    assert refusal is not None
    assert (refusal.stage, refusal.fault, refusal.hook) == (Stage.INITIALISE, Fault.CRASH, "import_state")
    assert refusal.summary == "ValueError: what is this?"
    assert "pricing.py" in refusal.traceback


async def test_a_merge_that_raises_is_refused_and_can_be_had_again(bench: Bench) -> None:
    code = counting("two").replace("before = eval", "if latest == b'{}': raise OSError('no')\n        before = eval")
    second = await prepared(bench, code)
    await bench.activate(second)
    refusal = await bench.workshop.inherit(ONE, b"{'ann': 1}", b"{}")
    assert refusal is not None
    assert (refusal.stage, refusal.hook) == (Stage.COMMIT, "merge_state")
    assert await bench.workshop.inherit(ONE, b"{'ann': 1}", b"{'ann': 3}") is None
    assert hits(second) == {"ann": 2}


async def test_a_plugin_that_is_not_there_any_more_takes_nothing(bench: Bench) -> None:
    await bench.built(2, bench.plugin("class Own(Plugin[None]): ...", id="other"))
    assert await bench.workshop.inherit(ONE, b"", b"{}") is None
    assert bench.witness.fresh == []


async def test_where_nothing_is_built_nothing_can_be_taken_and_that_may_pass(bench: Bench) -> None:
    refusal = await bench.workshop.inherit(ONE, b"", b"{}")
    assert refusal is not None
    assert refusal.fault.transient


async def test_what_serves_stands_down_once_in_reverse(bench: Bench) -> None:
    first, second = (bench.plugin(NOISY.format(name), id=name) for name in ("a", "b"))
    await bench.serve(1, first, second)
    LOG.clear()
    await bench.workshop.stand_down()
    await bench.workshop.stand_down()
    assert LOG == ["b on_deactivate", "a on_deactivate"]
    await bench.workshop.close()
    assert LOG[2:] == ["b on_unload", "a on_unload"]


async def test_a_hook_that_runs_while_a_worker_is_told_to_leave_comes_to_its_end(bench: Bench) -> None:
    code = (
        NOISY.format("a")
        + """
    async def on_deactivate(self):
        LOG.append("a stops")
        while "told" not in LOG:
            await asyncio.sleep(0.001)
        LOG.append("a stopped")
"""
    )
    await bench.serve(1, bench.plugin(code, id="a"))
    LOG.clear()
    standing = asyncio.create_task(bench.workshop.stand_down())
    await until(lambda: LOG == ["a stops"], "the hook to run")
    standing.cancel()
    await asyncio.gather(standing, return_exceptions=True)
    LOG.append("told")
    await bench.workshop.close()
    assert LOG == ["a stops", "told", "a stopped", "a on_unload"]


async def test_who_stands_down_before_it_was_told_to_begin_is_told_neither(bench: Bench) -> None:
    generation = await bench.built(1, bench.plugin(NOISY.format("a"), id="a"))
    bench.switch.prepared, bench.cell.epoch = generation, 1
    bench.switch.admit()
    LOG.clear()
    await bench.workshop.stand_down()
    await bench.workshop.close()
    assert LOG == ["a on_unload"]


async def test_it_settles_when_no_lease_is_left_and_what_drains_has_given_its_rest(bench: Bench) -> None:
    first = await bench.serve(1, bench.plugin(counting("one"), manifest=MANIFEST))
    draining = lease(first, "pricing:quote")
    second = await bench.serve(2, bench.plugin(counting("two"), version="2.0.0", manifest=MANIFEST))
    task = unit_set(second, "pricing:quote").lease(LeaseKind.TASK, 2, "/", 0)
    await bench.workshop.settle(0.05)
    hit(first)
    draining.release()
    task.release()
    await bench.workshop.settle(60.0)
    assert hits(second) == {"ann": 1}
    assert [plugin.version.version for plugin in bench.workshop.exporting()] == ["2.0.0"]


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[Bench]:
    (tmp_path / "elsewhere").mkdir()
    bench = Bench(tmp_path / "elsewhere")
    yield bench
    await bench.workshop.close()


async def test_what_is_exported_here_is_taken_there(bench: Bench, elsewhere: Bench) -> None:
    first = await bench.serve(1, bench.plugin(counting("one"), manifest=MANIFEST))
    second = await prepared(elsewhere)
    hit(first)
    [plugin] = bench.workshop.exporting()
    given = await bench.workshop.exported(plugin, Stage.INITIALISE, 5.0)
    assert given is not None
    assert await elsewhere.workshop.inherit(plugin.version, b"", given) is None
    assert hits(second) == {"ann": 1}
    assert loaded(first).exported is None
