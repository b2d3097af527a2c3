"""What serves kills its workers while its mend is prepared: whose death counts against the mend, and who tries it."""

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State
from changeover.supervisor.core.cutover import State as CutoverState
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Committed, Refused, SilentWorkers
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.supervisor.core.records.staffing import LastSlotWaits, SlotParked, SlotWaits
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault
from tests.machines import RELOAD, Bench, snapshot

SEGFAULT = -11


@pytest.fixture
def bench() -> Bench:
    """Two workers serve, and that in slot 0 has crashed once."""
    bench = Bench()
    bench.come_up()
    crash_serving(bench, 0)
    bench.forget()
    return bench


def worker_in(bench: Bench, number: int) -> WorkerId:
    return next(worker for worker in bench.living() if worker.slot == number)


def die(bench: Bench, number: int) -> None:
    bench.feed(events.WorkerExited(worker_in(bench, number), SEGFAULT))
    bench.be_born()


def crash_serving(bench: Bench, number: int) -> None:
    """The worker in a slot dies; the next one comes to serve what is committed."""
    die(bench, number)
    refill(bench, number)
    join(bench, number)


def refill(bench: Bench, number: int) -> None:
    """The pause after a death is over."""
    if bench.view.slots[number].state is State.BACKOFF:
        bench.fire(Timer(TimerKind.CHILD, number))
        bench.be_born()


def join(bench: Bench, number: int) -> None:
    worker = worker_in(bench, number)
    bench.greet(worker)
    if welcomed(bench).current is not None:
        bench.hear(worker, messages.Activated, 1)


def ask(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))


def welcomed(bench: Bench) -> messages.Welcome:
    return bench.said(messages.Welcome)[-1]


def test_a_death_in_prepare_is_the_candidates_where_nobody_died_before(bench: Bench) -> None:
    ask(bench)
    bench.hear(worker_in(bench, 0), messages.Prepared, 2)
    die(bench, 1)
    assert isinstance(bench.outcomes()[1], Refused)


def test_where_workers_crashed_before_the_next_one_comes_at_once_and_has_the_candidate_alone(bench: Bench) -> None:
    ask(bench)
    die(bench, 0)
    assert not bench.outcomes()
    join(bench, 0)
    assert (welcomed(bench).current, welcomed(bench).candidate) == (None, snapshot(2))


def test_it_is_committed_when_that_one_has_prepared_and_not_before(bench: Bench) -> None:
    ask(bench)
    die(bench, 0)
    bench.hear(worker_in(bench, 1), messages.Prepared, 2)
    assert bench.view.cutover is CutoverState.PREPARING
    join(bench, 0)
    bench.hear(worker_in(bench, 0), messages.Prepared, 2)
    bench.activate(2)
    ended = bench.outcomes()[1]
    assert isinstance(ended, Committed)
    assert (ended.workers, [lost.slot for lost in ended.lost]) == (2, [0])


def test_what_kills_that_one_too_is_the_candidate(bench: Bench) -> None:
    ask(bench)
    die(bench, 0)
    join(bench, 0)
    die(bench, 0)
    ended = bench.outcomes()[1]
    assert isinstance(ended, Refused)
    assert [(no.slot, no.refusal.fault) for no in ended.refusals] == [(0, Fault.CRASH)]


def test_no_other_worker_is_asked_meanwhile_where_they_build_in_waves() -> None:
    bench = Bench(Policy(wave=1))
    bench.come_up()
    crash_serving(bench, 0)
    bench.forget()
    ask(bench)
    die(bench, 0)
    assert [sent.worker.slot for sent in bench.all(effects.Unicast) if isinstance(sent.message, messages.Prepare)] == [
        0
    ]
    join(bench, 0)
    bench.hear(worker_in(bench, 0), messages.Prepared, 2)
    asked = [sent.worker.slot for sent in bench.all(effects.Unicast) if isinstance(sent.message, messages.Prepare)]
    assert asked == [0, 1]


