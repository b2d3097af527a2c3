"""What a roll needs, estimated from those that it replaces."""

import msgspec
import pytest

from changeover.supervisor.core.outcome import Candidate, ExtraMemory, NothingChanged
from changeover.supervisor.core.view import Role
from changeover.supervisor.weighing import MOST_WALKED, Serving, serving, weighed
from changeover.workers.protocol import messages
from tests.machines import Bench, snapshot

ROLL = Candidate(snapshot(2, rolled=2), ("app main:app (1 file)",))
THERE = Serving(4, {11: 100, 12: 300})


def nobody_knows(_: int) -> int:
    return 0


def test_a_roll_needs_as_much_for_each_as_those_that_serve_have_in_the_middle() -> None:
    found = weighed(ROLL, THERE, {11: 50, 12: 70}.__getitem__, lambda: 1000)
    assert isinstance(found, Candidate)
    assert found.memory == ExtraMemory(workers=4, each=60, available=1000, exact=True)
    assert (found.memory.needed, found.memory.is_short) == (240, False)
    assert (found.snapshot, found.summary) == (ROLL.snapshot, ROLL.summary)


def test_of_many_only_a_few_are_held_up_to_be_counted() -> None:
    walked: list[int] = []

    def walk(pid: int) -> int:
        walked.append(pid)
        return 50

    weighed(ROLL, Serving(200, dict.fromkeys(range(200), 100)), walk, lambda: 0)
    assert len(walked) == MOST_WALKED


def test_where_shared_pages_cannot_be_told_resident_memory_is_taken() -> None:
    found = weighed(ROLL, THERE, nobody_knows, lambda: 799)
    assert isinstance(found, Candidate)
    assert found.memory == ExtraMemory(workers=4, each=200, available=799, exact=False)
    assert found.memory.is_short


def test_what_nobody_knows_is_not_short() -> None:
    assert not ExtraMemory(4, 200, -1).is_short
    assert ExtraMemory(4, 200, 0).is_short


@pytest.mark.parametrize(
    ("result", "there"),
    [(Candidate(snapshot(2)), THERE), (NothingChanged(), THERE), (ROLL, Serving(4, {}))],
    ids=["a swap", "no candidate", "nobody serves"],
)
def test_nothing_else_needs_anything(result: Candidate | NothingChanged, there: Serving) -> None:
    assert weighed(result, there, nobody_knows, lambda: 0) is result


def test_those_that_serve_are_known_by_their_heartbeats() -> None:
    bench = Bench()
    bench.come_up(slots=3)
    assert serving(bench.view) == Serving(3, {})
    first, second, _ = bench.living()
    bench.hear(first, messages.Beat, 1, 0, None, {}, 0, 0, 4096)
    bench.hear(second, messages.Beat, 1, 0, None, {}, 0, 0, 8192)
    view = bench.view
    pids = {slot.worker: slot.pid for slot in view.slots if slot.worker}
    assert serving(view) == Serving(3, {pids[first]: 4096, pids[second]: 8192})
    leaving = [msgspec.structs.replace(slot, role=Role.REPLACED) for slot in view.slots if slot.worker == first]
    others = [slot for slot in view.slots if slot.worker != first]
    assert serving(msgspec.structs.replace(view, slots=(*leaving, *others))) == Serving(3, {pids[second]: 8192})
