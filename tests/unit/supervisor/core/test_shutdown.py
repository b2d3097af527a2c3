import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.events import Timer, TimerKind, Urgency
from changeover.supervisor.core.outcome import Refused, Undecided
from changeover.supervisor.core.records.staffing import ZygoteLost
from changeover.supervisor.core.records.worker import WorkerKilled
from changeover.supervisor.core.shutdown import State
from changeover.supervisor.telemetry.wording import word
from changeover.workers.protocol import messages
from tests.machines import RELOAD, Bench, snapshot

DEADLINE = Timer(TimerKind.SHUTDOWN)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    return bench


def end_workers(bench: Bench) -> None:
    for worker in bench.living():
        bench.feed(events.WorkerExited(worker, 0))


def test_the_zygote_goes_after_the_last_worker_and_the_supervisor_after_the_zygote(bench: Bench) -> None:
    bench.feed(events.StopRequested())
    assert not bench.all(effects.StopZygote)
    end_workers(bench)
    assert bench.all(effects.StopZygote) == [effects.StopZygote(1)]
    assert not bench.all(effects.Exit)
    bench.feed(events.ZygoteLost(1, "ended"))
    assert [end.code for end in bench.all(effects.Exit)] == [0]
    assert [lost.expected for lost in bench.told(ZygoteLost)] == [True]


def test_a_second_stop_is_more_urgent(bench: Bench) -> None:
    for _ in range(3):
        bench.feed(events.StopRequested(Urgency.GRACEFUL))
    sent = [effect.signal for effect in bench.all(effects.Signal) if effect.worker == bench.workers[0]]
    assert sent == [ProcessSignal.TERM, ProcessSignal.QUIT, ProcessSignal.KILL]


def test_a_quick_stop_skips_the_graceful_part(bench: Bench) -> None:
    bench.feed(events.StopRequested(Urgency.QUICK))
    assert {effect.signal for effect in bench.all(effects.Signal)} == {ProcessSignal.QUIT}


def test_a_worker_whose_stacks_are_not_there_when_a_stop_kills_it_is_said_to_have_none_and_why(bench: Bench) -> None:
    bench.feed(events.StopRequested(Urgency.QUICK))
    bench.fire(Timer(TimerKind.CHILD, 0))
    bench.fire(Timer(TimerKind.CHILD, 1))
    bench.feed(events.StacksDumped(bench.workers[1], "in a loop"))
    bench.fire(DEADLINE)
    other, late = bench.told(WorkerKilled)
    assert (other.stacks, other.no_stacks) == ("in a loop", "")
    assert word(late).line.endswith("did not leave within 5 s; no stacks: they were not written in time")
    bench.feed(events.StacksDumped(bench.workers[0], "in a loop"))
    assert len(bench.told(WorkerKilled)) == 2


def test_a_worker_that_is_killed_because_somebody_asked_for_that_has_no_stacks_to_miss(bench: Bench) -> None:
    for _ in range(3):
        bench.feed(events.StopRequested(Urgency.GRACEFUL))
    assert [killed.no_stacks for killed in bench.told(WorkerKilled)] == ["", ""]


def test_what_cannot_be_ended_is_named_and_left(bench: Bench) -> None:
    bench.feed(events.StopRequested())
    for _ in range(4):
        bench.fire(DEADLINE)
    assert bench.view.stopping is State.GONE
    end = bench.all(effects.Exit)[0]
    assert (end.code, end.reason) == (1, "these processes could not be ended: 100, 101")


def test_no_slot_is_filled_any_more(bench: Bench) -> None:
    bench.feed(events.StopRequested())
    bench.feed(events.WorkerExited(bench.workers[0], -9))
    assert not bench.all(effects.Fork)


def test_a_cutover_that_can_be_given_up_is_and_waiting_requests_are_refused(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    bench.feed(events.CutoverRequested(2, RELOAD))
    bench.feed(events.StopRequested())
    bench.feed(events.CutoverRequested(3, RELOAD))
    assert [type(outcome) for outcome in bench.outcomes().values()] == [Refused, Refused, Refused]


def test_a_cutover_whose_abort_is_not_on_disk_at_the_end_is_told_as_refused_by_the_stop(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    bench.writes = False
    bench.hear(bench.workers[0], messages.Prepared, 2)
    bench.feed(events.StopRequested())
    end_workers(bench)
    bench.feed(events.ZygoteLost(1, "ended"))
    assert bench.outcomes() == {}
    bench.fire(DEADLINE)
    assert bench.view.stopping is State.GONE
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    assert (outcome.epoch, outcome.serving) == (2, 1)
    assert outcome.reason == "the service is stopping: asked to stop"


def test_a_cutover_that_is_in_doubt_at_the_end_is_told_as_undecided(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    bench.writes = False
    bench.prepare(2)
    bench.feed(events.PersistFailed(bench.all(effects.Persist)[-1].ticket, "input/output error"))
    bench.feed(events.StopRequested())
    end_workers(bench)
    bench.feed(events.ZygoteLost(1, "ended"))
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Undecided)
    assert "input/output error" in outcome.reason