def test_one_that_had_prepared_and_died_has_no_vote(bench: Bench) -> None:
    ask(bench)
    bench.hear(worker_in(bench, 0), messages.Prepared, 2)
    die(bench, 0)
    bench.hear(worker_in(bench, 1), messages.Prepared, 2)
    assert not bench.all(effects.StoreCell)


def test_after_an_abort_that_one_is_told_what_serves(bench: Bench) -> None:
    ask(bench)
    die(bench, 0)
    join(bench, 0)
    bench.hear(worker_in(bench, 0), messages.Prepared, 2)
    die(bench, 1)
    assert isinstance(bench.outcomes()[1], Refused)
    bench.greet(worker_in(bench, 0))
    assert (welcomed(bench).current, welcomed(bench).candidate) == (snapshot(1), None)


def test_one_that_builds_what_serves_already_is_not_asked_to_forget_it(bench: Bench) -> None:
    crash_serving(bench, 0)
    die(bench, 0)
    bench.fire(Timer(TimerKind.CHILD, 0))
    bench.be_born()
    bench.greet(worker_in(bench, 0))
    ask(bench)
    bench.greet(worker_in(bench, 0))
    assert (welcomed(bench).current, welcomed(bench).candidate) == (snapshot(1), snapshot(2))
    die(bench, 0)
    assert not bench.outcomes()


def test_a_slot_that_nobody_comes_to_is_not_waited_for_beyond_the_deadline(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.ZygoteLost(1, "was killed"))
    die(bench, 0)
    bench.hear(worker_in(bench, 1), messages.Prepared, 2)
    assert not bench.all(effects.StoreCell)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]


def test_one_that_could_not_be_born_leaves_its_slot_to_the_pause_that_follows(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.WorkerExited(worker_in(bench, 0), SEGFAULT))
    bench.feed(events.ForkFailed(worker_in(bench, 0), "no memory"))
    assert bench.view.slots[0].state is State.BACKOFF


def test_where_all_were_killed_for_their_silence_nothing_is_committed_that_nobody_could_prepare() -> None:
    bench = Bench(Policy(on_silent_workers=SilentWorkers.KILL))
    bench.come_up()
    ask(bench)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    for number in (0, 1):
        die(bench, number)
    assert not bench.all(effects.StoreCell)
    for number in (0, 1):
        bench.fire(Timer(TimerKind.CHILD, number))
        bench.be_born()
        join(bench, number)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    ended = bench.outcomes()[1]
    assert isinstance(ended, Refused)
    assert {no.refusal.fault for no in ended.refusals} == {Fault.TIMEOUT}


def test_one_with_the_candidate_alone_that_is_killed_for_its_silence_is_no_crash_of_the_candidate(bench: Bench) -> None:
    request = msgspec.structs.replace(RELOAD, on_silent_workers=SilentWorkers.KILL)
    bench.feed(events.CutoverRequested(1, request))
    bench.find(snapshot(2))
    die(bench, 0)
    join(bench, 0)
    bench.hear(worker_in(bench, 1), messages.Prepared, 2)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.feed(events.WorkerExited(worker_in(bench, 0), -9))
    ended = bench.all(effects.StoreCell)
    assert ended == [effects.StoreCell(2)]


def die_of(bench: Bench, ticket: int, epoch: int, *numbers: int) -> None:
    """A candidate is asked for that kills the workers in these slots, one by one, until it is refused."""
    bench.feed(events.CutoverRequested(ticket, RELOAD))
    bench.find(snapshot(epoch))
    for worker in bench.living():
        if worker.slot not in numbers:
            bench.hear(worker, messages.Prepared, epoch)
    for number in numbers:
        while ticket not in bench.outcomes() and any(worker.slot == number for worker in bench.living()):
            die(bench, number)
            if any(worker.slot == number for worker in bench.living()):
                bench.greet(worker_in(bench, number))
    assert isinstance(bench.outcomes()[ticket], Refused)
    for worker in bench.living():
        bench.greet(worker)
        bench.hear(worker, messages.Activated, 1)


