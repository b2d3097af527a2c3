"""Rolls in parts, one thing going wrong at a chosen moment; every promise is checked after each step."""

import pytest

from changeover.supervisor.core import cutover
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.entries import Committed as CommittedEntry
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.outcome import Committed, CutoverRequest, Refused
from changeover.supervisor.core.view import Overview
from changeover.workers.protocol.identity import WorkerId
from tests.simulation.contents import Flaw
from tests.simulation.runner import unrest
from tests.simulation.stories import Story
from tests.simulation.worker import Life, Worker


class Parts(Story):
    """Four workers, and a roll that may have one extra."""

    def __init__(self) -> None:
        super().__init__(workers=4)
        self.most = 0
        self.cut_off: list[Worker] = []
        self.come_up()

    def ask_for_parts(self, flaw: Flaw = Flaw.NONE, surge: int = 1) -> int:
        self.plan.rolls = 1.0
        self.new_content(flaw)
        self.plan.rolls = 0.0
        return self.ask(CutoverRequest(Origin(Trigger.COMMAND), surge=surge, allow_partial=True))

    def begin_worker(self, identity: object) -> None:
        super().begin_worker(identity)  # type: ignore[arg-type]
        self.most = max(self.most, len(list(self.living())))

    def signal(self, worker: WorkerId, signal: ProcessSignal) -> None:
        self.cut_off += [each for each in self.living() if each.worker == worker and each.accepting]
        super().signal(worker, signal)

    @property
    def view(self) -> Overview:
        return self.supervisor.machine.view()

    def part(self, number: int) -> None:
        """Go on until so many parts serve."""
        self.until(lambda: self.view.part is not None and self.view.part.number == number, f"part {number} serves")

    @property
    def rolls(self) -> set[int]:
        return {worker.identity.rolled for worker in self.living()}

    def reverted(self) -> None:
        """Go on until all serve again what they served first, under a later number."""
        self.until(lambda: self.view.parted is None and unrest(self) is None, "the parts are reverted")
        assert self.rolls == {1}
        assert set(self.epochs) == {self.journal.committed}


@pytest.fixture
def story() -> Parts:
    return Parts()


def of(story: Parts, rolled: int) -> list[Worker]:
    return [worker for worker in story.living() if worker.identity.rolled == rolled]


def test_part_after_part_serves_its_own_number_and_the_last_is_everybodys(story: Parts) -> None:
    ticket = story.ask_for_parts()
    for number, epoch in ((1, 2), (2, 3), (3, 4)):
        story.part(number)
        assert story.cell.words == [1, epoch]
        assert story.journal.committed == 1
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Committed)
    assert (outcome.serving, outcome.previous, outcome.workers) == (5, 1, 4)
    story.rest()
    assert (story.epochs, story.cell.words) == ([5] * 4, [5, 5])
    assert story.most == 5


def test_a_larger_surge_makes_fewer_parts(story: Parts) -> None:
    outcome = story.outcome(story.ask_for_parts(surge=3))
    assert isinstance(outcome, Committed)
    assert outcome.serving == 3
    story.rest()
    assert story.most == 7


def test_the_next_roll_in_parts_uses_the_other_word_and_a_swap_between_them_one_number(story: Parts) -> None:
    assert isinstance(story.outcome(story.ask_for_parts()), Committed)
    assert isinstance(story.outcome(story.reload()), Committed)
    assert isinstance(story.outcome(story.ask_for_parts()), Committed)
    assert isinstance(story.outcome(story.roll()), Committed)
    story.rest()
    assert set(story.epochs) == {story.journal.committed}


def test_a_refusal_in_the_first_part_changes_nothing(story: Parts) -> None:
    outcome = story.outcome(story.ask_for_parts(Flaw.REFUSES))
    assert isinstance(outcome, Refused)
    assert (outcome.parts, outcome.serving) == ((), 1)
    story.rest()
    assert (story.epochs, story.rolls) == ([1] * 4, {1})


@pytest.mark.parametrize("flaw", [Flaw.REFUSES, Flaw.CRASHES, Flaw.HANGS])
def test_a_refusal_in_a_later_part_reverts_those_before_it_and_says_so(story: Parts, flaw: Flaw) -> None:
    story.flawed_slots = frozenset()
    ticket = story.ask_for_parts(flaw)
    story.part(2)
    story.flawed_slots = frozenset(range(99))
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Refused)
    assert outcome.parts == (
        "part 1 of 4 (epoch 2) was committed, and reverted by epoch 5",
        "part 2 of 4 (epoch 3) was committed, and reverted by epoch 5",
    )
    assert (outcome.epoch, outcome.serving) == (4, 5)
    story.reverted()
    assert story.most <= 5
    assert not story.cut_off


