"""Who had to wait has longer in a worker that leaves; told over hours that pass as the tests let them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import Context

import pytest

from changeover.workers.runtime.farewells import Farewells
from changeover.workers.runtime.settings import DrainDeadlines
from changeover.workers.serving.assignment import Assignment, at_work
from changeover.workers.serving.lease import Lease, LeaseKind, UnitSet
from tests.assignments import Owed

HTTP = 1000.0
STREAM = 3000.0
TASK = 5000.0
EVER = 20_000.0
GRACE = 30.0


class Clock(asyncio.BaseEventLoop):
    """A loop that only knows what is due, and does it when the test lets the time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._due: list[tuple[asyncio.TimerHandle, Callable[[], object]]] = []

    def time(self) -> float:
        return self.now

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(self.now + delay, callback, args, self, context)
        self._due.append((timer, lambda: callback(*args)))
        return timer

    def pass_until(self, moment: float) -> None:
        """Do what is due until then."""
        while due := [each for each in self._due if each[0].when() <= moment]:
            first = min(due, key=lambda each: each[0].when())
            self._due.remove(first)
            self.now, do = first[0].when(), first[1]
            do()
        self.now = moment


class Held(Lease, eq=False, kw_only=True):
    """A hold whose holder lets go of nothing.

    Attributes:
        clock: Where it looks.
        ended: When its holder was asked to.
    """

    clock: Clock
    ended: float | None = None

    def end(self, reason: str) -> bool:
        self.ended = self.clock.now
        return True


class Staff:
    """Notes when it was told to go on without a thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.left: list[float] = []

    def leave_behind(self, assignment: Assignment) -> None:
        self.left.append(self._clock.now)


class Leaving:
    """A worker that has just begun to leave.

    Args:
        clock: Its time, from then on.

    Attributes:
        leases: What is held in it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.leases: list[Lease] = []
        drain = DrainDeadlines(http=HTTP, stream=STREAM, task=TASK, websocket=0.0)
        self._farewells = Farewells(self._clock, drain, GRACE, (), lambda: self.leases, lambda _: None)
        self._farewells.begin()

    def lease(self, kind: LeaseKind = LeaseKind.HTTP) -> Held:
        """A hold that nobody counts yet."""
        return Held(UnitSet(()), kind, 1, "/", time.monotonic_ns(), clock=self._clock)

    def held(self, kind: LeaseKind = LeaseKind.HTTP) -> Held:
        """One that is counted."""
        held = self.lease(kind)
        self.leases.append(held)
        return held

    def thread(self, lease: Lease, *, since: float = 0.0) -> tuple[Owed, Staff]:
        """What a thread does that hangs since then, and whose thread that is."""
        assignment, staff = Owed(lease), Staff(self._clock)
        assignment.staff = staff
        assignment.begin(threading.current_thread())
        assignment.began = in_seconds(since)
        return assignment, staff


def in_seconds(seconds: float) -> int:
    """So long after the worker began to leave, by CLOCK_MONOTONIC, which goes on by next to nothing here."""
    return time.monotonic_ns() + int(seconds * 1e9)


def about(moment: float) -> object:
    """That, give or take what CLOCK_MONOTONIC went on by."""
    return pytest.approx(moment, abs=50.0)


@pytest.fixture(autouse=True)
def nobody_is_at_work() -> Iterator[None]:
    assert not at_work
    yield
    at_work.clear()


@pytest.fixture
def clock() -> Iterator[Clock]:
    made = Clock()
    yield made
    made.close()


@pytest.fixture
def leaving(clock: Clock) -> Leaving:
    return Leaving(clock)


def test_who_waited_until_long_after_the_deadline_has_the_time_of_one_request_and_no_more(
    leaving: Leaving, clock: Clock
) -> None:
    clock.pass_until(2000.0)
    late = leaving.held()
    late.waiting.resumed = in_seconds(2900.0)
    clock.pass_until(EVER)
    assert late.ended == about(STREAM + HTTP)


def test_who_still_waits_ends_while_the_worker_is_left_alone_each_at_a_moment_of_its_own(
    clock: Clock,
) -> None:
    waiting = [Held(UnitSet(()), LeaseKind.HTTP, 1, "/", 0, clock=clock) for _ in range(8)]
    for each in waiting:
        each.waiting.begin_call()
    drain = DrainDeadlines(http=HTTP, stream=HTTP, task=HTTP, websocket=HTTP)
    Farewells(clock, drain, GRACE, (), lambda: waiting, lambda _: None).begin()
    clock.pass_until(EVER)
    ends = [each.ended or 0.0 for each in waiting]
    assert min(ends) >= 2 * HTTP
    assert max(ends) < 2 * HTTP + GRACE
    assert len(set(ends)) == len(ends)


def test_a_thread_whose_request_somebody_else_has_answered_has_the_time_of_a_request_since_it_began(
    leaving: Leaving, clock: Clock
) -> None:
    _, staff = leaving.thread(leaving.lease(), since=600.0)
    clock.pass_until(EVER)
    assert staff.left == [about(HTTP + 600.0)]


def answer(job: Owed) -> None:
    job.answered = True


def wait_for_client(job: Owed) -> None:
    job.lease.waiting.readers += 1


@pytest.mark.parametrize("go_on", [answer, wait_for_client])
def test_a_thread_that_goes_on_in_the_time_that_it_has_is_not_left_behind(
    leaving: Leaving, clock: Clock, go_on: Callable[[Owed], None]
) -> None:
    job, staff = leaving.thread(leaving.lease(), since=600.0)
    clock.pass_until(HTTP + 300.0)
    go_on(job)
    clock.pass_until(EVER)
    assert staff.left == []


def test_a_thread_whose_request_is_still_held_is_left_behind_as_that_ends_and_only_then(
    leaving: Leaving, clock: Clock
) -> None:
    held = [leaving.held() for _ in range(3)] + [leaving.held(LeaseKind.TASK)]
    staffs = [leaving.thread(each)[1] for each in held]
    clock.pass_until(EVER)
    assert [staff.left for staff in staffs] == [[each.ended] for each in held]
    assert len({each.ended for each in held}) == len(held)
