"""`migrate` and `unmigrate` of prepared generations: who has them, in which order, and what a failure leaves."""

import asyncio

import msgspec
import pytest

from changeover.workers.generation.solo import Stored
from changeover.workers.generation.switch import Generation
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.snapshot import PluginBefore
from tests.bench import LOG, NOISY, Bench, loaded

MIGRATING = """
class Own(Plugin[None]):
    def migrate(self, old):
        LOG.append(f"NAME migrate from {old.version} in {threading.current_thread().name}")
        WHAT
    async def unmigrate(self, old):
        LOG.append(f"NAME unmigrate to {old.version}")
        BACK
"""


def migrating(
    bench: Bench, version: str, id: str = "pricing", what: str = "pass", manifest: str = "", back: str = "pass"
) -> Stored:
    """A plugin that migrates something, and then does `what`, or `back` when it has undone it."""
    code = MIGRATING.replace("NAME", id).replace("WHAT", what).replace("BACK", back)
    return bench.plugin(code, id=id, version=version, manifest=f'plugin = "{id}:Own"\n{manifest}')


async def test_what_replaces_another_content_migrates_from_it_in_a_thread_before_the_commit(bench: Bench) -> None:
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    second = await bench.built(2, migrating(bench, "2.0.0"))
    LOG.clear()
    migrations = bench.workshop.migrations
    assert migrations.of(second) == ("pricing",)
    assert await migrations.migrate(2) is None
    assert LOG == ["pricing migrate from 1.0.0 in changeover-loader"]
    await bench.activate(second)
    assert bench.degraded == []


async def test_what_serves_for_the_first_time_or_unchanged_migrates_nothing(bench: Bench) -> None:
    stored = migrating(bench, "1.0.0")
    first = await bench.serve(1, stored)
    other = bench.plugin(NOISY.format("other"), id="other")
    second = await bench.built(2, stored, other)
    assert (bench.workshop.migrations.of(first), bench.workshop.migrations.of(second)) == ((), ())


async def test_what_does_not_override_it_migrates_nothing(bench: Bench) -> None:
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    second = await bench.built(2, bench.plugin(NOISY.format("two"), version="2.0.0"))
    assert bench.workshop.migrations.of(second) == ()


async def test_the_processes_of_a_roll_know_what_they_migrate_from(bench: Bench) -> None:
    snapshot = bench.snapshot(1, migrating(bench, "2.0.0"))
    replaced = msgspec.structs.replace(snapshot, before=(PluginBefore("pricing", "1.7", "77fe"),))
    generation = await bench.workshop.build(replaced)
    assert isinstance(generation, Generation)
    assert await bench.workshop.migrations.migrate(1) is None
    assert LOG == ["pricing migrate from 1.7 in changeover-loader"]


async def test_a_roll_of_the_same_content_migrates_nothing(bench: Bench) -> None:
    snapshot = bench.snapshot(1, migrating(bench, "2.0.0"))
    [plugin] = [unit for unit in snapshot.units if unit.key.ref.name == "pricing"]
    before = (PluginBefore("pricing", "2.0.0", plugin.key.digest),)
    generation = await bench.workshop.build(msgspec.structs.replace(snapshot, before=before))
    assert isinstance(generation, Generation)
    assert bench.workshop.migrations.of(generation) == ()


@pytest.mark.parametrize("manifest", ["", "singleton = true\n"])
async def test_what_serves_migrates_nothing_again_whatever_else_is_reloaded_later(bench: Bench, manifest: str) -> None:
    bench.workshop.exclusive.leads = False
    migrations = bench.workshop.migrations
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    stored = migrating(bench, "2.0.0", manifest=manifest)
    await bench.serve(2, stored)
    other = bench.plugin(NOISY.format("other"), id="other")
    LOG.clear()
    third = await bench.built(3, stored, other)
    assert migrations.of(third) == ()
    await migrations.unmigrate(3)
    await bench.workshop.discard(third)
    fourth = await bench.built(4, stored, other)
    assert migrations.of(fourth) == ()
    assert await migrations.migrate(4) is None
    await bench.activate(fourth)
    assert [line for line in LOG if "migrate" in line] == []


async def test_what_a_moment_ago_began_to_serve_migrates_nothing_again_either(bench: Bench) -> None:
    bench.workshop = bench.make(5.0, aftermath=60.0)
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    stored = migrating(bench, "2.0.0")
    bench.switch.prepared = await bench.built(2, stored)
    bench.cell.epoch = 2
    bench.switch.admit()
    third = await bench.built(3, stored, bench.plugin(NOISY.format("other"), id="other"))
    assert bench.workshop.migrations.of(third) == ()


async def test_what_came_by_a_roll_migrates_nothing_again(bench: Bench) -> None:
    stored = migrating(bench, "2.0.0")
    before = (PluginBefore("pricing", "1.7", "77fe"),)
    rolled = await bench.workshop.build(msgspec.structs.replace(bench.snapshot(1, stored), before=before))
    assert isinstance(rolled, Generation)
    assert bench.workshop.migrations.of(rolled) == ("pricing",)
    await bench.activate(rolled)
    second = await bench.built(2, stored, bench.plugin(NOISY.format("other"), id="other"))
    assert bench.workshop.migrations.of(second) == ()


