import msgspec
import pytest

from changeover.supervisor.core import cutover, effects, events
from changeover.supervisor.core.cutover import State
from changeover.supervisor.core.edits import RemovePlugin
from changeover.supervisor.core.entries import (
    Aborted,
    Committed,
    EpochGiven,
    Origin,
    PreparingBegun,
    Retired,
    SlotRefusal,
    Trigger,
)
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    CutoverRequest,
    HeldBack,
    NeedsRoll,
    NothingChanged,
    Planned,
    Refused,
    RollNeeded,
    ScanRefused,
    SilentWorkers,
    Unchanged,
)
from changeover.supervisor.core.outcome import Committed as CommittedOutcome
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records import request
from changeover.supervisor.core.records.cutover import PhaseBegan
from changeover.supervisor.core.records.request import RequestRefused
from changeover.supervisor.core.scanning import HELD
from changeover.workers.protocol import messages
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.machines import RELOAD, Bench, snapshot, unit

NO = Refusal(Stage.LOAD, Fault.CONTRACT, "does not load", unit="plugin pricing")


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    return bench


def test_a_number_is_on_disk_before_anybody_is_asked_and_a_decision_before_anybody_is_told(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.prepare(2)
    bench.activate(2)
    acts: list[type] = []
    for effect in bench.wanted:
        if isinstance(effect, effects.Persist) and not isinstance(effect.entry, Retired):
            acts.append(type(effect.entry))
        elif isinstance(effect, effects.Broadcast):
            acts.append(type(effect.message))
        elif isinstance(effect, effects.StoreCell):
            acts.append(effects.StoreCell)
    assert acts == [EpochGiven, PreparingBegun, messages.Prepare, Committed, effects.StoreCell, messages.Commit]


def test_nobody_is_asked_before_the_number_is_on_disk(bench: Bench) -> None:
    bench.writes = False
    bench.find(snapshot(2))
    assert bench.view.cutover is State.REGISTERING
    assert not bench.said(messages.Prepare)


def test_the_outcome_comes_with_the_last_worker_that_follows(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.prepare(2)
    bench.hear(bench.workers[0], messages.Activated, 2)
    assert bench.outcomes() == {}
    bench.hear(bench.workers[1], messages.Activated, 2)
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, CommittedOutcome)
    assert (outcome.serving, outcome.previous, outcome.workers) == (2, 1, 2)


def test_a_heartbeat_of_the_new_epoch_is_as_good_as_activated(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.prepare(2)
    for worker in bench.workers:
        bench.hear(worker, messages.Beat, 2, 9)
    assert isinstance(bench.outcomes()[1], CommittedOutcome)


def test_a_refusal_aborts_with_the_workers_own_words(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.hear(bench.workers[1], messages.Refused, 2, NO)
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert (outcome.serving, outcome.epoch) == (1, 2)
    assert outcome.reason == "slot 1: plugin pricing: does not load"
    assert outcome.refusals == (SlotRefusal(1, 101, NO),)
    assert bench.entries()[-1] == Aborted(2, outcome.reason, outcome.refusals)
    assert bench.said(messages.Abort)[0].stamp.epoch == 2


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (NothingChanged(("geo is disabled",)), Unchanged),
        (RollNeeded(("app: 1 file",)), NeedsRoll),
        (ScanRefused((SlotRefusal(-1, 0, NO),)), Refused),
        (Candidate(snapshot(2, unit("pricing", 1))), Unchanged),
        (Candidate(snapshot(9)), Refused),
    ],
)
def test_a_scan_that_finds_no_candidate_ends_the_request_without_a_number(
    bench: Bench, result: NothingChanged, kind: type
) -> None:
    bench.feed(events.Scanned(2, result))
    assert type(bench.outcomes()[1]) is kind
    assert bench.entries() == []
    assert bench.view.given == 1


def test_a_rollback_to_what_serves_says_that_it_is_about_no_disk(bench: Bench) -> None:
    bench.feed(events.Scanned(2, NothingChanged()))
    bench.feed(events.CutoverRequested(2, CutoverRequest(Origin(Trigger.COMMAND), Action.ROLLBACK, to=1)))
    bench.feed(events.Scanned(2, NothingChanged()))
    assert [record.action for record in bench.told(request.NothingChanged)] == [Action.RELOAD, Action.ROLLBACK]
    outcome = bench.outcomes()[2]
    assert isinstance(outcome, Unchanged)
    assert outcome.action is Action.ROLLBACK


def test_a_dry_run_says_what_would_change() -> None:
    bench = Bench()
    bench.come_up()
    bench.feed(events.CutoverRequested(1, msgspec.structs.replace(RELOAD, dry_run=True)))
    bench.find(snapshot(2))
    assert bench.outcomes()[1] == Planned(1, bench.outcomes()[1].durations, snapshot(2), ("changed",))
    assert bench.entries() == []


def test_a_wish_for_another_epoch_is_refused() -> None:
    bench = Bench()
    bench.come_up()
    bench.feed(events.CutoverRequested(1, CutoverRequest(Origin(Trigger.API), if_epoch=4)))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert outcome.reason == "epoch 1 is committed, not 4"


def test_a_rollback_holds_what_it_sets_aside(bench: Bench) -> None:
    bench.feed(events.Scanned(2, NothingChanged()))
    bench.feed(events.CutoverRequested(2, CutoverRequest(Origin(Trigger.COMMAND), Action.ROLLBACK)))
    bench.feed(events.Scanned(2, Candidate(snapshot(2), (), restores=1)))
    given = bench.entries()[0]
    assert isinstance(given, EpochGiven)
    assert (given.restores, [(str(each), each.removed) for each in given.held]) == (1, [("pricing 1", False)])


def test_a_removal_holds_what_it_takes_out_of_service(bench: Bench) -> None:
    bench.feed(events.Scanned(2, NothingChanged()))
    bench.feed(
        events.CutoverRequested(2, CutoverRequest(Origin(Trigger.COMMAND), Action.EDIT, edit=RemovePlugin("pricing")))
    )
    bench.feed(events.Scanned(2, Candidate(snapshot(2))))
    given = bench.entries()[0]
    assert isinstance(given, EpochGiven)
    assert (given.restores, [(str(each), each.removed) for each in given.held]) == (None, [("pricing 1", True)])


def test_a_candidate_that_brings_back_what_is_held_is_refused_unless_it_is_forced(bench: Bench) -> None:
    bench.feed(events.Scanned(2, NothingChanged()))
    bench.feed(events.CutoverRequested(2, CutoverRequest(Origin(Trigger.COMMAND), Action.ROLLBACK)))
    bench.feed(events.Scanned(2, Candidate(snapshot(2), (), restores=1)))
    bench.prepare(2)
    bench.activate(2)
    back = snapshot(3, unit("geo", 3), unit("pricing", 1))
    bench.feed(events.CutoverRequested(3, RELOAD))
    bench.find(back)
    refused = bench.outcomes()[3]
    assert isinstance(refused, Refused)
    assert "is held" in refused.reason
    bench.feed(events.CutoverRequested(4, msgspec.structs.replace(RELOAD, force=True)))
    bench.find(back)
    bench.prepare(3)
    bench.activate(3)
    assert isinstance(bench.outcomes()[4], CommittedOutcome)
    assert bench.view.held == frozenset()


def test_a_scan_that_finds_only_what_is_held_ends_refused_and_says_what(bench: Bench) -> None:
    bench.feed(events.Scanned(2, HeldBack(("not taken: prices 1.1.0",))))
    refused = bench.outcomes()[1]
    assert isinstance(refused, Refused)
    assert (refused.reason, refused.summary) == (HELD, ("not taken: prices 1.1.0",))
    assert bench.told(RequestRefused)[0].summary == ("not taken: prices 1.1.0",)


def test_a_refused_scan_keeps_what_it_did_not_take_apart_from_the_reasons(bench: Bench) -> None:
    bench.feed(events.Scanned(2, ScanRefused((SlotRefusal(-1, 0, NO),), ("not taken: prices 1.1.0",))))
    refused = bench.outcomes()[1]
    assert isinstance(refused, Refused)
    assert refused.refusals == (SlotRefusal(-1, 0, NO),)
    assert refused.summary == ("not taken: prices 1.1.0",)


def test_a_scan_that_takes_too_long_is_given_up(bench: Bench) -> None:
    bench.fire(Timer(TimerKind.SCAN, 2))
    assert isinstance(bench.outcomes()[1], Refused)
    bench.find(snapshot(2))
    assert bench.entries() == []


def test_a_journal_that_cannot_take_the_number_refuses_and_burns_it(bench: Bench) -> None:
    bench.writes = False
    bench.find(snapshot(2))
    bench.feed(events.PersistFailed(bench.all(effects.Persist)[-1].ticket, "no space left on device"))
    assert bench.view.cutover is State.ABORTING
    bench.writes = True
    bench.feed(events.Persisted(bench.all(effects.Persist)[-1].ticket))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert "no space left on device" in outcome.reason
    assert bench.view.given == 2


def test_an_unanswered_prepare_is_repeated_to_those_who_owe_an_answer(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.hear(bench.workers[0], messages.Prepared, 2)
    bench.forget()
    bench.fire(Timer(TimerKind.REPEAT))
    repeated = [effect.worker for effect in bench.all(effects.Unicast) if isinstance(effect.message, messages.Prepare)]
    assert repeated == [bench.workers[1]]


def test_every_state_but_idle_moves_on_by_a_deadline_or_an_answer() -> None:
    assert all(causes for state, causes in cutover.TABLE.transitions.items() if state is not State.IDLE)


def test_no_way_leads_from_behind_the_point_of_no_return_to_a_vote() -> None:
    behind, reached = [State.DECIDING], {State.DECIDING}
    while behind:
        for following in cutover.TABLE.transitions[behind.pop()].values():
            if following not in reached | {State.IDLE}:
                reached.add(following)
                behind.append(following)
    assert reached == {State.DECIDING, State.IN_DOUBT, State.ACTIVATING, State.ABORTING}


def test_late_answers_are_about_nothing_any_more(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.hear(bench.workers[1], messages.Refused, 2, NO)
    bench.forget()
    bench.hear(bench.workers[0], messages.Prepared, 2)
    bench.feed(events.Reread(2, Aborted(2, "x")), events.PreflightPassed(2))
    assert not bench.all(effects.Persist)
    assert not bench.told(PhaseBegan)


def test_workers_build_in_waves_so_that_the_others_serve_undisturbed() -> None:
    bench = Bench(Policy(wave=1))
    bench.come_up(slots=3)
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    asked = []
    while bench.view.cutover is State.PREPARING:
        told = [effect.worker for effect in bench.all(effects.Unicast) if isinstance(effect.message, messages.Prepare)]
        asked.append(told)
        bench.forget()
        bench.hear(told[-1], messages.Prepared, 2)
    assert asked == [[worker] for worker in bench.living()]
    assert bench.view.cutover is State.ACTIVATING


def test_only_those_whose_turn_had_come_are_blamed_for_silence() -> None:
    bench = Bench(Policy(wave=1))
    bench.come_up(slots=2)
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.fire(Timer(TimerKind.PREPARE, 2))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert [refusal.slot for refusal in outcome.refusals] == [bench.workers[0].slot]


def test_who_comes_after_one_that_was_killed_for_its_silence_takes_nobodys_turn_and_is_not_waited_for() -> None:
    bench = Bench(Policy(wave=1, on_silent_workers=SilentWorkers.KILL))
    bench.come_up(slots=2)
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    silent, waits = bench.living()
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.feed(events.StacksDumped(silent, "in a loop"))
    bench.feed(events.WorkerExited(silent, -9))
    bench.fire(Timer(TimerKind.CHILD, silent.slot))
    bench.be_born()
    bench.greet(bench.living()[0])
    told = [effect.worker for effect in bench.all(effects.Unicast) if isinstance(effect.message, messages.Prepare)]
    assert told == [silent, waits]
    bench.hear(waits, messages.Prepared, 2)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]


def test_where_everybody_was_killed_for_silence_those_who_come_next_have_the_vote() -> None:
    bench = Bench(Policy(on_silent_workers=SilentWorkers.KILL))
    bench.come_up(slots=1)
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    [silent] = bench.living()
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.feed(events.StacksDumped(silent, "in a loop"))
    bench.feed(events.WorkerExited(silent, -9))
    bench.fire(Timer(TimerKind.CHILD, silent.slot))
    bench.be_born()
    [came] = bench.living()
    bench.greet(came)
    bench.feed(events.ScaleRequested(1))  # votes are counted
    assert not bench.all(effects.StoreCell)
    bench.hear(came, messages.Prepared, 2)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]
