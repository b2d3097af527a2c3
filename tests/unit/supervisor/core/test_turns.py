"""How long workers have that are asked only after others, because one crashed, hung, or builds at a time."""

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State as Slot
from changeover.supervisor.core.cutover import State
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.events import Event, Timer, TimerKind
from changeover.supervisor.core.outcome import Refused, SilentWorkers
from changeover.supervisor.core.policy import Deadlines, Policy
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from tests.machines import RELOAD, Bench, snapshot

PREPARE, REPEAT = Timer(TimerKind.PREPARE, 2), Timer(TimerKind.REPEAT)
WHOLE = Deadlines().prepare
KILL, ABORT = SilentWorkers.KILL, SilentWorkers.ABORT
SEGFAULT, KILLED = -11, -9


class Clock(Bench):
    """Workers of one service, and the deadline of the cutover to epoch 2, which passes when it is due.

    Attributes:
        due: When that is; None while it does not run.
    """

    def __init__(self, wave: int = 0, silent: SilentWorkers = ABORT) -> None:
        super().__init__(Policy(wave=wave, on_silent_workers=silent))
        self.due: float | None = None
        self.come_up(slots=4)

    def feed(self, *happened: Event) -> None:
        before = len(self.wanted)
        super().feed(*happened)
        for effect in self.wanted[before:]:
            if isinstance(effect, effects.SetTimer) and effect.timer == PREPARE:
                self.due = self.now + effect.after
            elif isinstance(effect, effects.CancelTimer) and effect.timer == PREPARE:
                self.due = None

    def wait(self, seconds: float) -> None:
        """Time passes."""
        end = self.now + seconds
        while self.due is not None and self.due <= end:
            self.now, self.due = self.due, None
            self.fire(PREPARE)
        self.now = end

    def asks(self) -> None:
        """Somebody asks for epoch 2."""
        self.feed(events.CutoverRequested(1, RELOAD))
        self.find(snapshot(2))

    def worker(self, number: int) -> WorkerId:
        return next(worker for worker in self.living() if worker.slot == number)

    def prepares(self, *numbers: int) -> None:
        for number in numbers:
            self.hear(self.worker(number), messages.Prepared, 2)

    def crashes(self, number: int, status: int = SEGFAULT) -> None:
        """The worker of a slot dies, and the next one lives."""
        self.feed(events.WorkerExited(self.worker(number), status))
        if self.view.slots[number].state is Slot.BACKOFF:
            self.fire(Timer(TimerKind.CHILD, number))
        self.be_born()

    def crashed(self, *numbers: int) -> "Clock":
        """So that the next one in each of these slots serves epoch 1."""
        for number in numbers:
            self.crashes(number)
            self.greet(self.worker(number))
            self.hear(self.worker(number), messages.Activated, 1)
        self.forget()
        return self

    def is_killed(self, number: int) -> None:
        """A worker that is condemned is seen, and dies."""
        assert self.view.slots[number].state is Slot.KILLING
        self.feed(events.StacksDumped(self.worker(number), "it waits"))
        self.crashes(number, KILLED)

    @property
    def asked(self) -> list[int]:
        """Slots whose workers were asked one by one."""
        return [sent.worker.slot for sent in self.all(effects.Unicast) if isinstance(sent.message, messages.Prepare)]

    @property
    def commits(self) -> bool:
        return effects.StoreCell(2) in self.wanted

    @property
    def noes(self) -> list[str]:
        """Who refused, and why."""
        ended = self.outcomes()[1]
        assert isinstance(ended, Refused)
        return [f"{no.slot}: {no.refusal.summary}" for no in ended.refusals]


# ---- somebody crashed, so one tries it first ----


@pytest.mark.parametrize("wave", [0, 4])
@pytest.mark.parametrize("crashed", [(), (3,)], ids=["nobody crashed", "one crashed"])
def test_a_mend_that_takes_over_half_of_the_deadline_is_taken(crashed: tuple[int, ...], wave: int) -> None:
    bench = Clock(wave).crashed(*crashed)
    bench.asks()
    bench.wait(35.0)
    bench.prepares(*((0,) if crashed else range(4)))
    if crashed:
        assert bench.asked == [0, 1, 2, 3]
        bench.wait(35.0)
        bench.prepares(1, 2, 3)
    assert bench.commits


