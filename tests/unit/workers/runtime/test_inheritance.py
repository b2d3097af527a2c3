"""One successor has everything that the plugins of a worker know, whoever dies and whatever fails on the way."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from changeover.workers.generation.switch import Generation
from changeover.workers.handover import receiver
from changeover.workers.plugins import state
from changeover.workers.plugins.hooks import Hooks
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import EMPTY, Snapshot
from changeover.workers.runtime import inheritance
from changeover.workers.runtime.inheritance import Inheritance
from tests.bench import Bench
from tests.handover import Side, Sides, sides
from tests.unit.workers.generation.test_state import BROKEN, MANIFEST, counting, hit, hits
from tests.waits import DEADLINE, until
from tests.wire import serving

HOOK = 5.0
HANGS = "return asyncio.sleep(60)"


class Process:
    """A worker, as far as the state of its plugins goes.

    Attributes:
        side: Its ends of the handover.
        bench: Its plugins.
        inheritance: What is tested.
        told: What went wrong after the commit.
    """

    def __init__(self, side: Side, bench: Bench, hook_deadline: float = HOOK) -> None:
        self.side = side
        self.bench = bench
        self.told: list[Refusal] = []
        self.inheritance = Inheritance(asyncio.get_running_loop(), bench.workshop, hook_deadline, self.told.append)
        side.takes = self.inheritance.take

    @property
    def generation(self) -> Generation:
        """What it serves, or would serve."""
        [*_, latest] = [each for each in self.bench.workshop._live() if each.epoch]
        return latest

    @property
    def hits(self) -> dict[str, int]:
        return hits(self.generation)

    async def promise(self, *successors: "Process", candidate: Snapshot | None = None) -> Refusal | None:
        """Connect and promise; the candidate is what they hold, where it is not another one."""
        names = [each.side.worker for each in successors]
        await self.side.departure.connect(names, DEADLINE)
        wanted = candidate or successors[0].generation.snapshot
        return await self.inheritance.promise(self.side.departure.giver, names, wanted)

    async def give(self, *successors: "Process") -> None:
        """Give what came since."""
        names = tuple(each.side.worker for each in successors)
        await self.inheritance.hand_on(self.side.departure.giver, lambda: names)

    async def die(self) -> None:
        """Its sockets close; what its plugin knows is gone."""
        self.side.close()
        self.side.reception._path.unlink(missing_ok=True)

    async def lose(self, successor: "Process") -> None:
        """Wait until it is seen that one is gone."""
        await until(lambda: not self.side.departure.giver.reaches(successor.side.worker), "the link to be lost")


class Processes:
    """Makes workers.

    Args:
        folder: For everything.
        workers: Makes their sides.
    """

    def __init__(self, folder: Path, workers: Sides) -> None:
        self.all: list[Process] = []
        self._folder = folder
        self._workers = workers

    async def old(self, code: str = "") -> Process:
        """One that serves, and has counted a request."""
        process = self._made()
        generation = await process.bench.serve(1, process.bench.plugin(code or counting("one"), manifest=MANIFEST))
        hit(generation)
        return process

    async def new(self, code: str = "", hook_deadline: float = HOOK) -> Process:
        """One that waits to serve."""
        process = self._made()
        process.bench.workshop._hooks = Hooks(hook_deadline, process.bench.witness)
        plugin = process.bench.plugin(code or counting("two"), version="2.0.0", manifest=MANIFEST)
        await process.bench.built(2, plugin)
        return process

    def _made(self) -> Process:
        folder = self._folder / f"process-{len(self.all)}"
        folder.mkdir()
        process = Process(self._workers.add(), Bench(folder))
        self.all.append(process)
        return process


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Processes]:
    async with serving() as server, sides(tmp_path, server) as workers:
        stage = Processes(tmp_path, workers)
        yield stage
        for process in stage.all:
            await process.bench.workshop.close()


async def test_the_first_successor_has_everything_before_the_commit_and_what_came_since_after_it(
    stage: Processes,
) -> None:
    old, new, other = await stage.old(), await stage.new(), await stage.new()
    assert await old.promise(new, other) is None
    assert (new.hits, other.hits) == ({"ann": 1}, {})
    hit(old.generation)
    await new.bench.activate(new.generation)
    hit(new.generation)
    await old.give(other, new)
    assert (new.hits, other.hits) == ({"ann": 3}, {})
    hit(old.generation, "bob")
    await old.give(other, new)
    assert new.hits == {"ann": 3, "bob": 1}
    assert old.told == []


async def test_asked_again_it_gives_nothing_twice(stage: Processes) -> None:
    old, new, other = await stage.old(), await stage.new(), await stage.new()
    await old.promise(new)
    await old.promise(new)
    await old.promise(other, new)
    assert (new.hits, other.hits) == ({"ann": 1}, {})
    assert len(new.side.taken) == 1


async def test_nothing_is_sent_where_nothing_came_since(stage: Processes) -> None:
    old, new = await stage.old(), await stage.new()
    await old.promise(new)
    await old.give(new)
    assert len(new.side.taken) == 1


async def test_two_old_ones_add_up_in_one_successor(stage: Processes) -> None:
    one, two, new = await stage.old(), await stage.old(), await stage.new()
    hit(two.generation, "bob")
    assert [await one.promise(new), await two.promise(new)] == [None, None]
    assert new.hits == {"ann": 2, "bob": 1}
    hit(one.generation)
    hit(two.generation)
    await one.give(new)
    await two.give(new)
    assert new.hits == {"ann": 4, "bob": 1}


async def test_a_tired_one_gives_everything_to_one_that_serves_and_has_counted_itself(stage: Processes) -> None:
    old, new = await stage.old(), await stage.new()
    await new.bench.activate(new.generation)
    hit(new.generation)
    await old.side.departure.connect([new.side.worker], DEADLINE)
    await old.give(new)
    assert new.hits == {"ann": 2}
    hit(old.generation)
    await old.give(new)
    assert new.hits == {"ann": 3}


async def test_a_tired_one_waits_for_its_successor_to_be_reached(stage: Processes) -> None:
    old, new = await stage.old(), await stage.new()
    giving = asyncio.create_task(old.give(new))
    await asyncio.sleep(0)
    old.side.departure.add([new.side.worker])
    await asyncio.wait_for(giving, DEADLINE)
    assert new.hits == {"ann": 1}


async def test_an_import_that_fails_refuses_and_the_old_one_has_everything(stage: Processes) -> None:
    wrong = counting("two").replace("self.hits = eval(state)", "raise ValueError('what is this?')")
    old, new, better = await stage.old(), await stage.new(wrong), await stage.new()
    refusal = await old.promise(new)
    assert refusal is not None
    assert (refusal.hook, refusal.summary) == ("import_state", "ValueError: what is this?")
    assert "pricing.py" in refusal.traceback
    old.inheritance.forget()
    assert old.hits == {"ann": 1}
    assert await old.promise(better) is None
    assert better.hits == {"ann": 1}


async def test_an_export_that_fails_refuses(stage: Processes) -> None:
    old, new = await stage.old(counting("one").replace("return repr(self.hits)", "return [][1]")), await stage.new()
    refusal = await old.promise(new)
    assert refusal is not None
    assert (refusal.hook, refusal.fault) == ("export_state", Fault.RESOURCE)
    assert "pricing 1.0.0, which serves, does not give its state: IndexError: " in refusal.summary
    assert new.hits == {}


async def test_what_may_begin_without_state_that_is_not_given_does_and_is_given_none_later(stage: Processes) -> None:
    old, new = await stage.old(BROKEN), await stage.new()
    candidate = msgspec.structs.replace(new.generation.snapshot, afresh=True)
    assert await old.promise(new, candidate=candidate) is None
    assert await old.promise(new, candidate=candidate) is None
    why = "export_state of 1.0.0 failed: KeyError: 'boom' (pricing.py:16)"
    assert old.bench.witness.fresh == [("2.0.0", "1.0.0", why)]
    await old.give(new)
    assert (new.hits, old.told) == ({}, [])


async def test_what_may_begin_without_state_does_not_wait_for_it_for_long(
    stage: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "PATIENCE", 0.05)
    old, new = await stage.old(counting("one").replace("return repr(self.hits).encode()", HANGS)), await stage.new()
    candidate = msgspec.structs.replace(new.generation.snapshot, afresh=True)
    assert await asyncio.wait_for(old.promise(new, candidate=candidate), HOOK - 1) is None
    assert [why.partition(" (")[0] for *_, why in old.bench.witness.fresh] == [
        "export_state of 1.0.0 failed: not done within 0.05 s"
    ]


async def test_what_was_withheld_from_one_candidate_is_given_to_the_next(stage: Processes) -> None:
    mended = counting("one").replace("return repr", "if len(self.hits) < 2: {}['boom']\n        return repr")
    old, new, other = await stage.old(mended), await stage.new(), await stage.new()
    candidate = msgspec.structs.replace(new.generation.snapshot, afresh=True)
    assert await old.promise(new, candidate=candidate) is None
    hit(old.generation, "bob")
    assert await old.promise(other, candidate=msgspec.structs.replace(candidate, epoch=3)) is None
    assert (new.hits, other.hits) == ({}, {"ann": 1, "bob": 1})


async def test_what_the_candidate_has_no_plugin_for_is_not_asked_for_its_state(stage: Processes) -> None:
    old, new = await stage.old(BROKEN), await stage.new()
    assert await old.promise(new, candidate=msgspec.structs.replace(EMPTY, epoch=2)) is None
    await old.give(new)
    assert (old.told, new.hits) == ([], {})


async def test_more_state_than_goes_over_refuses_and_says_how_much_does(
    stage: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state, "MOST_STATE", 5)
    old, new = await stage.old(), await stage.new()
    refusal = await old.promise(new)
    assert refusal is not None
    assert (refusal.hook, refusal.fault) == ("export_state", Fault.RESOURCE)
    assert "go over to the next content" in refusal.summary
    assert new.side.taken == []


async def test_a_successor_that_dies_during_its_import_refuses_and_the_next_one_begins_from_the_start(
    stage: Processes,
) -> None:
    old, new, other = await stage.old(), await stage.new(), await stage.new()
    new.side.gate.clear()
    promising = asyncio.create_task(old.promise(new))
    await until(lambda: len(new.side.taken) == 1, "the state to arrive")
    await new.die()
    refusal = await promising
    assert refusal is not None
    assert refusal.fault.transient
    assert refusal.unit == "plugin pricing"
    assert "its link ended" in refusal.summary
    new.side.gate.set()
    assert await old.promise(other) is None
    assert other.hits == {"ann": 1}


async def test_a_successor_that_dies_after_its_import_is_followed_by_one_that_begins_from_the_start(
    stage: Processes,
) -> None:
    old, new, other = await stage.old(), await stage.new(), await stage.new()
    await old.promise(new)
    await new.die()
    await old.lose(new)
    hit(old.generation)
    assert await old.promise(other) is None
    assert other.hits == {"ann": 2}


async def test_a_successor_that_dies_with_the_commit_is_followed_by_one_that_is_given_everything(
    stage: Processes,
) -> None:
    old, new, other = await stage.old(), await stage.new(), await stage.new()
    await old.promise(new, other)
    await new.die()
    await old.lose(new)
    await old.give(new, other)
    assert other.hits == {"ann": 1}
    assert old.told == []


async def test_a_successor_that_goes_later_has_handed_on_what_it_had_so_the_next_gets_the_difference(
    stage: Processes,
) -> None:
    old, new, other = await stage.old(), await stage.new(), await stage.new()
    await old.promise(new, other)
    await old.give(new, other)
    assert await state.exported(new.bench.workshop._plugins()["pricing"], Stage.COMMIT) == b"{'ann': 1}"
    await new.die()
    await old.lose(new)
    hit(old.generation, "bob")
    await old.give(new, other)
    assert other.hits == {"ann": 0, "bob": 1}


async def test_one_that_dies_while_it_gives_leaves_a_successor_that_has_what_it_was_given(stage: Processes) -> None:
    old, new = await stage.old(), await stage.new()
    new.side.gate.clear()
    promising = asyncio.create_task(old.promise(new))
    await until(lambda: len(new.side.taken) == 1, "the state to arrive")
    await old.die()
    assert await promising is not None
    new.side.gate.set()
    await until(lambda: new.hits == {"ann": 1}, "the import to end")


async def test_a_successor_that_hangs_refuses_in_time(stage: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inheritance, "ON_THE_WAY", 0.05)
    old, new = await stage.old(), await stage.new()
    old.inheritance = Inheritance(asyncio.get_running_loop(), old.bench.workshop, 0.05, old.told.append)
    new.side.gate.clear()
    refusal = await old.promise(new)
    assert refusal is not None
    assert "it did not answer within 0.1 s" in refusal.summary
    await old.give(new)
    [told] = old.told
    assert "it still owes an answer" in told.summary
    assert len(new.side.taken) == 1
    new.side.gate.set()


async def test_what_is_answered_after_the_deadline_was_taken_and_is_not_given_a_second_time(stage: Processes) -> None:
    old, new = await stage.old(), await stage.new()
    await old.promise(new)
    await new.bench.activate(new.generation)
    new.side.gate.clear()
    old.inheritance._deadline = 0.05
    for _ in range(2):
        hit(old.generation)
        await old.give(new)
    assert ["did not answer within" in old.told[0].summary, "still owes" in old.told[1].summary] == [True, True]
    new.side.gate.set()
    await until(lambda: not old.side.departure.giver._given, "the answer")
    old.inheritance._deadline = DEADLINE
    await old.give(new)
    assert new.hits == {"ann": 3}
    assert len(old.told) == 2


async def test_a_late_answer_of_one_that_was_given_up_means_nothing_to_the_next(stage: Processes) -> None:
    old, new, other = await stage.old(), await stage.new(), await stage.new()
    new.side.gate.clear()
    old.inheritance._deadline = 0.05
    assert await old.promise(new, other) is not None
    old.inheritance.forget()
    old.inheritance._deadline = DEADLINE
    hit(old.generation)
    assert await old.promise(other, new) is None
    new.side.gate.set()
    await until(lambda: not old.side.departure.giver._given, "the answer")
    hit(old.generation)
    await old.give(other, new)
    assert other.hits == {"ann": 3}


async def test_an_import_past_the_deadline_of_hooks_is_refused_with_the_place_where_it_waits(stage: Processes) -> None:
    code = counting("two").replace("self.hits = eval(state)", "await asyncio.sleep(60)")
    old, new = await stage.old(), await stage.new(code, hook_deadline=0.05)
    refusal = await old.promise(new)
    assert refusal is not None
    assert (refusal.hook, refusal.fault) == ("import_state", Fault.TIMEOUT)
    assert "asyncio.sleep(60)" in refusal.source


async def test_who_is_asked_anew_while_it_gives_does_not_give_a_second_time(stage: Processes) -> None:
    old, new = await stage.old(), await stage.new()
    new.side.gate.clear()
    first = asyncio.create_task(old.promise(new))
    await until(lambda: len(new.side.taken) == 1, "the state to arrive")
    first.cancel()
    second = asyncio.create_task(old.promise(new))
    await asyncio.sleep(0)
    new.side.gate.set()
    assert await second is None
    assert (new.hits, len(new.side.taken)) == ({"ann": 1}, 1)


async def test_who_stays_gives_everything_anew_to_the_successors_of_a_later_roll(stage: Processes) -> None:
    old, new, later = await stage.old(), await stage.new(), await stage.new()
    await old.promise(new)
    old.inheritance.forget()
    hit(old.generation)
    assert await old.promise(new, later) is None
    assert new.hits == {"ann": 3}


FAILS_ONCE = "if latest == b\"{'ann': 2}\": raise OSError('not now')\n        before = eval(imported"


async def test_a_merge_that_fails_is_told_and_made_good_by_the_next(stage: Processes) -> None:
    old, new = await stage.old(), await stage.new(counting("two").replace("before = eval(imported", FAILS_ONCE))
    await old.promise(new)
    await new.bench.activate(new.generation)
    hit(old.generation)
    await old.give(new)
    [refusal] = old.told
    assert (refusal.stage, refusal.hook, refusal.unit) == (Stage.COMMIT, "merge_state", "plugin pricing")
    hit(old.generation)
    await old.give(new)
    assert new.hits == {"ann": 3}
    assert len(old.told) == 1


async def test_to_a_worker_of_an_older_program_it_hands_over_without_state_and_says_so(
    stage: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "STATE_VERSION", 0)
    old, new = await stage.old(), await stage.new()
    assert await old.promise(new) is None
    await old.give(new)
    assert new.hits == {}
    assert [each.summary for each in old.told] == [
        "the state of plugin pricing was not taken: no worker that takes over takes any"
    ]


async def test_what_exports_nothing_gives_nothing_until_there_is_something(stage: Processes) -> None:
    code = counting("one").replace("self.hits).encode()", "self.hits).encode() if len(self.hits) > 1 else None")
    old, new = await stage.old(code), await stage.new()
    await old.promise(new)
    assert new.side.taken == []
    hit(old.generation, "bob")
    await old.give(new)
    assert new.hits == {"ann": 1, "bob": 1}
