"""What is to be swapped in is rehearsed before any worker is asked; what is refused reaches none."""

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.cutover import State
from changeover.supervisor.core.entries import EpochGiven, Origin, SlotRefusal, Trigger
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Action, Candidate, CutoverRequest, Outcome, Refused
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.supervisor.core.records.cutover import CutoverAborted
from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped
from changeover.supervisor.core.rehearsing import NOBODY
from changeover.workers.protocol import messages
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.machines import RELOAD, Bench, resourced, snapshot, unit

SEGFAULT = Refusal(Stage.PREFLIGHT, Fault.CRASH, "ended by SIGSEGV", "plugin pricing", "on_load")
OVERDUE = Timer(TimerKind.PREFLIGHT, 2)


@pytest.fixture
def bench() -> Bench:
    """Epoch 1 serves, and somebody asked for a cutover."""
    bench = Bench(Policy(preflight=True, deadlines=Deadlines(preflight=7.0)))
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    return bench


def refused(outcome: Outcome) -> Refused:
    assert isinstance(outcome, Refused)
    return outcome


def test_workers_are_asked_when_it_has_passed_and_not_before(bench: Bench) -> None:
    bench.find(snapshot(2))
    assert bench.all(effects.Preflight) == [effects.Preflight(snapshot(2), snapshot(1), bench.cohorts[-1])]
    assert bench.view.cutover is State.PREFLIGHTING
    assert not bench.said(messages.Prepare)
    bench.now += 0.04
    bench.feed(events.PreflightPassed(2, 3, 1, 1, ("leaks a thread",)))
    assert bench.told(PreflightCompleted) == [PreflightCompleted(2, 0.04, 3, 1, 1, ("leaks a thread",))]
    assert bench.said(messages.Prepare)
    assert not bench.all(effects.EndPreflight)


