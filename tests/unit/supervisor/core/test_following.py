"""Who is waited for once an epoch is committed, and for how long."""

import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Committed, SilentWorkers
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.supervisor.core.records.worker import WorkerServing
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from tests.machines import RELOAD, Bench, snapshot

FOLLOW, BUILD = Timer(TimerKind.ACTIVATE, 2), Timer(TimerKind.CHILD, 1)


@pytest.fixture
def undecided() -> Bench:
    """Of two workers one prepared and the other was killed; its slot's next one came before the commit is on disk."""
    bench = Bench(Policy(on_silent_workers=SilentWorkers.KILL))
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    bench.hear(stays(bench), messages.Prepared, 2)
    bench.now += Deadlines().prepare
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.writes = False
    bench.feed(events.StacksDumped(comes(bench), "in a loop"))
    bench.feed(events.WorkerExited(comes(bench), -9))
    bench.fire(Timer(TimerKind.CHILD, 1))
    bench.be_born()
    bench.greet(comes(bench))
    return bench


@pytest.fixture
def bench(undecided: Bench) -> Bench:
    """The same, and the commit is on disk."""
    return decided(undecided)


@pytest.fixture
def serving(undecided: Bench) -> Bench:
    """The same, where who came serves what was committed when it came, and builds what is committed now."""
    undecided.hear(comes(undecided), messages.Activated, 1)
    assert state(undecided) is State.SERVING
    return decided(undecided)


def decided(bench: Bench) -> Bench:
    [commit] = [effect for effect in bench.all(effects.Persist) if effect.entry == bench.entries()[-1]]
    bench.writes = True
    bench.forget()
    bench.feed(events.Persisted(commit.ticket))
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]
    return bench


def stays(bench: Bench) -> WorkerId:
    return bench.living()[0]


def comes(bench: Bench) -> WorkerId:
    return bench.living()[1]


def last_wait(bench: Bench, timer: Timer = FOLLOW) -> float:
    return [effect.after for effect in bench.all(effects.SetTimer) if effect.timer == timer][-1]


def state(bench: Bench) -> State:
    return bench.view.slots[1].state


def ended(bench: Bench) -> Committed:
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Committed)
    return outcome


def test_who_came_since_the_vote_is_waited_for_while_all_have_time_to_follow(bench: Bench) -> None:
    bench.hear(stays(bench), messages.Activated, 2)
    assert bench.outcomes() == {}
    bench.hear(comes(bench), messages.Activated, 2)
    assert (ended(bench).workers, ended(bench).missing) == (2, ())


def test_who_came_since_the_vote_and_builds_for_ever_is_named_and_keeps_nobody_waiting(bench: Bench) -> None:
    bench.hear(stays(bench), messages.Activated, 2)
    bench.fire(FOLLOW)
    assert ended(bench).workers == 1
    [missing] = ended(bench).missing
    assert str(missing) == "slot 1 is starting: did not answer on epoch 2 within 60 s"
    assert state(bench) is State.JOINING, "it has the deadline of all that join"


def test_who_prepared_and_follows_late_ends_the_wait_for_who_came_since(bench: Bench) -> None:
    bench.fire(FOLLOW)
    assert bench.outcomes() == {}
    bench.hear(stays(bench), messages.Activated, 2)
    assert (ended(bench).workers, [missing.slot for missing in ended(bench).missing]) == (1, [1])


def test_where_nobody_else_serves_it_who_came_since_the_vote_is_waited_for_as_long_as_it_may_take(bench: Bench) -> None:
    bench.feed(events.WorkerExited(stays(bench), -11))
    bench.fire(FOLLOW)
    assert bench.outcomes() == {}
    assert last_wait(bench) == Deadlines().boot
    [came] = bench.living()
    bench.hear(came, messages.Activated, 2)
    assert (ended(bench).workers, [missing.slot for missing in ended(bench).missing]) == (1, [0])


