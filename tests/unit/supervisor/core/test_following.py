"""Who is waited for once an epoch is committed, and for how long."""

import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Committed, SilentWorkers
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from tests.machines import RELOAD, Bench, snapshot

FOLLOW = Timer(TimerKind.ACTIVATE, 2)


@pytest.fixture
def bench() -> Bench:
    """Of two workers one prepared and the other was killed; its slot's next one came before the commit was on disk."""
    bench = Bench(Policy(on_silent_workers=SilentWorkers.KILL))
    bench.come_up()
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    bench.hear(stays(bench), messages.Prepared, 2)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.writes = False
    bench.feed(events.StacksDumped(comes(bench), "in a loop"))
    bench.feed(events.WorkerExited(comes(bench), -9))
    bench.fire(Timer(TimerKind.CHILD, 1))
    bench.be_born()
    bench.greet(comes(bench))
    [commit] = [effect for effect in bench.all(effects.Persist) if effect.entry == bench.entries()[-1]]
    bench.writes = True
    bench.feed(events.Persisted(commit.ticket))
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]
    return bench


def stays(bench: Bench) -> WorkerId:
    return bench.living()[0]


def comes(bench: Bench) -> WorkerId:
    return bench.living()[1]


def last_wait(bench: Bench) -> float:
    return [timer.after for timer in bench.all(effects.SetTimer) if timer.timer == FOLLOW][-1]


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
    assert bench.view.slots[1].state is State.JOINING, "it has the deadline of all that join"


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
