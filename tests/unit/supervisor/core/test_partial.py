import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.entries import Committed as CommittedEntry
from changeover.supervisor.core.entries import EpochGiven, Part
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Candidate, Committed, ExtraMemory, Planned, Refused
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.part import PartBegan, PartServes, PartsReverted, PartsReverting
from changeover.supervisor.core.records.staffing import ScaleRefused
from changeover.supervisor.core.unstaffed import IN_PARTS
from changeover.supervisor.core.view import Role
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.machines import JOURNAL, RELOAD, Bench, snapshot

HEARTBEAT = Timer(TimerKind.HEARTBEAT)
NO = Refusal(Stage.LOAD, Fault.CONTRACT, "does not import")


@pytest.fixture
def bench() -> Bench:
    """Three workers serve epoch 1, and a roll is asked for that may have one extra."""
    bench = Bench()
    bench.come_up(3)
    bench.feed(events.CutoverRequested(1, msgspec.structs.replace(RELOAD, surge=1, allow_partial=True)))
    bench.find(snapshot(2, rolled=2))
    return bench


def old(bench: Bench) -> list[WorkerId]:
    return [worker for worker in bench.living() if worker.cohort == 1]


def new(bench: Bench) -> list[WorkerId]:
    return [worker for worker in bench.living() if worker.cohort == 2]


def asked(bench: Bench, epoch: int) -> list[WorkerId]:
    """Who was told last to prepare `epoch`, in order."""
    sent = [each for each in bench.all(effects.Unicast) if isinstance(each.message, messages.Prepare)]
    return [each.worker for each in sent if each.message.stamp.epoch == epoch]


def serve(bench: Bench, epoch: int) -> None:
    """Let a part be prepared, agreed to, committed and followed; whom it replaces leaves."""
    bench.be_born()
    for worker in new(bench):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, epoch)
    for worker in set(asked(bench, epoch)) & set(old(bench)):
        bench.hear(worker, messages.Prepared, epoch)
    for worker in new(bench):
        bench.hear(worker, messages.Activated, epoch)


def leave(bench: Bench, epoch: int) -> None:
    for worker in set(asked(bench, epoch)) & set(old(bench)):
        bench.feed(events.WorkerExited(worker, 0))


def test_a_part_is_made_of_as_many_new_workers_as_there_may_be_extra_ones(bench: Bench) -> None:
    assert len(new(bench)) == 1
    [given] = [entry for entry in bench.entries() if isinstance(entry, EpochGiven)]
    assert (given.part, given.candidate.part) == (Part(1, 3, 1), 1)
    assert bench.told(PartBegan) == [PartBegan(2, 1, 3, 1)]
    assert bench.all(effects.Fork)[-1].part == 1


def test_one_old_worker_is_asked_to_hand_over_to_it_and_the_others_are_left_alone(bench: Bench) -> None:
    serve(bench, 2)
    assert asked(bench, 2) == [WorkerId(1, 0, old(bench)[0].incarnation)]
    told = {each.worker for each in bench.all(effects.Unicast) if isinstance(each.message, messages.Commit)}
    assert told == {old(bench)[0], *new(bench)}
    assert not bench.said(messages.Commit)[0].seq


def test_only_its_word_says_that_it_is_committed_and_heartbeats_name_both(bench: Bench) -> None:
    serve(bench, 2)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(1, 1), effects.StoreCell(2, 1)]
    bench.fire(HEARTBEAT)
    pulse = bench.said(messages.Pulse)[-1]
    assert (pulse.stamp.epoch, pulse.parts) == (2, (1, 2))
    assert bench.told(PartServes) == [PartServes(2, 1, 3, 1, 1, (3,))]
    assert (bench.view.epoch, bench.view.parted, bench.view.serving) == (1, 2, frozenset((1, 2)))
    assert not bench.outcomes()


