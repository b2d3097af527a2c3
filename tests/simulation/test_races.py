"""Races, told one by one: what the schedules find by chance, kept as stories."""

import msgspec
import pytest

from changeover.supervisor.core import boot, child, cutover
from changeover.supervisor.core.entries import Trigger
from changeover.supervisor.core.holding import contents
from changeover.supervisor.core.outcome import Action, Committed, Outcome, Refused, SilentWorkers, Unchanged
from changeover.supervisor.core.view import LeftoverPicture
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.messages import SupervisorMessage
from changeover.workers.protocol.snapshot import UnitKind, UnitRef
from changeover.workers.serving.lease import LeaseKind
from tests.simulation.contents import Flaw
from tests.simulation.journal import JOURNAL, Mood
from tests.simulation.plan import Fault
from tests.simulation.stories import Story
from tests.simulation.worker import Life, Worker
from tests.simulation.world import DEADLINES


@pytest.fixture
def story() -> Story:
    story = Story()
    story.come_up()
    return story


def test_a_first_start_serves_what_is_on_disk_as_epoch_1(story: Story) -> None:
    assert story.epochs == [1, 1, 1]
    assert all(worker.accepting for worker in story.living())


def test_a_reload_serves_the_next_epoch_everywhere_and_releases_what_it_replaced(story: Story) -> None:
    outcome = story.outcome(story.reload())
    assert isinstance(outcome, Committed)
    assert (outcome.previous, outcome.serving, outcome.workers) == (1, 2, 3)
    story.rest()
    story.until(lambda: story.journal.retired == {1}, "epoch 1 is retired")


def test_a_candidate_that_one_worker_refuses_changes_nothing_anywhere(story: Story) -> None:
    story.flawed_slots = frozenset({2})
    outcome = story.outcome(story.reload(Flaw.REFUSES))
    assert isinstance(outcome, Refused)
    assert [refusal.slot for refusal in outcome.refusals] == [2]
    assert story.epochs == [1, 1, 1]


def test_a_worker_that_dies_in_prepare_aborts_and_is_replaced_on_the_old_epoch(story: Story) -> None:
    story.flawed_slots = frozenset({1})
    outcome = story.outcome(story.reload(Flaw.CRASHES))
    assert isinstance(outcome, Refused)
    assert outcome.reason == "slot 1: was ended by signal 11"
    story.rest()
    assert story.epochs == [1, 1, 1]


def test_a_worker_that_falls_silent_in_prepare_aborts_and_wakes_on_the_old_epoch(story: Story) -> None:
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    silent = story.worker(0)
    silent.freeze(3.0)
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Refused)
    assert outcome.refusals[0].refusal.summary == "did not answer within 1.2 s"
    assert outcome.refusals[0].refusal.traceback == "in a loop"
    story.until(lambda: silent.life is Life.RUNNING, "it wakes")
    story.rest()
    assert silent.alive
    assert story.epochs == [1, 1, 1]


def test_a_silent_worker_is_killed_when_the_policy_says_so_and_the_cutover_goes_on() -> None:
    story = Story()
    story.policy = msgspec.structs.replace(story.policy, on_silent_workers=SilentWorkers.KILL)
    story.come_up()
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    story.worker(0).freeze(10.0)
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Committed)
    assert [lost.slot for lost in outcome.lost] == [0]
    story.rest()
    assert story.epochs == [2, 2, 2]


def test_a_half_delivered_commit_with_a_dead_supervisor_is_followed_by_the_cell(story: Story) -> None:
    story.strike_next(Fault.DIES_AFTER_STORE)
    story.reload()
    story.until(lambda: not story.supervisor.alive, "the supervisor dies right after its store")
    story.until(lambda: story.epochs == [2, 2, 2], "every worker follows the cell at its next request")
    story.boot()
    story.rest()
    story.until(lambda: story.journal.retired == {1}, "epoch 1 is retired")