def test_once_one_serves_that_came_late_nobody_waits_for_slots_that_crash(bench: Bench) -> None:
    bench.feed(events.WorkerExited(stays(bench), -11))
    bench.fire(FOLLOW)
    [dies] = bench.living()
    bench.feed(events.WorkerExited(dies, -11))
    bench.fire(Timer(TimerKind.CHILD, 0))
    bench.be_born()
    [came] = bench.living()
    bench.greet(came)
    assert bench.outcomes() == {}
    bench.hear(came, messages.Activated, 2)
    assert (ended(bench).workers, [missing.slot for missing in ended(bench).missing]) == (1, [1])


def test_where_nobody_ever_serves_it_the_wait_has_an_end(bench: Bench) -> None:
    bench.feed(events.WorkerExited(stays(bench), -11))
    bench.fire(FOLLOW)
    [came] = bench.living()
    bench.feed(events.WorkerExited(came, -9))
    bench.fire(FOLLOW)
    assert (ended(bench).workers, [missing.slot for missing in ended(bench).missing]) == (0, [0, 1])


def test_who_serves_what_was_before_and_has_the_epoch_to_build_has_the_deadline_of_all_that_join(
    serving: Bench,
) -> None:
    assert last_wait(serving, BUILD) == Deadlines().boot
    serving.hear(stays(serving), messages.Activated, 2)
    serving.fire(FOLLOW)
    assert [(missing.slot, missing.why) for missing in ended(serving).missing] == [(1, "starting")]
    assert state(serving) is State.JOINING
    serving.hear(comes(serving), messages.Activated, 2)
    assert state(serving) is State.SERVING
    assert effects.CancelTimer(BUILD) in serving.wanted
    assert serving.told(WorkerServing)[-1].epoch == 2


def test_who_serves_what_was_before_and_builds_for_ever_is_killed_when_that_deadline_passed(serving: Bench) -> None:
    serving.hear(stays(serving), messages.Activated, 2)
    serving.fire(FOLLOW)
    serving.fire(BUILD)
    assert state(serving) is State.KILLING
    assert serving.view.slots[1].note == "did not serve within 90 s"


def test_where_nobody_else_serves_the_epoch_who_serves_what_was_before_is_waited_for(serving: Bench) -> None:
    serving.feed(events.WorkerExited(stays(serving), -11))
    serving.fire(FOLLOW)
    assert serving.outcomes() == {}
    assert state(serving) is State.JOINING
    assert last_wait(serving) == Deadlines().boot
    [came] = serving.living()
    serving.feed(events.WorkerExited(came, -9))
    serving.fire(FOLLOW)
    assert (ended(serving).workers, [missing.slot for missing in ended(serving).missing]) == (0, [0, 1])


def test_who_came_since_the_vote_and_holds_the_epoch_has_only_to_follow(undecided: Bench) -> None:
    undecided.hear(comes(undecided), messages.Activated, 1)
    undecided.hear(comes(undecided), messages.Prepared, 2)
    bench = decided(undecided)
    bench.hear(stays(bench), messages.Activated, 2)
    bench.fire(FOLLOW)
    assert state(bench) is State.KILLING
    assert bench.view.slots[1].note == "did not follow to epoch 2 within 5 s"


def test_nobody_hands_over_to_who_serves_what_was_before(serving: Bench) -> None:
    serving.hear(stays(serving), messages.Activated, 2)
    serving.fire(FOLLOW)
    serving.feed(events.ScaleRequested(1))
    assert serving.said(messages.HandOver) == []
    serving.hear(comes(serving), messages.Activated, 2)
    serving.fire(Timer(TimerKind.HEARTBEAT))
    assert [message.successors for message in serving.said(messages.HandOver)] == [(comes(serving),)]


def test_what_it_dies_of_while_it_builds_the_epoch_is_not_held_against_the_next_candidate(serving: Bench) -> None:
    serving.hear(stays(serving), messages.Activated, 2)
    serving.fire(FOLLOW)
    serving.feed(events.CutoverRequested(2, RELOAD))
    serving.find(snapshot(3))
    serving.hear(stays(serving), messages.Prepared, 3)
    serving.feed(events.WorkerExited(comes(serving), -11))
    serving.hear(stays(serving), messages.Activated, 3)
    assert isinstance(serving.outcomes()[2], Committed)