def test_candidates_that_kill_workers_park_no_slot_and_its_next_worker_comes_at_once(bench: Bench) -> None:
    for epoch in range(2, 9):
        die_of(bench, epoch, epoch, 1)
        assert bench.view.slots[1].worker is not None
    assert not bench.told(SlotParked)


# ---- which deaths count ----


MONTH = 30 * 86400.0
BOOT = Timer(TimerKind.CHILD, 0)


def test_two_deaths_with_a_long_service_between_them_are_two_accidents(bench: Bench) -> None:
    bench.now += MONTH
    ask(bench)
    die(bench, 0)
    assert isinstance(bench.outcomes()[1], Refused)


def test_whom_we_killed_says_nothing_of_what_serves() -> None:
    bench = Bench()
    bench.come_up()
    ask(bench)
    bench.prepare(2)
    bench.hear(worker_in(bench, 1), messages.Activated, 2)
    bench.fire(Timer(TimerKind.ACTIVATE, 2))
    be_killed(bench, 0)
    bench.greet(worker_in(bench, 0))
    bench.fire(BOOT)
    be_killed(bench, 0)
    bench.greet(worker_in(bench, 0))
    bench.hear(worker_in(bench, 0), messages.Activated, 2)
    assert [slot.state for slot in bench.view.slots] == [State.SERVING] * 2
    bench.feed(events.CutoverRequested(2, RELOAD))
    bench.find(snapshot(3))
    die(bench, 0)
    assert isinstance(bench.outcomes()[2], Refused)


def be_killed(bench: Bench, number: int) -> None:
    """A worker that is condemned dies of that."""
    worker = worker_in(bench, number)
    bench.feed(events.StacksDumped(worker, "it waits"))
    bench.feed(events.WorkerExited(worker, -9))
    refill(bench, number)


# ---- a candidate that kills whoever has it beside what serves ----


WAVES = (0, 1, 4)
"""How many workers build at a time, by the policy; 0 is all."""


def crew(*slots: int, times: int = 1, wave: int = 1) -> Bench:
    """Four workers serve; those in `slots` crashed just now."""
    bench = Bench(Policy(wave=wave))
    bench.come_up(slots=4)
    for number in slots:
        for _ in range(times):
            crash_serving(bench, number)
    bench.forget()
    return bench


def asked(bench: Bench) -> list[int]:
    return [sent.worker.slot for sent in bench.all(effects.Unicast) if isinstance(sent.message, messages.Prepare)]


def prepare_alone(bench: Bench, number: int) -> None:
    """The worker that serves in a slot dies of the candidate; the next one prepares it alone."""
    die(bench, number)
    join(bench, number)
    assert welcomed(bench).current is None
    bench.hear(worker_in(bench, number), messages.Prepared, 2)


def serving(bench: Bench) -> list[int]:
    return [slot.slot for slot in bench.view.slots if slot.state is State.SERVING]


@pytest.mark.parametrize("wave", WAVES)
def test_what_kills_whoever_has_it_beside_what_serves_is_refused_at_the_second_death(wave: int) -> None:
    bench = crew(0, 1, 2, 3, wave=wave)
    ask(bench)
    prepare_alone(bench, 0)
    assert asked(bench) == [0, 1]
    die(bench, 1)
    ended = bench.outcomes()[1]
    assert isinstance(ended, Refused)
    assert ended.reason == (
        "slot 1: was ended by signal 11 beside what serves, while another worker has prepared it alone"
    )
    assert (serving(bench), asked(bench)) == ([2, 3], [0, 1])