def test_a_worker_that_slept_through_a_commit_begins_nothing_old(story: Story) -> None:
    ticket = story.reload()
    story.reach(cutover.State.DECIDING)
    sleeper = story.worker(1)
    sleeper.freeze(0.6)
    story.until(lambda: story.cell.words[0] == 2, "the commit")
    begun = sleeper.dispatched
    story.until(lambda: sleeper.life is Life.RUNNING, "it wakes")
    story.until(lambda: sleeper.dispatched > begun, "it serves again")
    assert sleeper.epoch == 2
    assert isinstance(story.outcome(ticket), Committed)


def test_a_worker_that_cannot_follow_is_killed_and_replaced_on_the_new_epoch(story: Story) -> None:
    ticket = story.reload()
    story.reach(cutover.State.DECIDING)
    story.worker(1).freeze(30.0)
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Committed)
    assert [lost.slot for lost in outcome.lost] == [1]
    story.rest()
    assert story.epochs == [2, 2, 2]


def test_a_decision_that_is_on_disk_though_writing_it_failed_is_found_and_followed(story: Story) -> None:
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    story.moods = [Mood.FAILS_WRITTEN]
    story.reach(cutover.State.IN_DOUBT)
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Committed)


def test_a_decision_whose_answer_never_comes_is_looked_up_after_its_deadline(story: Story) -> None:
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    story.moods = [Mood.MUTE]
    story.reach(cutover.State.IN_DOUBT)
    assert isinstance(story.outcome(ticket), Committed)


def test_a_disk_that_fails_at_the_decision_refuses_cutovers_until_the_abort_is_on_disk(story: Story) -> None:
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    story.moods = [Mood.FAILS, Mood.FAILS]
    story.reach(cutover.State.IN_DOUBT)
    meanwhile = story.outcome(story.ask_again())
    assert isinstance(meanwhile, Refused)
    assert "in doubt about epoch 2" in meanwhile.reason
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Refused)
    assert story.epochs == [1, 1, 1]
    assert isinstance(story.outcome(story.reload()), Committed)


def test_a_commit_that_lands_after_the_abort_was_asked_for_wins(story: Story) -> None:
    ticket = story.reload()
    story.reach(cutover.State.PREPARING)
    story.moods = [Mood.SLOW]
    story.reach(cutover.State.IN_DOUBT)
    story.reach(cutover.State.ABORTING)
    assert isinstance(story.outcome(ticket), Committed)


def test_supervision_goes_on_while_the_journal_is_in_doubt(story: Story) -> None:
    story.reload()
    story.reach(cutover.State.PREPARING)
    story.moods = [Mood.FAILS] * 12
    story.reach(cutover.State.IN_DOUBT)
    story.die(story.worker(2), -9)
    story.until(lambda: len(story.epochs) == 2, "it is dead")
    story.until(lambda: story.epochs == [1, 1, 1], "its slot is filled")
    assert story.moods, "the journal still failed"


def test_a_restarted_supervisor_aborts_what_was_undecided_and_reuses_no_number(story: Story) -> None:
    story.reload()
    story.reach(cutover.State.PREPARING)
    story.lose_supervisor()
    story.boot()
    story.rest()
    assert story.epochs == [1, 1, 1]
    outcome = story.outcome(story.ask_again())
    assert isinstance(outcome, Committed)
    assert outcome.serving == 3


def test_workers_live_on_when_a_term_that_could_not_be_written_is_begun_again(story: Story) -> None:
    story.rest()
    there = [worker.worker for worker in story.living()]
    story.journal.mood = lambda _: Mood.FAILS
    for _ in range(2):
        story.lose_supervisor()
        story.run(story.agenda.now + 0.2)
        story.boot()
        story.until(lambda: story.supervisor.machine.view().start is boot.State.READ_ONLY, "it could not be written")
        story.run(story.agenda.now + 1.0)
    story.run(story.agenda.now + 2 * DEADLINES.boot)
    assert [worker.worker for worker in story.living()] == there
    assert {slot.state for slot in story.supervisor.machine.view().slots} == {child.State.SERVING}


