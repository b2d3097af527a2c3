"""The plugins of a start and of a roll are rehearsed below the new zygote, before it forks a worker."""

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.cutover import State
from changeover.supervisor.core.entries import Origin, SlotRefusal, Trigger
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Action, Candidate, CutoverRequest, Outcome, Refused
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.supervisor.core.records.cutover import PhaseBegan
from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped
from changeover.supervisor.core.rehearsing import EXEMPT
from changeover.workers.protocol import messages
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import EMPTY
from tests.machines import RELOAD, Bench, snapshot, unit

POLICY = Policy(preflight=True, deadlines=Deadlines(preflight=7.0, zygote=20.0, boot=10.0))
SEGFAULT = SlotRefusal(-1, 0, Refusal(Stage.PREFLIGHT, Fault.CRASH, "ended by SIGSEGV", "plugin pricing", "load"))
ROLL = snapshot(2, rolled=2)
OVERDUE = Timer(TimerKind.PREFLIGHT, 2)


@pytest.fixture
def bench() -> Bench:
    """Epoch 1 serves, and somebody asked for a cutover."""
    bench = Bench(POLICY)
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    return bench


@pytest.fixture
def start() -> Bench:
    """Nothing was ever committed."""
    bench = Bench(POLICY)
    bench.boot()
    bench.forget()
    return bench


def refused(outcome: Outcome) -> Refused:
    assert isinstance(outcome, Refused)
    return outcome


def test_a_roll_is_rehearsed_below_its_own_zygote_and_forks_nobody_before_it_passed(bench: Bench) -> None:
    bench.find_only(ROLL)
    [started] = bench.all(effects.StartZygote)
    assert (bench.view.cutover, bench.all(effects.Preflight)) == (State.PRELOADING, [])
    bench.feed(events.ZygoteReady(started.cohort))
    assert bench.all(effects.Preflight) == [effects.Preflight(ROLL, EMPTY, started.cohort)]
    assert not bench.all(effects.Fork)
    bench.now += 0.04
    bench.feed(events.PreflightPassed(2, 3))
    assert bench.told(PreflightCompleted) == [PreflightCompleted(2, 0.04, 3)]
    assert [fork.worker.cohort for fork in bench.all(effects.Fork)] == [started.cohort] * 2
    assert len(bench.all(effects.StartZygote)) == 1
    phases = [record.phase for record in bench.told(PhaseBegan)]
    assert phases == ["preloading", "preflighting", "preparing"]


def test_a_roll_whose_new_plugins_are_all_exempt_is_told_to_go_unrehearsed(bench: Bench) -> None:
    plugins = tuple(each.key.ref.name for each in ROLL.units)
    bench.feed(events.Scanned(2, Candidate(ROLL, ("changed",), exempt=plugins)))
    assert not bench.all(effects.Preflight)
    assert bench.told(PreflightSkipped) == [PreflightSkipped(2, EXEMPT)]


def test_a_roll_that_brings_nothing_new_is_not_told_to_go_unrehearsed(bench: Bench) -> None:
    served = bench.view.committed
    assert served is not None
    bench.find_only(msgspec.structs.replace(served, epoch=2, rolled=2))
    assert (bench.all(effects.Preflight), bench.told(PreflightSkipped)) == ([], [])


def test_a_roll_is_told_what_it_has_of_what_served(bench: Bench) -> None:
    bench.find(snapshot(2, unit("pricing", 1), unit("tax", 2), rolled=2))
    [preflight] = bench.all(effects.Preflight)
    assert [str(ref) for ref in preflight.served] == ["plugin pricing"]


def test_making_the_zygote_counts_for_the_workers_and_not_for_the_rehearsal(bench: Bench) -> None:
    bench.find_only(ROLL)
    bench.now += 0.5
    bench.preload()
    bench.now += 0.25
    bench.feed(events.PreflightRefused(2, (SEGFAULT,)))
    durations = bench.outcomes()[1].durations
    assert (durations.preflight, durations.prepare, durations.total) == (0.25, 0.5, 0.75)