async def test_the_same_files_migrate_nothing_where_only_what_they_require_changed(bench: Bench) -> None:
    ledger = migrating(bench, "2.0.0", "ledger", manifest='requires = { base = ">=1" }\n')
    first = await bench.serve(1, bench.plugin(NOISY.format("one"), id="base"), ledger)
    second = await bench.built(2, bench.plugin(NOISY.format("two"), id="base", version="1.1.0"), ledger)
    assert loaded(second, "ledger").version.digest != loaded(first, "ledger").version.digest
    assert bench.workshop.migrations.of(second) == ()


async def test_nor_do_they_in_a_roll(bench: Bench) -> None:
    stored = migrating(bench, "2.0.0")
    before = (PluginBefore("pricing", "2.0.0", "77fe", stored.artifact),)
    generation = await bench.workshop.build(msgspec.structs.replace(bench.snapshot(1, stored), before=before))
    assert isinstance(generation, Generation)
    assert bench.workshop.migrations.of(generation) == ()


async def test_a_failure_is_a_refusal_and_what_was_begun_is_undone_in_reverse(bench: Bench) -> None:
    names = ("base", "ledger", "late")
    await bench.serve(1, *(bench.plugin(NOISY.format(name), id=name) for name in names))
    base = migrating(bench, "2.0.0", "base")
    ledger = migrating(bench, "2.0.0", "ledger", 'raise ValueError("no such column")', 'requires = { base = ">=1" }\n')
    late = migrating(bench, "2.0.0", "late", manifest='requires = { ledger = ">=1" }\n')
    second = await bench.built(2, late, ledger, base)
    LOG.clear()
    refusal = await bench.workshop.migrations.migrate(2)
    assert refusal is not None
    told = (refusal.stage, refusal.fault, refusal.unit, refusal.hook, refusal.summary)
    assert told == (Stage.PREPARE, Fault.CRASH, "plugin ledger", "migrate", "ValueError: no such column")
    assert [line.partition(" from ")[0] for line in LOG] == ["base migrate", "ledger migrate"]
    LOG.clear()
    await bench.workshop.migrations.unmigrate(2)
    assert LOG == ["ledger unmigrate to 1.0.0", "base unmigrate to 1.0.0"]
    await bench.workshop.discard(second)


async def test_what_cannot_be_undone_is_said_and_keeps_nobody_else_from_undoing_it(bench: Bench) -> None:
    await bench.serve(1, *(bench.plugin(NOISY.format(name), id=name) for name in ("base", "ledger")))
    base = migrating(bench, "2.0.0", "base")
    ledger = migrating(
        bench, "2.0.0", "ledger", manifest='requires = { base = ">=1" }\n', back='raise ValueError("no way back")'
    )
    await bench.built(2, ledger, base)
    LOG.clear()
    failed = await bench.workshop.migrations.unmigrate(2)
    assert LOG == ["ledger unmigrate to 1.0.0", "base unmigrate to 1.0.0"]
    assert failed == ("plugin ledger unmigrate: ValueError: no way back",)


async def test_a_worker_that_did_not_migrate_undoes_all_of_it(bench: Bench) -> None:
    await bench.serve(1, *(bench.plugin(NOISY.format(name), id=name) for name in ("base", "ledger")))
    ledger = migrating(bench, "2.0.0", "ledger", manifest='requires = { base = ">=1" }\n')
    await bench.built(2, migrating(bench, "2.0.0", "base"), ledger)
    LOG.clear()
    await bench.workshop.migrations.unmigrate(2)
    assert LOG == ["ledger unmigrate to 1.0.0", "base unmigrate to 1.0.0"]


async def test_one_that_hangs_is_refused_at_its_deadline(bench: Bench) -> None:
    bench.workshop = bench.make(hook_deadline=0.1)
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    await bench.built(2, migrating(bench, "2.0.0", what="time.sleep(0.5)"))
    refusal = await bench.workshop.migrations.migrate(2)
    assert refusal is not None
    assert (refusal.fault, refusal.hook) == (Fault.TIMEOUT, "migrate")


async def test_what_is_undone_after_its_deadline_is_undone(bench: Bench) -> None:
    bench.workshop = bench.make(hook_deadline=0.1)
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    await bench.built(2, migrating(bench, "2.0.0", back="time.sleep(0.3)"))
    assert await bench.workshop.migrations.unmigrate(2) == ()
    assert bench.degraded == []


async def test_a_discard_waits_for_what_is_being_undone(bench: Bench) -> None:
    await bench.serve(1, bench.plugin(NOISY.format("one")))
    second = await bench.built(2, migrating(bench, "2.0.0"))
    LOG.clear()
    undoing = asyncio.ensure_future(bench.workshop.migrations.unmigrate(2))
    await asyncio.gather(undoing, bench.workshop.discard(second))
    assert LOG == ["pricing unmigrate to 1.0.0"]
    assert bench.degraded == []


async def test_what_is_not_prepared_any_more_is_told(bench: Bench) -> None:
    refusal = await bench.workshop.migrations.migrate(7)
    await bench.workshop.migrations.unmigrate(7)
    assert refusal is not None
    assert [each.summary for each in (refusal, *bench.degraded)] == ["epoch 7 is not prepared here any more"] * 2
