"""A migration meets deaths, silence and doubt, told one by one; the schedules find more by chance."""

import pytest

from changeover.supervisor.core import cutover
from changeover.supervisor.core.outcome import Committed, Refused
from changeover.workers.participant.migration import Migration
from tests.simulation.invariants import PromiseBroken
from tests.simulation.journal import Mood
from tests.simulation.stories import Story

SLOW = 0.5
"""Seconds that a migration takes, so that something can happen meanwhile."""


@pytest.fixture
def story() -> Story:
    """A service that serves epoch 2, and whose next content migrates something."""
    story = Story()
    story.come_up()
    story.outcome(story.reload())
    story.rest()
    story.plan.migrates = True
    story.migration = lambda: (SLOW, None)  # type: ignore[method-assign]
    return story


def settle(story: Story) -> None:
    """Come to rest, with nothing migrated that serves nobody."""
    story.rest()
    story.migrations.check()


def test_it_is_migrated_once_and_then_committed(story: Story) -> None:
    outcome = story.outcome(story.reload())
    assert isinstance(outcome, Committed)
    done = story.migrations.done[3]
    assert (done.worker.worker.slot, done.returned, done.undone) == (0, True, False)
    settle(story)


def test_a_roll_migrates_in_one_of_its_new_workers(story: Story) -> None:
    assert isinstance(story.outcome(story.roll()), Committed)
    assert story.migrations.done[3].worker.identity.rolled == 3
    settle(story)


def test_whoever_dies_while_it_migrates_is_followed_by_another_who_undoes_it(story: Story) -> None:
    ticket = story.reload()
    story.until(lambda: 3 in story.migrations.done, "somebody migrates")
    story.die(story.migrations.done[3].worker, -9)
    assert isinstance(story.outcome(ticket), Refused)
    assert story.migrations.done[3].undone
    settle(story)


def test_a_supervisor_that_dies_while_a_worker_migrates_leaves_nothing_migrated(story: Story) -> None:
    story.reload()
    story.until(lambda: 3 in story.migrations.done, "somebody migrates")
    story.lose_supervisor()
    story.boot()
    story.until(lambda: story.migrations.done[3].undone, "it is undone")
    settle(story)
    assert story.epochs == [2, 2, 2]


def test_a_supervisor_that_dies_after_it_and_before_the_decision_leaves_nothing_migrated(story: Story) -> None:
    story.reload()
    story.until(lambda: 3 in story.migrations.done and story.migrations.done[3].returned, "it is migrated")
    story.lose_supervisor()
    story.boot()
    story.until(lambda: story.migrations.done[3].undone, "it is undone")
    settle(story)


def test_a_commit_that_turns_out_not_to_be_on_disk_is_undone_after_its_abort_is(story: Story) -> None:
    ticket = story.reload()
    story.reach(cutover.State.MIGRATING)
    story.moods = [Mood.FAILS]
    story.reach(cutover.State.ABORTING)
    assert not story.migrations.done[3].undone
    assert isinstance(story.outcome(ticket), Refused)
    story.until(lambda: story.migrations.done[3].undone, "it is undone")
    settle(story)


def test_a_worker_that_falls_silent_while_it_migrates_undoes_it_when_it_wakes(story: Story) -> None:
    ticket = story.reload()
    story.until(lambda: 3 in story.migrations.done, "somebody migrates")
    worker = story.migrations.done[3].worker
    worker.freeze(6.0)
    assert isinstance(story.outcome(ticket), Refused)
    assert story.migrations.done[3].left
    story.until(lambda: story.migrations.done[3].undone or not worker.alive, "it woke")
    settle(story)


def test_fewer_workers_than_before_do_not_take_it_from_who_migrates(story: Story) -> None:
    ticket = story.reload()
    story.until(lambda: 3 in story.migrations.done, "somebody migrates")
    story.scale(1)
    story.outcome(ticket)
    settle(story)


def test_a_worker_that_forgets_what_it_did_when_only_the_abort_is_heard_breaks_promise_2(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Migration, "aborted", lambda *_: None)
    story.reload()
    story.until(lambda: 3 in story.migrations.done, "somebody migrates")
    story.lose_supervisor()
    story.boot()
    with pytest.raises(PromiseBroken, match=r"3 is aborted, and what .* migrated is not undone"):
        settle(story)


def test_a_worker_that_may_have_died_of_what_serves_fails_it_once_somebody_migrates(story: Story) -> None:
    first = story.worker(2)
    story.die(first, -11)
    story.until(lambda: any(each.epoch and each.worker.slot == 2 for each in story.living()), "another one serves")
    story.rest()
    ticket = story.reload()
    story.until(lambda: 3 in story.migrations.done, "somebody migrates")
    story.die(story.worker(2), -11)
    assert isinstance(story.outcome(ticket), Refused)
    assert story.migrations.done[3].undone
    settle(story)
    assert story.epochs == [2, 2, 2]