@pytest.mark.parametrize("wave", WAVES)
def test_however_often_it_is_asked_for(wave: int) -> None:
    bench = crew(0, 1, 2, 3, wave=wave)
    for ticket in (2, 3, 4, 5):
        bench.feed(events.CutoverRequested(ticket, RELOAD))
        bench.find(snapshot(ticket))
        die(bench, 0)
        join(bench, 0)
        bench.hear(worker_in(bench, 0), messages.Prepared, ticket)
        die(bench, 1)
        assert isinstance(bench.outcomes()[ticket], Refused)
        for number in (0, 1):
            refill(bench, number)
            bench.greet(worker_in(bench, number))
            bench.hear(worker_in(bench, number), messages.Activated, 1)
        bench.now += 30.0
        assert serving(bench) == [0, 1, 2, 3]


@pytest.mark.parametrize("wave", WAVES)
def test_a_mend_is_taken_where_workers_crashed_again_and_again_before_it_was_asked_for(wave: int) -> None:
    bench = crew(0, 1, times=2, wave=wave)
    ask(bench)
    for number in (0, 1):
        prepare_alone(bench, number)
    for number in (2, 3):
        bench.hear(worker_in(bench, number), messages.Prepared, 2)
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]


@pytest.mark.parametrize("wave", WAVES)
def test_one_that_dies_after_it_has_prepared_beside_what_serves_did_not_die_of_that(wave: int) -> None:
    bench = crew(0, 1, wave=wave)
    ask(bench)
    prepare_alone(bench, 0)
    bench.hear(worker_in(bench, 1), messages.Prepared, 2)
    die(bench, 1)
    assert not bench.outcomes()


@pytest.mark.parametrize("wave", WAVES)
def test_one_is_asked_after_the_other_until_somebody_holds_it_beside_what_serves(wave: int) -> None:
    bench = crew(3, wave=wave)
    ask(bench)
    assert asked(bench) == [0]
    bench.hear(worker_in(bench, 0), messages.Prepared, 2)
    assert asked(bench) == ([0, 1] if wave == 1 else [0, 1, 2, 3])


@pytest.mark.parametrize(("wave", "sent"), [(0, effects.Broadcast), (4, effects.Unicast)])
def test_all_are_asked_at_once_where_nobody_crashed(wave: int, sent: type[effects.Broadcast | effects.Unicast]) -> None:
    bench = crew(wave=wave)
    ask(bench)
    asking = [each for each in bench.all(sent) if isinstance(each.message, messages.Prepare)]
    assert len(asking) == (wave or 1)


@pytest.mark.parametrize("wave", [0, 4])
def test_those_who_are_left_are_asked_once_the_crash_is_long_ago(wave: int) -> None:
    bench = crew(3, wave=wave)
    bench.now += 50.0
    ask(bench)
    bench.now += 20.0
    bench.fire(Timer(TimerKind.REPEAT))
    assert set(asked(bench)) == {0, 1, 2, 3}


# ---- a slot whose workers do not even come up ----


def booting_to_death(policy: Policy | None = None) -> Bench:
    """Two workers; those in slot 1 die 12 s after their birth, before they introduce themselves."""
    bench = Bench(policy)
    bench.come_up()
    for _ in range(2):
        die(bench, 1)
        refill(bench, 1)
        bench.now += 12.0
    bench.forget()
    return bench


def test_one_that_boots_where_workers_die_of_that_is_not_waited_for_beyond_the_deadline() -> None:
    bench = booting_to_death()
    ask(bench)
    bench.hear(worker_in(bench, 0), messages.Prepared, 2)
    assert not bench.all(effects.StoreCell)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    assert bench.all(effects.StoreCell) == [effects.StoreCell(2)]
    assert not bench.all(effects.DumpStacks)


def test_nor_is_it_killed_as_silent() -> None:
    bench = booting_to_death(Policy(on_silent_workers=SilentWorkers.KILL))
    ask(bench)
    bench.hear(worker_in(bench, 0), messages.Prepared, 2)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    assert bench.view.slots[1].state is State.BOOTING


