"""A cutover comes to its end in time, however often workers are killed and come back to hang again."""

from random import Random

import msgspec
import pytest

from changeover.supervisor.core import child, cutover
from changeover.supervisor.core.joining import Joining
from changeover.supervisor.core.outcome import Committed, Refused, SilentWorkers
from changeover.supervisor.core.preparing import Preparing
from changeover.supervisor.core.run import Run
from tests.simulation.contents import Flaw
from tests.simulation.invariants import PromiseBroken
from tests.simulation.journal import Mood
from tests.simulation.stories import Story
from tests.simulation.worker import Worker
from tests.simulation.world import DEADLINES


class Killing(Story):
    """A service that kills who does not answer, of `workers` workers that build so many at a time."""

    def __init__(self, workers: int = 3, wave: int = 0, seed: int = 1) -> None:
        super().__init__(workers, seed)
        self.policy = msgspec.structs.replace(self.policy, on_silent_workers=SilentWorkers.KILL, wave=wave)
        self.come_up()


class Unlucky(Killing):
    """The same, where each worker that builds the candidate hangs with some chance."""

    def hits(self, worker: Worker, snapshot: object) -> bool:
        return not self.healed and self.random.random() < 0.4


def hang_again(story: Story) -> int:
    """The worker in slot 0 hangs and is killed, and so does the next one, which comes before the commit is on disk."""
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    story.moods = [Mood.MUTE]
    for state in (child.State.SERVING, child.State.JOINING):
        story.until(lambda state=state: story.supervisor.machine.view().slots[0].state is state, state.value)  # type: ignore[misc]
        story.worker(0).freeze(10.0)
    return ticket


def test_who_comes_after_one_that_was_killed_and_hangs_as_well_keeps_nobody_waiting() -> None:
    story = Killing()
    outcome = story.outcome(hang_again(story))
    assert isinstance(outcome, Committed)
    assert (outcome.workers, [missing.slot for missing in outcome.missing]) == (2, [0])
    story.rest()
    assert story.epochs == [2, 2, 2]


def come_late(story: Story) -> tuple[int, Worker]:
    """The worker in slot 0 is killed; the next one comes, and serves what was, before the commit is on disk."""
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    story.moods = [Mood.MUTE]
    story.worker(0).freeze(10.0)
    for state in (child.State.KILLING, child.State.SERVING):
        story.until(lambda state=state: story.supervisor.machine.view().slots[0].state is state, state.value)  # type: ignore[misc]
    assert story.state in (cutover.State.DECIDING, cutover.State.IN_DOUBT)
    late = story.worker(0)
    assert (late.epoch, late.accepting) == (1, False)
    return ticket, late


def test_who_comes_after_the_vote_and_serves_what_was_is_not_killed_while_it_builds_the_epoch() -> None:
    story = Killing()
    ticket, late = come_late(story)
    late.freeze(DEADLINES.activate + 1.0)
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Committed)
    assert (outcome.workers, [missing.slot for missing in outcome.missing]) == (2, [0])
    story.rest()
    assert late.alive
    assert story.epochs == [2, 2, 2]


def test_who_comes_after_the_vote_and_serves_what_was_is_waited_for_where_all_others_died() -> None:
    story = Killing()
    ticket, late = come_late(story)
    late.freeze(DEADLINES.activate + 1.0)
    story.reach(cutover.State.ACTIVATING)
    story.stillborn = frozenset({1, 2})
    for slot in story.stillborn:
        story.die(story.worker(slot), -11)
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Committed)
    assert (outcome.workers, late.epoch) == (1, 2)
    story.stillborn = frozenset()
    story.rest()
    assert story.epochs == [2, 2, 2]


def test_who_comes_after_the_vote_and_never_builds_the_epoch_is_killed_like_whoever_joins() -> None:
    story = Killing()
    ticket, late = come_late(story)
    late.freeze(10.0)
    assert isinstance(story.outcome(ticket), Committed)
    story.until(lambda: not late.alive, "it is killed")
    story.rest()
    assert story.epochs == [2, 2, 2]