def test_those_who_were_kept_waiting_for_the_first_one_have_the_whole_deadline_and_no_more() -> None:
    bench = Clock().crashed(3)
    bench.asks()
    bench.wait(35.0)
    bench.prepares(0)
    assert bench.due == bench.now + WHOLE
    bench.wait(20.0)
    bench.prepares(1, 2)
    bench.fire(REPEAT)
    assert bench.due == bench.now + WHOLE - 20.0


def test_those_who_build_at_a_time_share_it_as_they_do_where_nobody_crashed() -> None:
    bench = Clock(wave=1).crashed(3)
    bench.asks()
    bench.wait(35.0)
    bench.prepares(0)
    due = bench.due
    bench.wait(20.0)
    bench.prepares(1)
    assert (bench.asked, bench.due) == ([0, 1, 2], due)


def test_where_nobody_crashed_all_who_build_at_a_time_share_it() -> None:
    bench = Clock(wave=1)
    bench.asks()
    due = bench.due
    for number in range(3):
        bench.wait(10.0)
        bench.prepares(number)
    assert (bench.asked, bench.due) == ([0, 1, 2, 3], due)


def test_those_who_are_asked_because_the_crash_is_long_ago_have_the_whole_of_it() -> None:
    bench = Clock().crashed(3)
    bench.wait(50.0)
    bench.asks()
    bench.wait(20.0)
    bench.fire(REPEAT)
    assert (set(bench.asked), bench.due) == ({0, 1, 2, 3}, bench.now + WHOLE)


def test_also_where_they_build_at_a_time_and_have_to_wait_for_the_first_one_still() -> None:
    bench = Clock(wave=1).crashed(3)
    bench.wait(50.0)
    bench.asks()
    bench.wait(20.0)
    bench.fire(REPEAT)
    bench.prepares(0)
    assert (bench.due, 1 in bench.asked) == (bench.now + WHOLE, True)


# ---- somebody dies of what serves meanwhile, so the next one tries it alone ----


def test_each_that_tries_it_after_a_death_has_the_whole_of_it() -> None:
    bench = Clock().crashed(0)
    bench.asks()
    bench.wait(20.0)
    bench.crashes(0)
    bench.wait(2.0)
    bench.greet(bench.worker(0))
    for numbers in ((0,), (1,), (2, 3)):
        assert bench.due == bench.now + WHOLE
        bench.wait(35.0)
        bench.prepares(*numbers)
    assert bench.commits


def test_one_that_introduces_itself_again_has_no_more() -> None:
    bench = Clock().crashed(0)
    bench.asks()
    bench.crashes(0)
    bench.greet(bench.worker(0))
    due = bench.due
    bench.wait(10.0)
    bench.greet(bench.worker(0))
    assert bench.due == due


def test_nor_has_one_that_comes_to_build_it_beside_what_serves() -> None:
    bench = Clock(wave=1).crashed(0)
    bench.asks()
    due = bench.due
    bench.wait(10.0)
    bench.crashes(3)
    bench.greet(bench.worker(3))
    assert bench.due == due


# ---- somebody hangs, so others are asked past the deadline ----


@pytest.mark.parametrize(("crashed", "wave"), [((3,), 0), ((3,), 1), ((), 1)])
def test_it_goes_on_without_a_first_worker_that_hangs_however_long_the_others_take(
    crashed: tuple[int, ...], wave: int
) -> None:
    bench = Clock(wave, KILL).crashed(*crashed)
    bench.asks()
    bench.wait(WHOLE)
    bench.is_killed(0)
    assert (bench.asked, bench.due) == ([0, 1], bench.now + WHOLE)
    for number in (1, 2, 3):
        bench.wait(19.0)
        bench.prepares(number)
    assert bench.commits


def test_and_without_the_next_one_that_hangs_where_another_has_prepared_it() -> None:
    bench = Clock(1, KILL)
    bench.asks()
    bench.prepares(0)
    for number in (1, 2):
        bench.wait(WHOLE)
        bench.is_killed(number)
    bench.wait(35.0)
    bench.prepares(3)
    assert bench.commits