def test_it_keeps_nobody_from_being_asked_where_they_build_in_waves() -> None:
    bench = booting_to_death(Policy(wave=1))
    ask(bench)
    assert asked(bench) == [0]


def test_nor_does_one_that_was_to_try_it_alone_and_did_not_come_up() -> None:
    bench = crew(0)
    ask(bench)
    die(bench, 0)
    die(bench, 0)
    refill(bench, 0)
    assert asked(bench) == [0, 1]
    bench.hear(worker_in(bench, 1), messages.Prepared, 2)
    assert asked(bench) == [0, 1, 2]


def hanging_before_it_tries() -> Bench:
    """The worker in slot 0 died of a candidate; the next one, which is to have it alone, never introduces itself."""
    bench = crew(0)
    ask(bench)
    die(bench, 0)
    assert asked(bench) == [0]
    return bench


def test_nor_does_one_that_is_to_try_it_alone_and_hangs_as_it_boots() -> None:
    bench = hanging_before_it_tries()
    bench.now += Deadlines().prepare / 2 + 1
    bench.fire(Timer(TimerKind.REPEAT))
    assert asked(bench) == [0, 1]


def test_past_the_deadline_the_next_ones_are_asked_at_once() -> None:
    bench = hanging_before_it_tries()
    bench.fire(Timer(TimerKind.PREPARE, 2))
    assert asked(bench) == [0, 1]


def test_what_nobody_came_up_to_prepare_is_not_committed() -> None:
    bench = booting_to_death()
    for _ in range(2):
        die(bench, 0)
        refill(bench, 0)
    ask(bench)
    for _ in range(2):
        bench.fire(Timer(TimerKind.PREPARE, 2))
    ended = bench.outcomes()[1]
    assert isinstance(ended, Refused)
    assert ended.reason == "0 of 2 workers came up within 60 s"


# ---- how long one with the candidate alone may take ----


def alone(bench: Bench) -> WorkerId:
    """The worker in slot 0 has the candidate alone."""
    ask(bench)
    die(bench, 0)
    join(bench, 0)
    return worker_in(bench, 0)


def test_one_that_has_prepared_alone_is_not_late_while_others_prepare(bench: Bench) -> None:
    worker = alone(bench)
    bench.hear(worker, messages.Prepared, 2)
    bench.fire(BOOT)
    assert bench.view.slots[0].state is State.JOINING


def test_one_that_has_not_prepared_alone_is(bench: Bench) -> None:
    alone(bench)
    bench.fire(BOOT)
    assert bench.view.slots[0].state is State.KILLING


def test_at_the_commit_its_time_to_serve_begins(bench: Bench) -> None:
    worker = alone(bench)
    bench.hear(worker, messages.Prepared, 2)
    bench.forget()
    bench.hear(worker_in(bench, 1), messages.Prepared, 2)
    assert effects.SetTimer(BOOT, Deadlines().boot) in bench.wanted


def test_so_does_its_time_to_build_what_serves_once_it_is_told_of_an_abort(bench: Bench) -> None:
    worker = alone(bench)
    bench.hear(worker, messages.Prepared, 2)
    die(bench, 1)
    assert isinstance(bench.outcomes()[1], Refused)
    bench.forget()
    bench.greet(worker)
    assert effects.SetTimer(BOOT, Deadlines().boot) in bench.wanted


# ---- what is told ----


def test_that_the_next_one_comes_at_once_is_told_however_many_died(bench: Bench) -> None:
    for _ in range(3):
        crash_serving(bench, 0)
    ask(bench)
    bench.forget()
    die(bench, 0)
    assert bench.told(SlotWaits) == [SlotWaits(0, 0.0, 5)]
    assert not bench.told(SlotParked)
    assert not bench.told(LastSlotWaits)
