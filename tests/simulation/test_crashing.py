"""What serves kills its workers while a mend is prepared, told one by one."""

import pytest

from changeover.supervisor.core import child, cutover
from changeover.supervisor.core.outcome import Committed, Refused
from changeover.workers.protocol.identity import WorkerId
from tests.simulation.contents import Flaw
from tests.simulation.stories import Story
from tests.simulation.worker import Worker


@pytest.fixture
def story() -> Story:
    story = Story()
    story.come_up()
    return story


def crash(story: Story, *slots: int, times: int = 2) -> None:
    """The workers in these slots die, and so do those that take their places."""
    for _ in range(times):
        dying = [story.worker(slot) for slot in slots]
        for worker in dying:
            story.die(worker, -11)
        story.until(lambda dying=dying: _replaced(story, dying), "others serve in their places")  # type: ignore[misc]


def _holds(story: Story, slot: int, epoch: int) -> bool:
    return any(worker.worker.slot == slot and worker.machine.prepared == epoch for worker in story.living())


def _most_of_each(story: Story, lived: set[WorkerId]) -> int:
    """How many workers each slot has had at least, as far as was seen."""
    lived |= {worker.worker for worker in story.living()}
    return min(sum(worker.slot == slot for worker in lived) for slot in range(3))


def _replaced(story: Story, dead: list[Worker]) -> bool:
    """Whether the supervisor knows that others serve in their places."""
    slots = {slot.slot: slot for slot in story.supervisor.machine.view().slots}
    mine = [slots[worker.worker.slot] for worker in dead]
    fresh = all(slot.worker != worker.worker for slot, worker in zip(mine, dead, strict=True))
    return fresh and all(slot.state is child.State.SERVING for slot in mine)


def test_a_worker_that_dies_of_what_serves_leaves_its_vote_to_the_next_one(story: Story) -> None:
    crash(story, 1)
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    story.die(story.worker(1), -11)
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Committed)
    assert ([lost.slot for lost in outcome.lost], outcome.workers) == ([1], 3)
    story.rest()
    assert story.epochs == [2, 2, 2]


def test_what_kills_the_next_one_too_changes_nothing_anywhere(story: Story) -> None:
    crash(story, 1)
    story.flawed_slots = frozenset({1})
    outcome = story.outcome(story.reload(Flaw.CRASHES))
    assert isinstance(outcome, Refused)
    assert [refusal.slot for refusal in outcome.refusals] == [1]
    story.rest()
    assert story.epochs == [1, 1, 1]


def test_what_kills_every_worker_is_not_committed_although_what_serves_did_so_too(story: Story) -> None:
    crash(story, 0, 1, 2)
    assert isinstance(story.outcome(story.reload(Flaw.CRASHES)), Refused)
    story.rest()
    assert story.epochs == [1, 1, 1]


@pytest.mark.parametrize("seed", range(5))
def test_a_mend_is_taken_at_the_first_asking_while_every_worker_dies_of_what_serves(seed: int) -> None:
    story = Story(seed=seed)
    story.come_up()
    assert isinstance(story.outcome(story.reload(Flaw.DIES)), Committed)
    lived: set[WorkerId] = set()
    story.until(lambda: _most_of_each(story, lived) > 2, "every slot has crashed, and again")
    outcome = story.outcome(story.reload())
    assert isinstance(outcome, Committed)
    story.rest()
    assert story.epochs == [3, 3, 3]


@pytest.mark.parametrize("dies", [False, True])
def test_who_has_the_mend_alone_serves_what_others_serve_when_that_comes_to_nothing(story: Story, dies: bool) -> None:
    crash(story, 1)
    story.flawed_slots = frozenset({0})
    story.reload(Flaw.HANGS)
    story.reach(cutover.State.PREPARING)
    story.die(story.worker(1), -11)
    story.until(lambda: _holds(story, 1, 2), "the next worker has prepared")
    assert story.worker(1).epoch == 0
    if dies:
        story.lose_supervisor()
        story.boot()
    story.rest()
    assert story.epochs == [1, 1, 1]


@pytest.mark.parametrize("wave", [0, 1, 4])
@pytest.mark.parametrize("seed", range(5))
def test_what_kills_whoever_has_it_beside_what_serves_costs_two_workers_and_no_service(seed: int, wave: int) -> None:
    story = Story(workers=4, seed=seed, wave=wave)
    story.come_up()
    crash(story, 0, 1, 2, 3, times=1)
    served = {worker.worker for worker in story.living()}
    outcome = story.outcome(story.reload(Flaw.BESIDE))
    assert isinstance(outcome, Refused)
    assert len(served & {worker.worker for worker in story.living() if worker.accepting}) == 2
    story.rest()
    assert story.epochs == [1, 1, 1, 1]


@pytest.mark.parametrize("wave", [0, 1])
def test_a_slot_to_which_nobody_comes_keeps_no_change_from_those_that_serve(wave: int) -> None:
    story = Story(wave=wave)
    story.come_up()
    story.stillborn = frozenset({1})
    lived: set[WorkerId] = set()
    story.die(story.worker(1), -11)
    story.until(lambda: _third_of(story, 1, lived), "another one boots where two died")
    outcome = story.outcome(story.reload())
    assert isinstance(outcome, Committed)
    assert (outcome.workers, [missing.slot for missing in outcome.missing]) == (2, [1])
    story.stillborn = frozenset()
    story.rest()
    assert story.epochs == [2, 2, 2]


def _third_of(story: Story, slot: int, lived: set[WorkerId]) -> bool:
    """Whether a slot has its third worker since the test began to look."""
    lived |= {worker.worker for worker in story.living() if worker.worker.slot == slot}
    return len(lived) == 3