def test_an_old_worker_that_cannot_reach_its_successors_reverts_as_well(story: Parts) -> None:
    ticket = story.ask_for_parts()
    story.part(1)
    story.reachable = lambda worker: False  # type: ignore[method-assign]
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Refused)
    assert outcome.parts
    story.reverted()


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_supervisor_that_finds_parts_reverts_them(story: Parts, number: int) -> None:
    story.ask_for_parts()
    story.part(number)
    story.lose_supervisor()
    story.boot()
    story.reverted()


def test_a_supervisor_that_dies_between_decision_and_store_leaves_a_part_that_is_driven_forward_and_reverted(
    story: Parts,
) -> None:
    story.ask_for_parts()
    story.reach(cutover.State.DECIDING)
    story.lose_supervisor()
    story.journal.write(CommittedEntry(2))
    assert story.cell.words == [1, 1]
    story.boot()
    story.until(lambda: story.cell.words == [1, 2], "a supervisor comes")
    story.reverted()


def test_a_supervisor_that_dies_on_the_way_back_goes_on_with_it(story: Parts) -> None:
    story.flawed_slots = frozenset()
    story.ask_for_parts(Flaw.REFUSES)
    story.part(3)
    story.flawed_slots = frozenset(range(99))
    story.until(lambda: story.journal.committed > 1, "the way back is committed")
    story.until(lambda: len(of(story, 2)) < 3, "one of the parts has left")
    story.lose_supervisor()
    story.boot()
    story.reverted()
    assert story.journal.committed_epochs[-1] == 6


def test_a_supervisor_that_dies_after_the_last_part_is_decided_drives_it_forward(story: Parts) -> None:
    story.ask_for_parts()
    story.part(3)
    story.until(lambda: story.is_committed(5), "the last part is on disk")
    story.lose_supervisor()
    story.boot()
    story.rest()
    assert (story.epochs, story.cell.words) == ([5] * 4, [5, 5])


def test_a_service_that_starts_anew_after_all_have_died_serves_what_all_served(story: Parts) -> None:
    story.ask_for_parts()
    story.part(2)
    story.app = 0
    story.lose_supervisor()
    for worker in list(story.living()):
        story.die(worker, -9)
    story.boot()
    story.rest()
    assert len(set(story.epochs)) == 1


def test_the_next_part_waits_for_a_replaced_worker_that_sleeps(story: Parts) -> None:
    story.ask_for_parts()
    story.until(lambda: story.state is cutover.State.DECIDING, "the first part is being decided")
    [replaced] = [worker for worker in story.living() if worker.machine.prepared == 2 and worker.identity.rolled == 1]
    replaced.life = Life.FROZEN
    story.part(1)
    end = story.agenda.now + 3.0
    story.until(lambda: story.agenda.now > end, "the next part waits for it")
    assert (story.view.parted, story.view.cutover) == (2, cutover.State.IDLE)
    replaced.life = Life.RUNNING
    story.until(lambda: not replaced.alive, "it hears of it, hands over and leaves")
    story.rest()


def test_workers_of_both_kinds_that_die_between_parts_are_replaced_as_what_they_were(story: Parts) -> None:
    ticket = story.ask_for_parts()
    story.part(2)
    story.until(lambda: story.state is cutover.State.IDLE, "the part serves")
    story.die(of(story, 2)[0], -11)
    story.die(of(story, 1)[0], -11)
    assert isinstance(story.outcome(ticket), Committed)
    story.rest()
    assert len(story.epochs) == 4


def test_other_wishes_wait_until_it_is_over_and_scaling_is_refused_meanwhile(story: Parts) -> None:
    first = story.ask_for_parts()
    story.part(1)
    second = story.reload()
    story.scale(6)
    assert story.wanted == 4
    assert isinstance(story.outcome(second), Committed)
    assert isinstance(story.outcomes[first], Committed)
    story.rest()


def test_a_stop_in_the_middle_ends_both_kinds_and_tells_that_parts_were_committed(story: Parts) -> None:
    ticket = story.ask_for_parts()
    story.part(2)
    story.until(lambda: story.state is cutover.State.IDLE, "the part serves")
    story.stopping = True
    story.ask_to_stop(Urgency.GRACEFUL)
    story.until(lambda: story.supervisor.exited is not None, "the supervisor has left")
    outcome = story.outcomes[ticket]
    assert isinstance(outcome, Refused)
    assert outcome.parts[-2:] == (
        "part 2 of 4 (epoch 3) was committed, and is not reverted",
        "of 4 workers, 2 served epoch 1 and 2 served epoch 3 when it was cut short",
    )
    assert not list(story.living())