def test_its_time_is_counted_apart_from_that_of_the_workers(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.now += 0.5
    bench.feed(events.PreflightPassed(2))
    bench.now += 0.25
    bench.prepare(2)
    bench.activate(2)
    durations = bench.outcomes()[1].durations
    assert (durations.preflight, durations.prepare, durations.total) == (0.5, 0.25, 0.75)


def test_a_refusal_ends_it_and_no_worker_ever_hears_of_the_candidate(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.feed(events.PreflightRefused(2, (SlotRefusal(-1, 0, SEGFAULT),)))
    outcome = refused(bench.outcomes()[1])
    assert outcome.reason == "preflight: plugin pricing on_load: ended by SIGSEGV"
    assert outcome.refusals == (SlotRefusal(-1, 0, SEGFAULT),)
    assert outcome.durations.prepare == 0.0
    assert bench.told(CutoverAborted)[0].refusals == outcome.refusals
    assert not bench.said(messages.Prepare)
    assert [str(each) for each in bench.view.quarantine] == ["pricing 1"]


def test_what_the_configuration_exempts_and_what_goes_back_is_told_on(bench: Bench) -> None:
    back = CutoverRequest(Origin(Trigger.COMMAND), Action.ROLLBACK)
    bench.fire(Timer(TimerKind.SCAN, 2))
    bench.feed(events.CutoverRequested(2, back))
    bench.feed(events.Scanned(2, Candidate(snapshot(2), exempt=("geo",))))
    [preflight] = bench.all(effects.Preflight)
    assert (preflight.exempt, preflight.goes_back, preflight.served) == (("geo",), True, ())


def test_a_rehearsal_is_told_of_which_plugins_only_resources_differ(bench: Bench) -> None:
    bench.find(resourced(snapshot(2), "pricing1"))
    [preflight] = bench.all(effects.Preflight)
    assert [str(ref) for ref in preflight.other_resources] == ["plugin pricing"]


@pytest.mark.parametrize(
    ("request_", "afresh"),
    [
        (RELOAD, False),
        (msgspec.structs.replace(RELOAD, force=True), True),
        (CutoverRequest(Origin(Trigger.COMMAND), Action.ROLLBACK), True),
        (CutoverRequest(Origin(Trigger.COMMAND), Action.EDIT), False),
    ],
)
def test_who_goes_back_or_uses_force_goes_on_without_state_that_is_not_given(
    bench: Bench, request_: CutoverRequest, afresh: bool
) -> None:
    bench.fire(Timer(TimerKind.SCAN, 2))
    bench.feed(events.CutoverRequested(2, request_))
    bench.find(msgspec.structs.replace(snapshot(2), afresh=not afresh))
    [preflight] = bench.all(effects.Preflight)
    [given] = [entry for entry in bench.entries() if isinstance(entry, EpochGiven) and entry.epoch == 2]
    bench.feed(events.PreflightPassed(2))
    [asked, *_] = bench.said(messages.Prepare)
    assert [each.afresh for each in (preflight.candidate, given.candidate, asked.candidate)] == [afresh] * 3


@pytest.mark.parametrize("action", [Action.ROLLBACK, Action.EDIT])
def test_what_comes_from_elsewhere_than_the_disk_is_rehearsed_too(bench: Bench, action: Action) -> None:
    bench.fire(Timer(TimerKind.SCAN, 2))
    bench.feed(events.CutoverRequested(2, CutoverRequest(Origin(Trigger.COMMAND), action)))
    bench.find(snapshot(2))
    assert [effect.candidate.epoch for effect in bench.all(effects.Preflight)] == [2]


def test_what_serves_already_under_another_number_builds_nothing_and_is_not_rehearsed(bench: Bench) -> None:
    bench.fire(Timer(TimerKind.SCAN, 2))
    bench.feed(events.CutoverRequested(2, msgspec.structs.replace(RELOAD, force=True)))
    bench.find(snapshot(2, unit("pricing", 1)))
    assert not bench.all(effects.Preflight)
    assert bench.view.cutover is State.PREPARING


def test_without_a_zygote_nobody_can_rehearse_and_the_reason_may_pass(bench: Bench) -> None:
    bench.feed(events.ZygoteLost(bench.cohorts[-1], "exited with status 1"))
    bench.find_only(snapshot(2))
    assert not bench.all(effects.Preflight)
    assert refused(bench.outcomes()[1]).refusals == (SlotRefusal(-1, 0, NOBODY),)
    assert bench.view.quarantine == ()


def test_what_serves_of_an_older_program_is_asked_without(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.feed(events.PreflightSkipped(2, "an older program"))
    assert bench.told(PreflightSkipped) == [PreflightSkipped(2, "an older program")]
    assert bench.said(messages.Prepare)


def test_one_of_which_nothing_is_heard_is_ended_and_may_be_tried_again(bench: Bench) -> None:
    bench.find(snapshot(2))
    assert effects.SetTimer(OVERDUE, 7.0) in bench.wanted
    bench.fire(OVERDUE)
    [silent] = refused(bench.outcomes()[1]).refusals
    assert (silent.refusal.stage, silent.refusal.fault) == (Stage.PREFLIGHT, Fault.TIMEOUT)
    assert silent.refusal.summary == "nothing was heard of it within 7 s"
    assert bench.all(effects.EndPreflight) == [effects.EndPreflight(2)]
    assert bench.view.quarantine == ()


def test_a_stop_ends_it_and_what_it_says_later_is_about_nothing(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.feed(events.StopRequested())
    assert bench.all(effects.EndPreflight) == [effects.EndPreflight(2)]
    assert effects.CancelTimer(OVERDUE) in bench.wanted
    assert "stopping" in refused(bench.outcomes()[1]).reason
    bench.forget()
    bench.feed(events.PreflightPassed(2), events.PreflightRefused(2, (SlotRefusal(-1, 0, SEGFAULT),)))
    assert not bench.told(PreflightCompleted)
    assert not bench.all(effects.Persist)


def test_one_that_has_answered_is_not_ended_when_the_cutover_fails_later(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.feed(events.PreflightPassed(2))
    bench.hear(bench.workers[0], messages.Refused, 2, msgspec.structs.replace(SEGFAULT, stage=Stage.LOAD))
    assert isinstance(bench.outcomes()[1], Refused)
    assert not bench.all(effects.EndPreflight)


def test_wishes_that_come_meanwhile_are_for_the_next(bench: Bench) -> None:
    bench.find(snapshot(2))
    bench.feed(events.CutoverRequested(2, RELOAD), events.CutoverRequested(3, RELOAD))
    bench.feed(events.PreflightRefused(2, (SlotRefusal(-1, 0, SEGFAULT),)))
    assert list(bench.outcomes()) == [1]
    assert [effect.epoch for effect in bench.all(effects.Scan)] == [2, 3]


def test_nobody_rehearses_where_the_policy_does_not_want_it() -> None:
    bench = Bench(Policy(preflight=False))
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    assert not bench.all(effects.Preflight)
    assert bench.said(messages.Prepare)