def test_a_worker_forked_in_prepare_has_a_vote(story: Story) -> None:
    story.flawed_slots = frozenset({3})
    ticket = story.reload(Flaw.HANGS)
    story.reach(cutover.State.PREPARING)
    story.scale(4)
    outcome = story.outcome(ticket)
    assert isinstance(outcome, Refused)
    assert [refusal.slot for refusal in outcome.refusals] == [3]


def test_a_lost_abort_is_noticed_although_a_repeat_comes_after_it(story: Story) -> None:
    """A repeat once carried the number of the last broadcast, and hid that the broadcast was lost."""
    deaf = story.worker(0)
    carry = story._carry

    def lossy(worker: Worker, message: SupervisorMessage) -> None:
        if worker is deaf and isinstance(message, messages.Abort):
            story.unicast(worker.worker, messages.Commit(Stamp(JOURNAL, 1, 1), messages.UNORDERED))
        else:
            carry(worker, message)

    story._carry = lossy  # type: ignore[method-assign]
    story.flawed_slots = frozenset({2})
    story.outcome(story.reload(Flaw.REFUSES))
    story.until(lambda: deaf.switch.prepared is None and not deaf.building, "the worker hears of the abort after all")


def test_requests_that_come_while_a_cutover_runs_are_answered_by_the_one_that_follows(story: Story) -> None:
    first = story.reload()
    story.reach(cutover.State.PREPARING)
    second, third = story.reload(), story.ask_again()
    outcomes = [story.outcome(ticket) for ticket in (first, second, third)]
    assert [outcome.serving for outcome in outcomes] == [2, 3, 3]


def test_content_that_was_rolled_back_is_held_until_it_is_forced(story: Story) -> None:
    story.outcome(story.reload())
    back = story.outcome(story.ask_again(Action.ROLLBACK))
    assert isinstance(back, Committed)
    assert back.serving == 3
    held = story.outcome(story.ask_again())
    assert isinstance(held, Refused)
    assert "held" in held.reason
    forced = story.outcome(story.ask_again(force=True))
    assert isinstance(forced, Committed)


def test_a_cold_start_falls_back_to_the_last_committed_content_when_the_disk_is_refused(story: Story) -> None:
    story.new_content(Flaw.REFUSES)
    story.lose_supervisor()
    for zygote in story.zygotes.values():
        zygote.die()
    for worker in list(story.living()):
        story.die(worker, -9)
    story.boot()
    story.rest()
    assert story.epochs == [1, 1, 1]


def test_unchanged_content_says_so(story: Story) -> None:
    assert isinstance(story.outcome(story.ask_again()), Unchanged)


def test_a_slot_whose_workers_die_again_and_again_is_parked_with_the_reason(story: Story) -> None:
    def parked() -> bool:
        for worker in story.living():
            if worker.worker.slot == 0:
                story.die(worker, -11)
        return story.supervisor.machine.view().slots[0].state is child.State.PARKED

    story.until(parked, "slot 0 is parked")
    assert "was ended by signal 11" in story.supervisor.machine.view().slots[0].note
    story.rest()


def test_fewer_workers_the_oldest_leaves_first(story: Story) -> None:
    oldest = story.worker(0)
    story.die(story.worker(1), -9)
    story.rest()
    story.scale(2)
    story.rest()
    assert not oldest.alive


def test_a_worker_without_a_supervisor_serves_on_and_leaves_in_the_end(story: Story) -> None:
    worker = story.worker(0)
    story.lose_supervisor()
    begun = worker.dispatched
    story.until(lambda: worker.dispatched > begun + 2, "it serves on")
    story.until(lambda: not any(True for _ in story.living()), "orphans leave")


# ---- rolls ----


def test_a_roll_serves_in_new_processes_and_the_old_ones_leave_by_themselves(story: Story) -> None:
    before = {worker.worker for worker in story.living()}
    outcome = story.outcome(story.roll())
    assert isinstance(outcome, Committed)
    assert (outcome.previous, outcome.serving, outcome.workers) == (1, 2, 3)
    story.rest()
    assert story.epochs == [2, 2, 2]
    assert before.isdisjoint(worker.worker for worker in story.living())
    story.until(lambda: story.journal.retired == {1}, "epoch 1 is retired")