def test_a_refusal_ends_the_zygote_and_no_worker_of_it_ever_was(bench: Bench) -> None:
    bench.find(ROLL)
    bench.feed(events.PreflightRefused(2, (SEGFAULT,)))
    assert refused(bench.outcomes()[1]).refusals == (SEGFAULT,)
    assert bench.all(effects.StopZygote) == [effects.StopZygote(bench.cohorts[-1])]
    assert not bench.all(effects.Fork)
    assert [str(each) for each in bench.view.quarantine] == ["pricing 1"]


def test_a_roll_of_plugins_that_serve_is_not_rehearsed(bench: Bench) -> None:
    serving = unit("pricing", 1)
    bench.find(msgspec.structs.replace(snapshot(2, serving, rolled=2), digest="another application"))
    assert not bench.all(effects.Preflight)
    assert len(bench.all(effects.Fork)) == 2


@pytest.mark.parametrize(("trigger", "rehearsed"), [(Trigger.RESCUE, False), (Trigger.COMMAND, True)])
def test_a_rescue_needs_nobodys_agreement_and_a_rollback_by_roll_does(
    bench: Bench, trigger: Trigger, rehearsed: bool
) -> None:
    bench.fire(Timer(TimerKind.SCAN, 2))
    bench.feed(events.CutoverRequested(2, CutoverRequest(Origin(trigger), Action.ROLLBACK)))
    bench.find(ROLL)
    assert bool(bench.all(effects.Preflight)) is rehearsed


def test_other_addresses_are_bound_first_and_once(start: Bench) -> None:
    start.find_only(msgspec.structs.replace(snapshot(1), listen=("shop:2",)))
    assert (start.all(effects.Bind), start.all(effects.StartZygote)) == ([effects.Bind(1, ("shop:2",))], [])
    start.feed(events.Bound(1))
    start.preload()
    start.feed(events.PreflightPassed(1))
    assert len(start.all(effects.Fork)) == 2
    assert len(start.all(effects.Bind)) == 1


def test_addresses_that_cannot_be_had_refuse_it_before_anything_is_made(start: Bench) -> None:
    start.find_only(msgspec.structs.replace(snapshot(1), listen=("shop:2",)))
    start.feed(events.BindRefused(1, Refusal(Stage.PREPARE, Fault.RESOURCE, "in use")))
    assert [exit.reason for exit in start.all(effects.Exit)] == ["in use"]
    assert not start.all(effects.StartZygote)


def test_a_zygote_that_cannot_preload_refuses_the_roll(bench: Bench) -> None:
    bench.find_only(ROLL)
    why = Refusal(Stage.LOAD, Fault.CRASH, "ImportError: shop")
    bench.feed(events.ZygoteLost(bench.cohorts[-1], "cannot be imported", why))
    assert refused(bench.outcomes()[1]).refusals == (SlotRefusal(-1, 0, why),)


def test_a_zygote_that_dies_meanwhile_refuses_the_roll_and_ends_the_rehearsal(bench: Bench) -> None:
    bench.find(ROLL)
    bench.feed(events.ZygoteLost(bench.cohorts[-1], "it ended with status -9"))
    assert "status -9" in refused(bench.outcomes()[1]).reason
    assert bench.all(effects.EndPreflight) == [effects.EndPreflight(2)]


def test_a_zygote_that_never_comes_is_waited_for_no_longer_than_for_workers(bench: Bench) -> None:
    bench.find_only(ROLL)
    assert effects.SetTimer(OVERDUE, 30.0) in bench.wanted
    bench.fire(OVERDUE)
    [absent] = refused(bench.outcomes()[1]).refusals
    assert (absent.refusal.stage, absent.refusal.fault) == (Stage.PREPARE, Fault.TIMEOUT)
    assert absent.refusal.summary == "no zygote was ready for it within 30 s"


def test_a_stop_while_the_zygote_is_made_ends_both(bench: Bench) -> None:
    bench.find_only(ROLL)
    bench.feed(events.StopRequested())
    assert "stopping" in refused(bench.outcomes()[1]).reason
    assert effects.CancelTimer(OVERDUE) in bench.wanted
    assert not bench.all(effects.EndPreflight)
    assert effects.StopZygote(bench.cohorts[-1]) in bench.wanted