def test_what_hangs_one_after_the_other_where_nobody_has_prepared_it_is_refused_and_kills_no_more() -> None:
    bench = Clock(1, KILL)
    bench.asks()
    bench.wait(WHOLE)
    bench.is_killed(0)
    bench.wait(WHOLE)
    assert effects.DumpStacks(bench.worker(1)) in bench.wanted
    bench.feed(events.StacksDumped(bench.worker(1), "it waits"))
    assert bench.noes == ["1: did not answer within 60 s"]
    assert bench.view.slots[1].state is Slot.SERVING
    assert bench.asked == [0, 1]


def test_the_next_ones_are_asked_once_all_who_hung_are_dead() -> None:
    bench = Clock(2, KILL)
    bench.asks()
    bench.wait(WHOLE)
    bench.is_killed(0)
    assert (bench.view.cutover, bench.asked) == (State.INQUIRING, [0, 1])
    bench.is_killed(1)
    assert (bench.view.cutover, bench.asked) == (State.PREPARING, [0, 1, 2, 3])


def test_one_that_does_not_die_of_that_refuses_it() -> None:
    bench = Clock(1, KILL)
    bench.asks()
    bench.wait(WHOLE + Deadlines().kill)
    assert bench.noes == ["0: did not answer within 60 s"]


def hangs_as_it_boots() -> Clock:
    """The worker in slot 0 died of what serves; the next one, which is to try it alone, never introduces itself."""
    bench = Clock().crashed(0)
    bench.asks()
    bench.crashes(0)
    bench.wait(WHOLE)
    assert (bench.asked, bench.due) == ([0, 1], bench.now + WHOLE)
    return bench


def test_those_who_were_kept_waiting_for_one_that_never_came_have_the_whole_of_it() -> None:
    bench = hangs_as_it_boots()
    for numbers in ((1,), (2, 3)):
        bench.wait(35.0)
        bench.prepares(*numbers)
    assert bench.commits


def test_one_of_those_who_hangs_is_asked_for_its_stacks_and_refuses() -> None:
    bench = hangs_as_it_boots()
    bench.wait(WHOLE)
    assert effects.DumpStacks(bench.worker(1)) in bench.wanted
    bench.feed(events.StacksDumped(bench.worker(1), "it waits"))
    assert bench.noes == ["1: did not answer within 60 s"]


def test_where_who_was_late_answers_after_all_its_stacks_are_held_against_nobody() -> None:
    bench = Clock(wave=1)
    bench.asks()
    bench.wait(WHOLE)
    assert bench.asked == [0]
    bench.prepares(0)
    assert (bench.asked, bench.due) == ([0, 1], bench.now + WHOLE)
    bench.feed(events.StacksDumped(bench.worker(0), "it builds"))
    assert not bench.outcomes()
    bench.prepares(1, 2, 3)
    assert bench.commits


def test_nor_are_they_waited_for_when_the_next_one_is_late() -> None:
    bench = Clock(wave=1)
    bench.asks()
    bench.wait(WHOLE)
    bench.prepares(0)
    bench.wait(WHOLE)
    bench.feed(events.StacksDumped(bench.worker(1), "it waits"))
    assert bench.noes == ["1: did not answer within 60 s"]


def test_one_that_answers_late_gives_no_time_to_another_that_does_not() -> None:
    bench = Clock(wave=2)
    bench.asks()
    bench.wait(WHOLE)
    bench.prepares(0)
    assert (bench.view.cutover, bench.asked) == (State.INQUIRING, [0, 1])
    bench.wait(Deadlines().inquire)
    assert bench.noes == ["1: did not answer within 60 s"]


def test_a_roll_whose_last_worker_answers_late_asks_those_that_it_replaces() -> None:
    bench = Clock()
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2, rolled=2))
    old, fresh = bench.workers[:4], bench.workers[4:]
    for worker in fresh:
        bench.greet(worker)
    bench.wait(Deadlines().zygote + Deadlines().boot)
    assert bench.view.cutover is State.INQUIRING
    for worker in fresh:
        bench.hear(worker, messages.Prepared, 2)
    assert (bench.view.cutover, bench.asked, bench.due) == (State.AGREEING, [0, 1, 2, 3], bench.now + WHOLE)
    for worker in old:
        bench.hear(worker, messages.Prepared, 2)
    assert bench.commits