@pytest.mark.parametrize("wave", [0, 1, 2])
@pytest.mark.parametrize("slot", [0, 1, 2])
def test_a_slot_in_which_every_worker_hangs_is_gone_on_without_whosever_turn_had_come(slot: int, wave: int) -> None:
    story = Killing(wave=wave)
    story.flawed_slots = frozenset({slot})
    outcome = story.outcome(story.reload(Flaw.HANGS))
    assert isinstance(outcome, Committed)
    assert (outcome.workers, [missing.slot for missing in outcome.missing]) == (2, [slot])
    story.flawed_slots = frozenset()
    story.rest()
    assert story.epochs == [2, 2, 2]


def test_what_hangs_in_every_worker_is_refused_in_time() -> None:
    story = Killing()
    assert isinstance(story.outcome(story.reload(Flaw.HANGS)), Refused)
    story.rest()
    assert story.epochs == [1, 1, 1]


@pytest.mark.parametrize("wave", [0, 1])
@pytest.mark.parametrize("seed", range(20))
def test_a_cutover_ends_in_time_though_whoever_comes_may_hang_again(seed: int, wave: int) -> None:
    story = Unlucky(workers=2 + seed % 3, wave=wave, seed=seed)
    moods = Random(seed)
    story.journal.mood = lambda _: moods.choice((Mood.WELL, Mood.WELL, Mood.MUTE))
    assert isinstance(story.outcome(story.reload(Flaw.HANGS)), Committed | Refused)
    story.heal()
    story.rest()


def crash(story: Story, slot: int) -> None:
    """The worker of a slot dies, and the next one serves."""
    dying = story.worker(slot)
    story.die(dying, -11)
    story.until(lambda: dying not in story.living() and story.epochs == [1] * story.wanted, "the next one serves")
    story.rest()


@pytest.mark.parametrize("wave", [0, 2])
@pytest.mark.parametrize("seed", range(5))
def test_a_mend_that_takes_over_half_of_the_deadline_is_taken_beside_a_crash(seed: int, wave: int) -> None:
    story = Story(seed=seed, wave=wave)
    story.come_up()
    crash(story, 2)
    assert isinstance(story.outcome(story.reload(Flaw.SLOW)), Committed)
    story.rest()
    assert story.epochs == [2, 2, 2]


@pytest.mark.parametrize("seed", range(5))
def test_also_where_another_worker_dies_of_what_serves_meanwhile(seed: int) -> None:
    story = Story(seed=seed)
    story.come_up()
    crash(story, 0)
    ticket = story.reload(Flaw.SLOW)
    story.reach(cutover.State.PREPARING)
    story.agenda.after(0.4, lambda: story.die(story.worker(0), -11))
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Committed)
    assert [lost.slot for lost in outcome.lost] == [0]


@pytest.mark.parametrize(("wave", "crashes"), [(0, True), (1, True), (1, False)])
def test_a_first_worker_that_hangs_leaves_the_others_as_long_as_they_take(wave: int, crashes: bool) -> None:
    story = Killing(workers=2, wave=wave)
    if crashes:
        crash(story, 1)
    ticket = story.reload(Flaw.SLOW)
    story.reach(cutover.State.PREPARING)
    story.worker(0).freeze(10.0)
    assert isinstance(story.outcome(ticket), Committed)
    story.rest()
    assert story.epochs == [2, 2]


def test_promise_13_beginning_the_deadline_anew_whenever_somebody_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repeat = Preparing.repeat

    def repeat_and_wait(preparing: Preparing) -> None:
        repeat(preparing)
        if preparing._progress.run is not None:
            preparing._wait(preparing._progress.run)

    monkeypatch.setattr(Preparing, "repeat", repeat_and_wait)
    story = Killing()
    with pytest.raises(PromiseBroken, match="promise 13 is broken: the cutover is preparing for"):
        story.outcome(story.reload(Flaw.HANGS))


def test_promise_13_waiting_for_who_came_since_the_vote_for_as_long_as_it_likes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Run, "due", property(lambda _: False, lambda _, __: None))
    story = Killing()
    with pytest.raises(PromiseBroken, match="promise 13 is broken: the cutover is activating for"):
        story.outcome(hang_again(story))


def test_promise_13_killing_who_came_since_the_vote_before_it_has_built_the_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Joining, "falls_behind", lambda *_: None)
    story = Killing()
    ticket, late = come_late(story)
    late.freeze(DEADLINES.activate + 1.0)
    with pytest.raises(PromiseBroken, match=r"promise 13 is broken: worker .* did not follow to epoch 2"):
        story.outcome(ticket)