def test_another_number_of_workers_that_is_wanted_meanwhile_is_what_it_gets(bench: Bench) -> None:
    bench.find(ROLL)
    bench.feed(events.ScaleRequested(3))
    bench.forget()
    bench.feed(events.PreflightPassed(2))
    assert len([fork for fork in bench.all(effects.Fork) if fork.rolled == 2]) == 3


@pytest.mark.parametrize("fault", [Fault.CRASH, Fault.RESOURCE])  # a signal to itself, or memory that it may not have
def test_a_start_is_rehearsed_and_ends_with_what_a_rehearsal_refuses(start: Bench, fault: Fault) -> None:
    start.find(snapshot(1))
    assert not start.all(effects.Fork)
    refusal = msgspec.structs.replace(SEGFAULT.refusal, fault=fault)
    start.feed(events.PreflightRefused(1, (msgspec.structs.replace(SEGFAULT, refusal=refusal),)))
    for cohort in start.cohorts:
        start.feed(events.ZygoteLost(cohort, "it was told to leave"))
    assert not start.all(effects.Fork)
    [ended] = start.all(effects.Exit)
    assert (ended.code, "SIGSEGV" in ended.reason) == (4, True)


def test_a_start_whose_zygote_dies_meanwhile_is_rehearsed_below_the_next_one(start: Bench) -> None:
    start.find(snapshot(1))
    [first] = start.all(effects.Preflight)
    start.feed(events.ZygoteLost(first.cohort, "it ended with status -9"))
    assert start.all(effects.EndPreflight) == [effects.EndPreflight(1)]
    assert start.view.cutover is State.PRELOADING
    start.feed(events.PreflightRefused(1, (SEGFAULT,)))
    assert start.view.cutover is State.PRELOADING
    start.fire(Timer(TimerKind.ZYGOTE, first.cohort))
    start.preload()
    _, second = start.all(effects.Preflight)
    assert second == effects.Preflight(snapshot(1), EMPTY, start.cohorts[-1])
    assert second.cohort != first.cohort
    start.feed(events.PreflightPassed(1))
    assert {fork.worker.cohort for fork in start.all(effects.Fork)} == {second.cohort}


def test_zygotes_that_are_lost_in_every_rehearsal_of_a_start_are_not_made_for_ever(start: Bench) -> None:
    start.find_only(snapshot(1))
    overdue, left = Timer(TimerKind.PREFLIGHT, 1), []
    for _ in range(2):
        cohort = start.cohorts[-1]
        start.feed(events.ZygoteReady(cohort))
        start.forget()
        start.now += 20.0
        start.feed(events.ZygoteLost(cohort, "it ended with status -9"))
        left += [each.after for each in start.all(effects.SetTimer) if each.timer == overdue]
        start.fire(Timer(TimerKind.ZYGOTE, cohort))
    assert left == [10.0, 0.0]
    start.fire(overdue)
    start.feed(events.ZygoteLost(start.cohorts[-1], "it was told to leave"))
    assert ["status -9" in ended.reason for ended in start.all(effects.Exit)] == [True]


def test_a_start_without_plugins_is_not_rehearsed(start: Bench) -> None:
    start.find(msgspec.structs.replace(snapshot(1), units=()))
    assert not start.all(effects.Preflight)
    assert len(start.all(effects.Fork)) == 2


def test_nobody_rehearses_a_start_where_the_policy_does_not_want_it() -> None:
    start = Bench(Policy(preflight=False))
    start.boot()
    start.find(snapshot(1))
    assert not start.all(effects.Preflight)
    assert len(start.all(effects.Fork)) == 2


def test_workers_that_take_the_places_of_others_cost_no_rehearsal(bench: Bench) -> None:
    bench.feed(events.WorkerExited(bench.workers[0], -11))
    bench.fire(Timer(TimerKind.CHILD, bench.workers[0].slot))
    assert bench.all(effects.Fork)
    assert not bench.all(effects.Preflight)
    assert not bench.said(messages.Prepare)