def test_the_next_part_begins_when_those_that_were_replaced_have_left(bench: Bench) -> None:
    serve(bench, 2)
    bench.fire(HEARTBEAT)
    assert len(new(bench)) == 1
    leave(bench, 2)
    bench.fire(HEARTBEAT)
    assert len(new(bench)) == 2


def test_its_new_workers_are_told_of_nothing_committed_and_so_accept_nothing_before_it_is(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    bench.fire(HEARTBEAT)
    bench.be_born()
    bench.greet(bench.workers[-1])
    welcome = bench.said(messages.Welcome)[-1]
    assert welcome.current is None
    assert welcome.candidate is not None
    assert welcome.candidate.epoch == 3


def test_those_of_earlier_parts_are_asked_for_the_next_number(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    bench.fire(HEARTBEAT)
    assert asked(bench, 3) == [new(bench)[-1]]


def test_who_is_replaced_is_told_first_of_the_one_that_was_made_in_its_place(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    bench.fire(HEARTBEAT)
    serve(bench, 3)
    told = [each for each in bench.all(effects.Unicast) if each.worker in old(bench)]
    [*_, successors] = [each.message.successors for each in told if isinstance(each.message, messages.Prepare)]
    assert [worker.incarnation for worker in successors] == sorted(
        (each.incarnation for each in new(bench)), reverse=True
    )


def through(bench: Bench) -> None:
    for epoch in (2, 3):
        serve(bench, epoch)
        leave(bench, epoch)
        bench.fire(HEARTBEAT)
    serve(bench, 4)


def test_the_last_part_is_stored_into_both_words_and_is_the_outcome(bench: Bench) -> None:
    through(bench)
    assert bench.all(effects.StoreCell)[-2:] == [effects.StoreCell(4, 1), effects.StoreCell(4, 0)]
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Committed)
    assert (outcome.serving, outcome.previous, outcome.workers) == (4, 1, 3)
    assert bench.view.parted is None
    bench.fire(HEARTBEAT)
    assert bench.said(messages.Pulse)[-1].parts == ()


def test_every_part_is_decided_on_disk_by_itself(bench: Bench) -> None:
    through(bench)
    decided = [entry.epoch for entry in bench.entries() if isinstance(entry, CommittedEntry)]
    parts = [entry.part for entry in bench.entries() if isinstance(entry, EpochGiven)]
    assert decided == [2, 3, 4]
    assert parts == [Part(number, 3, 1) for number in (1, 2, 3)]


def refuse(bench: Bench) -> None:
    """The second part is refused, and those of its workers that were made for it have left."""
    serve(bench, 2)
    leave(bench, 2)
    bench.fire(HEARTBEAT)
    bench.be_born()
    fresh = bench.workers[-1]
    bench.greet(fresh)
    bench.hear(fresh, messages.Refused, 3, NO)
    bench.feed(events.WorkerExited(fresh, 0))


def go_back(bench: Bench) -> None:
    """What the others serve is committed again."""
    bench.fire(HEARTBEAT)
    for worker in old(bench):
        bench.hear(worker, messages.Prepared, 4)
    for worker in old(bench):
        bench.hear(worker, messages.Activated, 4)


def test_a_refusal_commits_what_the_others_serve_again_and_builds_nothing(bench: Bench) -> None:
    refuse(bench)
    go_back(bench)
    assert bench.told(PartsReverting) == [PartsReverting(2, "part 1 of 3", 1, "slot 0: does not import")]
    given = [entry for entry in bench.entries() if isinstance(entry, EpochGiven)][-1]
    assert (given.restores, given.part, given.candidate.keys()) == (1, None, snapshot(1).keys())
    assert bench.all(effects.StoreCell)[-1] == effects.StoreCell(4, 0)
    assert new(bench)


def test_on_the_way_back_a_fresh_worker_serves_before_one_of_the_part_hands_over(bench: Bench) -> None:
    refuse(bench)
    go_back(bench)
    bench.fire(HEARTBEAT)
    assert not bench.said(messages.HandOver)
    bench.be_born()
    relief = bench.workers[-1]
    bench.greet(relief)
    bench.hear(relief, messages.Activated, 4)
    bench.fire(HEARTBEAT)
    [order] = bench.said(messages.HandOver)
    assert set(order.successors) == set(old(bench))
    assert bench.view.parted is None
    assert bench.told(PartsReverted) == [PartsReverted(2, 4)]


def test_the_outcome_says_what_became_of_each_part(bench: Bench) -> None:
    test_on_the_way_back_a_fresh_worker_serves_before_one_of_the_part_hands_over(bench)
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.parts == ("part 1 of 3 (epoch 2) was committed, and reverted by epoch 4",)
    assert (outcome.epoch, outcome.serving, outcome.refusals[0].refusal) == (3, 4, NO)


def crash(bench: Bench) -> None:
    """The worker of the part dies, and so do those that take its place."""
    for _ in range(4):
        bench.feed(events.WorkerExited(new(bench)[0], -11))
        bench.fire(Timer(TimerKind.CHILD, 3))
        bench.feed(events.WorkerForked(new(bench)[0], 77))
    bench.feed(events.WorkerExited(new(bench)[0], -11))


def test_a_stop_on_the_way_back_does_not_hide_why_a_part_was_refused(bench: Bench) -> None:
    refuse(bench)
    bench.fire(HEARTBEAT)
    bench.feed(events.StopRequested())
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.refusals[0].refusal) == ("slot 0: does not import", NO)
    assert outcome.parts == (
        "part 1 of 3 (epoch 2) was committed, and is not reverted",
        "of 3 workers, 2 served epoch 1 and 1 served epoch 2 when it was cut short",
    )


def test_a_stop_between_two_parts_tells_that_nothing_is_reverted_and_how_many_serve_what(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    bench.feed(events.StopRequested())
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.stopping
    assert outcome.parts == (
        "part 1 of 3 (epoch 2) was committed, and is not reverted",
        "of 3 workers, 2 served epoch 1 and 1 served epoch 2 when it was cut short",
    )


CUT_SHORT = (
    "part 1 of 3 (epoch 2) was committed, and is not reverted",
    "of 3 workers, 2 served epoch 1 and 1 served epoch 2 when it was cut short",
)


def vote(bench: Bench) -> None:
    """All whose votes are wanted of the first part hold it."""
    bench.be_born()
    for worker in new(bench):
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 2)
    for worker in set(asked(bench, 2)) & set(old(bench)):
        bench.hear(worker, messages.Prepared, 2)


def test_a_stop_while_a_part_is_followed_counts_who_served_although_all_are_to_leave(bench: Bench) -> None:
    vote(bench)
    bench.feed(events.StopRequested())
    assert not bench.outcomes()
    for worker in new(bench):
        bench.hear(worker, messages.Activated, 2)
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.parts == CUT_SHORT


def test_so_does_a_stop_while_it_is_decided_also_when_some_have_left_by_then(bench: Bench) -> None:
    bench.writes = False
    vote(bench)
    bench.feed(events.StopRequested(), events.WorkerExited(old(bench)[-1], 0))
    bench.writes = True
    bench.feed(events.Persisted(bench.all(effects.Persist)[-1].ticket))
    for worker in new(bench):
        bench.hear(worker, messages.Activated, 2)
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.parts == CUT_SHORT


def test_where_the_journal_cannot_be_written_the_parts_are_said_to_be_reverted_yet(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    bench.writes = False
    bench.feed(events.Received(messages.Beat(Stamp(JOURNAL, 9, 1), old(bench)[0], 1)))
    bench.feed(events.PersistFailed(bench.all(effects.Persist)[-1].ticket, "no space left on device"))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.parts == ("part 1 of 3 (epoch 2) was committed, and is to be reverted",)
    assert outcome.reverts
    bench.writes = True
    bench.fire(Timer(TimerKind.REWRITE))
    bench.fire(HEARTBEAT)
    assert len(bench.told(PartsReverting)) == 1


def test_workers_of_a_part_that_die_again_and_again_revert_it(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    crash(bench)
    bench.fire(HEARTBEAT)
    assert [record.reason for record in bench.told(PartsReverting)] == ["the workers of a part exited again and again"]


def test_what_crashed_in_a_part_is_held_so_that_nothing_takes_it_again_by_itself(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    crash(bench)
    bench.fire(HEARTBEAT)
    for worker in old(bench):
        bench.hear(worker, messages.Prepared, 3)
    assert [held.ref.name for held in bench.view.held] == ["pricing"]


def test_what_was_refused_in_a_part_is_quarantined_and_not_held(bench: Bench) -> None:
    refuse(bench)
    go_back(bench)
    assert not bench.view.held
    assert [known.digest for known in bench.view.quarantine] == [snapshot(2).digest]


def test_a_part_whose_worker_died_and_whose_zygote_cannot_be_had_any_more_is_reverted(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    [worker] = new(bench)
    bench.feed(events.WorkerExited(worker, -9))
    for _ in range(5):
        bench.feed(events.ZygoteLost(bench.cohorts[-1], "cannot preload"))
        bench.fire(Timer(TimerKind.CHILD, worker.slot))
        bench.fire(Timer(TimerKind.ZYGOTE, bench.cohorts[-1]))
    bench.fire(HEARTBEAT)
    [reverting] = bench.told(PartsReverting)
    assert "the zygote that would fork another was lost again and again" in reverting.reason


def test_a_part_whose_worker_died_and_whose_zygote_takes_too_long_is_reverted(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    [worker] = new(bench)
    bench.feed(events.WorkerExited(worker, -9), events.ZygoteLost(bench.cohorts[-1], "is gone"))
    bench.fire(Timer(TimerKind.CHILD, worker.slot))
    bench.fire(HEARTBEAT)
    assert not bench.told(PartsReverting)
    bench.now += Policy().deadlines.zygote + Policy().deadlines.boot + 1
    bench.fire(HEARTBEAT)
    [reverting] = bench.told(PartsReverting)
    assert "no other took its place in time" in reverting.reason


def test_whoever_a_part_replaced_hands_over_to_those_who_stay_once_it_is_reverted(bench: Bench) -> None:
    serve(bench, 2)
    replaced, *staying = old(bench)
    bench.hear(replaced, messages.Yielding, 1)
    crash(bench)
    bench.fire(HEARTBEAT)
    for worker in staying:
        bench.hear(worker, messages.Prepared, 3)
        bench.hear(worker, messages.Activated, 3)
    bench.fire(HEARTBEAT)
    assert bench.view.parted is None
    bench.forget()
    bench.fire(Timer(TimerKind.REPEAT))
    [order] = bench.said(messages.HandOver)
    assert set(order.successors) == set(staying)


def test_a_part_serves_and_is_not_on_standby_and_whoever_it_replaced_hands_over(bench: Bench) -> None:
    serve(bench, 2)
    roles = {slot.slot: slot.role for slot in bench.view.slots}
    assert roles == {0: Role.REPLACED, 1: Role.CURRENT, 2: Role.CURRENT, 3: Role.CURRENT}


def test_the_workers_of_the_next_part_are_on_standby_until_it_serves(bench: Bench) -> None:
    serve(bench, 2)
    leave(bench, 2)
    bench.fire(HEARTBEAT)
    roles = {slot.slot: slot.role for slot in bench.view.slots}
    assert roles == {0: Role.NEXT, 1: Role.CURRENT, 2: Role.CURRENT, 3: Role.CURRENT}
    serve(bench, 3)
    assert {slot.slot for slot in bench.view.slots if slot.role is Role.CURRENT} == {0, 2, 3}


def test_nobody_is_scaled_or_relieved_meanwhile(bench: Bench) -> None:
    serve(bench, 2)
    bench.feed(events.ScaleRequested(5))
    assert bench.told(ScaleRefused) == [ScaleRefused(5, IN_PARTS)]
    assert bench.view.wanted == 3


def test_it_is_known_for_one_from_its_first_part_on_until_its_last_one_serves(bench: Bench) -> None:
    assert bench.view.in_parts
    assert bench.view.parted is None
    through(bench)
    assert not bench.view.in_parts


def test_the_supervisor_is_not_upgraded_meanwhile(bench: Bench) -> None:
    serve(bench, 2)
    bench.feed(events.UpgradeRequested(9, RELOAD.origin, ""))
    [decided] = bench.all(effects.UpgradeDecided)
    assert "a roll in parts is under way" in decided.refused


def test_an_upgrade_that_waits_for_a_scan_is_refused_when_that_leads_to_parts() -> None:
    bench = Bench()
    bench.come_up(3)
    bench.feed(events.CutoverRequested(1, msgspec.structs.replace(RELOAD, surge=1, allow_partial=True)))
    bench.feed(events.UpgradeRequested(9, RELOAD.origin, ""), events.ImageRehearsed("2.0"))
    bench.find(snapshot(2, rolled=2))
    [decided] = bench.all(effects.UpgradeDecided)
    assert "a roll in parts is under way" in decided.refused
    through(bench)
    assert isinstance(bench.outcomes()[1], Committed)
    assert not bench.all(effects.ExecuteImage)


def test_a_dry_run_says_what_memory_a_part_needs_and_not_what_all_would() -> None:
    bench = Bench()
    bench.come_up(3)
    wish = msgspec.structs.replace(RELOAD, surge=2, allow_partial=True, dry_run=True)
    bench.feed(events.CutoverRequested(1, wish))
    found = Candidate(snapshot(2, rolled=2), ("changed",), memory=ExtraMemory(3, 1000))
    bench.feed(events.Scanned(2, found))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Planned)
    assert outcome.memory == ExtraMemory(2, 1000)


@pytest.mark.parametrize(("surge", "parts"), [(1, (1, 1, 1)), (2, (2, 1)), (3, ())])
def test_a_dry_run_says_how_many_workers_each_part_would_add(surge: int, parts: tuple[int, ...]) -> None:
    bench = Bench(Policy(numbers=6))
    bench.come_up(3)
    wish = msgspec.structs.replace(RELOAD, surge=surge, allow_partial=True, dry_run=True)
    bench.feed(events.CutoverRequested(1, wish))
    bench.feed(events.Scanned(2, Candidate(snapshot(2, rolled=2), ("changed",))))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Planned)
    assert outcome.parts == parts


def test_a_surge_that_is_no_less_than_the_workers_makes_no_parts() -> None:
    bench = Bench(Policy(numbers=6))
    bench.come_up(3)
    bench.feed(events.CutoverRequested(1, msgspec.structs.replace(RELOAD, surge=3, allow_partial=True)))
    bench.find(snapshot(2, rolled=2))
    assert len(new(bench)) == 3
    assert not bench.told(PartBegan)


def test_a_worker_of_a_part_that_is_killed_on_the_way_back_leaves_no_slot_behind(bench: Bench) -> None:
    refuse(bench)
    go_back(bench)
    [last] = new(bench)
    bench.feed(events.WorkerExited(last, -11))
    bench.fire(Timer(TimerKind.CHILD, last.slot))
    again = bench.workers[-1]
    bench.feed(events.WorkerForked(again, 77))
    bench.greet(again)
    bench.fire(Timer(TimerKind.CHILD, last.slot))
    bench.fire(HEARTBEAT)
    assert bench.view.parted is None
    bench.feed(events.StacksDumped(again, ""), events.WorkerExited(again, -9))
    assert {slot.rolled for slot in bench.view.slots} == {1}
    assert len(bench.view.slots) == 3