def test_an_upgrade_waits_no_longer_for_it_than_for_any_other() -> None:
    bench = Clock(1, KILL)
    bench.asks()
    bench.feed(events.UpgradeRequested(5, Origin(Trigger.COMMAND)), events.ImageRehearsed("2.0"))
    bench.wait(WHOLE)
    bench.is_killed(0)
    assert bench.view.cutover is State.PREPARING
    bench.fire(Timer(TimerKind.UPGRADE))
    assert bench.outcomes()[1].reason == "the supervisor is being upgraded, and does not wait for it any longer"  # type: ignore[union-attr]


# ---- what is said of those who do not answer ----


def test_who_was_asked_later_is_said_to_have_had_that_long() -> None:
    bench = Clock(wave=2)
    bench.asks()
    bench.wait(40.0)
    bench.prepares(0)
    bench.wait(WHOLE - 40.0 + Deadlines().inquire)
    assert bench.noes == ["1: did not answer within 60 s", "2: did not answer within 22 s"]


def test_and_is_killed_for_that() -> None:
    bench = Clock(2, KILL)
    bench.asks()
    bench.wait(40.0)
    bench.prepares(0)
    bench.wait(WHOLE - 40.0)
    assert [bench.view.slots[number].note for number in (1, 2)] == [
        "did not answer on epoch 2 within 60 s",
        "did not answer on epoch 2 within 20 s",
    ]


def test_who_did_not_introduce_itself_had_as_long_as_it_was_there() -> None:
    bench = Clock(wave=1)
    bench.asks()
    bench.prepares(0)
    bench.wait(55.0)
    bench.crashes(3)
    bench.prepares(1, 2)
    bench.wait(5.0 + Deadlines().inquire)
    assert bench.noes == ["3: did not answer within 7 s"]


def test_who_introduces_itself_again_was_asked_when_it_was_asked_first() -> None:
    bench = Clock()
    bench.asks()
    bench.prepares(0, 1, 2)
    bench.wait(50.0)
    bench.greet(bench.worker(3))
    bench.wait(10.0 + Deadlines().inquire)
    assert bench.noes == ["3: did not answer within 60 s"]


def test_in_a_roll_too_it_is_the_time_since_its_own_birth() -> None:
    bench = Clock()
    request = msgspec.structs.replace(RELOAD, batch=2)
    bench.feed(events.CutoverRequested(1, request))
    bench.find(snapshot(2, rolled=2))
    due = bench.due
    fresh = bench.workers[4:]
    assert len(fresh) == 2
    bench.wait(100.0)
    for worker in fresh:
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 2)
    bench.be_born()
    assert (len(bench.workers), bench.due) == (8, due)
    bench.wait(Deadlines().zygote + 2 * Deadlines().boot - 100.0)
    bench.wait(Deadlines().inquire)
    assert bench.noes == [f"{worker.slot}: did not answer within 202 s" for worker in bench.workers[6:]]


@pytest.mark.parametrize("silent", [ABORT, KILL])
def test_who_comes_while_stacks_are_written_down_has_the_whole_deadline(silent: SilentWorkers) -> None:
    bench = Clock(silent=silent)
    bench.asks()
    bench.prepares(1, 2, 3)
    bench.wait(WHOLE)
    bench.feed(events.ScaleRequested(5))
    bench.be_born()
    bench.greet(bench.worker(4))
    if silent is ABORT:
        bench.prepares(0)
        bench.feed(events.StacksDumped(bench.worker(0), "it answered"))
    else:
        bench.is_killed(0)
    bench.wait(WHOLE - 1)
    assert not bench.outcomes()
    bench.prepares(4)
    assert bench.commits


def test_who_comes_while_stacks_are_written_down_and_hangs_refuses_a_deadline_later() -> None:
    bench = Clock()
    bench.asks()
    bench.prepares(1, 2, 3)
    bench.wait(WHOLE)
    bench.feed(events.ScaleRequested(5))
    bench.be_born()
    bench.greet(bench.worker(4))
    bench.prepares(0)
    bench.feed(events.StacksDumped(bench.worker(0), "it answered"))
    bench.wait(WHOLE)
    bench.feed(events.StacksDumped(bench.worker(4), "it waits"))
    assert bench.noes == ["4: did not answer within 60 s"]