@pytest.mark.parametrize("flaw", [Flaw.REFUSES, Flaw.CRASHES, Flaw.HANGS])
def test_one_new_worker_that_does_not_come_up_leaves_all_old_ones_serving(story: Story, flaw: Flaw) -> None:
    before = [worker.worker for worker in story.living()]
    story.flawed_slots = frozenset({4})
    assert isinstance(story.outcome(story.roll(flaw)), Refused)
    story.rest()
    assert [worker.worker for worker in story.living()] == before


@pytest.mark.parametrize(
    "state", [cutover.State.PREPARING, cutover.State.AGREEING, cutover.State.DECIDING, cutover.State.ACTIVATING]
)
def test_a_supervisor_that_dies_in_a_roll_leaves_one_cohort_or_the_other(story: Story, state: cutover.State) -> None:
    story.roll()
    story.reach(state)
    story.lose_supervisor()
    story.boot()
    story.rest()
    assert len(set(story.epochs)) == 1
    assert len({worker.identity.rolled for worker in story.living()}) == 1


def test_addresses_are_bound_before_anybody_is_asked_and_go_when_the_commit_is_on_disk(story: Story) -> None:
    ticket = story.move("shop:1", "shop:2")
    story.reach(cutover.State.AGREEING)
    assert story.supervisor.bound == {"shop:1", "shop:2"}
    assert isinstance(story.outcome(ticket), Committed)
    assert isinstance(story.outcome(story.move("shop:2")), Committed)
    assert story.supervisor.bound == {"shop:2"}


def test_a_refused_move_leaves_what_was_listened_on(story: Story) -> None:
    story.listen = ("shop:3",)
    assert isinstance(story.outcome(story.roll(Flaw.REFUSES)), Refused)
    story.rest()
    assert story.supervisor.bound == {"shop:1"}


def test_a_rollback_moves_back_and_the_next_reload_does_not_move_again(story: Story) -> None:
    story.outcome(story.move("shop:3"))
    story.outcome(story.ask_again(Action.ROLLBACK))
    assert story.supervisor.bound == {"shop:1"}
    story.outcome(story.ask_again())
    assert story.supervisor.bound == {"shop:1"}
    story.outcome(story.ask_again(force=True))
    assert story.supervisor.bound == {"shop:3"}


def test_a_supervisor_that_dies_right_after_the_store_of_a_roll_leaves_nobody_serving_the_old(story: Story) -> None:
    old = list(story.living())
    story.strike_next(Fault.DIES_AFTER_STORE)
    story.roll()
    story.until(lambda: not story.supervisor.alive, "the supervisor is dead")
    for worker in old:
        worker.dispatch()
    story.until(lambda: all(worker.yielding for worker in old), "the old workers hand over by the cell alone")
    story.boot()
    story.rest()
    assert story.epochs == [2, 2, 2]


def test_an_old_worker_that_sleeps_through_the_commit_of_a_roll_dispatches_nothing_and_hands_over(story: Story) -> None:
    story.roll()
    story.reach(cutover.State.DECIDING)
    asleep = story.worker(0)
    asleep.freeze(2.0)
    story.until(lambda: asleep.life is not Life.FROZEN, "it wakes")
    begun = asleep.dispatched
    asleep.dispatch()
    assert asleep.dispatched == begun
    story.rest()
    assert not asleep.alive


def test_a_swap_that_follows_a_roll_waits_for_no_old_worker(story: Story) -> None:
    held = story.worker(0)
    lease = held.switch.current.router.targets[0].unit_set.lease(LeaseKind.STREAM, 1, "/", 0)
    story.outcome(story.roll())
    assert isinstance(story.outcome(story.reload()), Committed)
    assert held.alive
    lease.release()
    story.rest()
    assert story.epochs == [3, 3, 3]


def left(story: Story) -> tuple[LeftoverPicture, ...]:
    return story.supervisor.machine.view().leftovers


def test_what_later_swaps_replace_is_released_while_an_old_worker_keeps_one_stream(story: Story) -> None:
    held = story.worker(0)
    lease = held.switch.current.router.targets[0].unit_set.lease(LeaseKind.STREAM, 1, "/", 0)
    story.outcome(story.roll())
    for _ in range(4):
        story.outcome(story.reload())
    story.until(lambda: len(list(story.living())) == 4, "the other old workers left")
    new = [worker for worker in story.living() if worker is not held]
    story.until(lambda: all(each.resident == each.switch.current.snapshot.keys() for each in new), "it is released")
    slots = {held.worker.slot}
    story.until(lambda: {slot for each in left(story) for slot in each.held_by} == slots, "only the old one has more")
    assert {each.unit.since for each in left(story)} == {held.epoch} == {1}
    lease.release()
    story.rest()
    story.until(lambda: story.journal.retired == {1, 2, 3, 4, 5}, "all of them are retired")


def rolled_zygotes(story: Story) -> list[int]:
    return [zygote.rolled for zygote in story.zygotes.values() if zygote.alive]


def test_two_rolls_in_a_row_leave_only_the_last_cohort_and_for_a_while_the_zygote_before(story: Story) -> None:
    story.outcome(story.roll())
    story.outcome(story.roll())
    story.rest()
    assert {worker.identity.rolled for worker in story.living()} == {3}
    assert rolled_zygotes(story) == [2, 3]
    story.until(lambda: rolled_zygotes(story) == [3], "the zygote that was kept is gone")


def test_a_roll_whose_workers_all_crash_is_taken_back_by_itself_in_workers_of_the_zygote_before(story: Story) -> None:
    assert isinstance(story.outcome(story.roll(Flaw.DIES)), Committed)
    story.until(lambda: story.journal.committed == 3, "what served before serves again")
    story.rest()
    back = story.journal.given[3]
    assert (back.origin.trigger, back.restores) == (Trigger.RESCUE, 1)
    assert story.epochs == [3, 3, 3]
    assert {worker.worker.cohort for worker in story.living()} == {1}
    assert rolled_zygotes(story) == [3]


def test_what_crashed_is_held_like_what_was_rolled_back(story: Story) -> None:
    story.outcome(story.roll(Flaw.DIES))
    crashed = contents(story.journal.snapshot(2))
    story.until(lambda: story.journal.committed == 3, "what served before serves again")
    held = {each.ref: each.content for each in story.supervisor.machine.view().held}
    assert UnitRef(UnitKind.APPLICATION, "app") in held
    assert held.items() <= crashed.items()


def test_a_rescue_is_not_rescued(story: Story) -> None:
    story.outcome(story.roll(Flaw.DIES))
    story.until(lambda: story.journal.committed == 3, "what served before serves again")

    def parked() -> bool:
        for worker in list(story.living()):
            story.die(worker, -11)
        states = [slot.state for slot in story.supervisor.machine.view().slots]
        return sorted(states.count(each) for each in (child.State.PARKED, child.State.BACKOFF)) == [1, 2]

    story.until(parked, "all slots are parked but one")
    assert story.journal.committed == 3
    story.rest()


def test_one_new_worker_that_never_crashes_is_enough_to_stay(story: Story) -> None:
    story.outcome(story.roll())

    def parked() -> bool:
        for worker in list(story.living()):
            if worker.worker.slot in (3, 4):
                story.die(worker, -11)
        states = {slot.slot: slot.state for slot in story.supervisor.machine.view().slots}
        return states.get(3) is states.get(4) is child.State.PARKED

    story.until(parked, "two of three slots are parked")
    story.rest()
    assert story.journal.committed == 2


def test_a_crash_after_the_time_is_left_to_people(story: Story) -> None:
    story.outcome(story.roll())
    story.until(lambda: rolled_zygotes(story) == [2], "the zygote that was kept is gone")
    for _ in range(3):
        for worker in list(story.living()):
            story.die(worker, -11)
        story.rest()
    assert story.journal.committed == 2


def test_the_way_back_is_gone_with_the_zygote_that_was_kept(story: Story) -> None:
    story.outcome(story.roll(Flaw.DIES))
    story.zygotes[1].die()
    story.until(lambda: len(story.supervisor.machine.view().slots) == 3, "the old workers left")
    story.until(lambda: not any(True for _ in story.living()), "all new workers are dead")
    assert story.journal.committed == 2


def test_a_supervisor_that_dies_in_a_rescue_leaves_one_cohort_or_the_other(story: Story) -> None:
    story.outcome(story.roll(Flaw.DIES))
    story.until(lambda: 3 in story.journal.given, "a rescue began")
    story.healed = True
    story.lose_supervisor()
    story.boot()
    story.rest()
    assert len({worker.identity.rolled for worker in story.living()}) == 1


def test_somebody_who_goes_back_soon_needs_no_import_either(story: Story) -> None:
    story.outcome(story.roll())
    assert isinstance(story.outcome(story.ask_again(Action.ROLLBACK)), Committed)
    story.rest()
    assert sorted(story.zygotes) == [1, 2]
    assert {worker.worker.cohort for worker in story.living()} == {1}


def refused_rollback(story: Story) -> Outcome:
    """How a rollback ends one of whose workers dies in prepare; what is left of it is gone."""
    ticket = story.ask_again(Action.ROLLBACK)
    epoch = max(story.journal.given)
    story.until(lambda: any(each.identity.rolled > epoch for each in story.living()), "a worker of the rollback lives")
    story.die(next(each for each in story.living() if each.identity.rolled > epoch), -11)
    outcome = story.outcome(ticket)
    story.rest()
    return outcome


def test_a_rollback_that_is_refused_leaves_the_way_back_without_an_import(story: Story) -> None:
    story.outcome(story.roll())
    assert isinstance(refused_rollback(story), Refused)
    assert story.epochs == [2, 2, 2]
    for _ in range(2):
        story.until(lambda: len(list(story.living())) == 3, "all serve again")
        story.rest()
        for worker in list(story.living()):
            story.die(worker, -11)
    story.until(lambda: story.journal.committed == 4, "what served before serves again")
    story.rest()
    assert story.journal.given[4].origin.trigger is Trigger.RESCUE
    assert {worker.worker.cohort for worker in story.living()} == {1}
    assert sorted(story.zygotes) == [1, 2]


def test_a_zygote_whose_rollback_was_refused_is_kept_no_longer_than_without_it(story: Story) -> None:
    story.outcome(story.roll())
    [end] = [zygote.until for zygote in story.supervisor.machine.view().zygotes if zygote.until]
    assert isinstance(refused_rollback(story), Refused)
    story.until(lambda: rolled_zygotes(story)[1:] == [], "the zygote that was kept is gone")
    assert end <= story.agenda.now < end + 0.1


def test_a_supervisor_that_dies_in_a_rollback_leaves_what_serves_and_its_zygote(story: Story) -> None:
    story.outcome(story.roll())
    story.ask_again(Action.ROLLBACK)
    story.until(lambda: any(worker.identity.rolled == 3 for worker in story.living()), "the rollback's workers live")
    story.lose_supervisor()
    story.boot()
    story.rest()
    assert {worker.identity.rolled for worker in story.living()} == {2}
    assert [zygote.cohort for zygote in story.zygotes.values() if zygote.alive] == [2]


def test_a_roll_back_to_another_application_is_a_roll(story: Story) -> None:
    story.outcome(story.roll())
    outcome = story.outcome(story.ask_again(Action.ROLLBACK))
    assert isinstance(outcome, Committed)
    story.rest()
    assert {worker.identity.rolled for worker in story.living()} == {3}


def test_the_new_zygote_that_dies_while_the_old_workers_leave_is_replaced(story: Story) -> None:
    story.outcome(story.roll())
    story.zygotes[2].die()
    story.die(story.worker(3), -9)
    story.rest()
    assert story.epochs == [2, 2, 2]
