"""Ends what a worker that leaves cannot hand over: class by class under its drain deadline, one by one, and told of."""

import asyncio
import math
import time
from collections.abc import Callable, Collection, Iterable

from changeover.workers.channel.connection import Departing, Parting
from changeover.workers.handover.spread import moment, window
from changeover.workers.participant.events import FarewellsSaid
from changeover.workers.protocol.messages import Farewell
from changeover.workers.runtime.settings import DrainDeadlines
from changeover.workers.serving.assignment import Assignment, owing, work_for
from changeover.workers.serving.lease import Lease, LeaseKind

REPORT = 0.25
"""Seconds for which ends are collected before they are told of together."""
LAST_WORDS = 0.5
"""Seconds, at most, that what a stop ends has before its connection is cut."""
REQUESTS = frozenset({LeaseKind.HTTP, LeaseKind.STREAM})
"""What can still be told that it ends; a WebSocket was told when the stop began."""


class Farewells:
    """The one schedule of every end that a leaving worker brings about.

    Whatever it is ends past its class's deadline, because until then it may come to its end by itself. A connection
    that cannot go over is told first, and what speaks over it after that.

    Args:
        loop: The worker's loop.
        drain: The deadline of each class.
        grace: Seconds that the supervisor leaves the worker alone after the last of them.
        connections: All that are open.
        leases: All that are held, whenever asked.
        report: Takes what ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        drain: DrainDeadlines,
        grace: float,
        connections: Collection[Departing],
        leases: Callable[[], Iterable[Lease]],
        report: Callable[[FarewellsSaid], None],
    ) -> None:
        self._loop = loop
        self._drain = drain
        self._grace = grace
        self._connections = connections
        self._leases = leases
        self._report = report
        self._began = 0
        self._timers: list[asyncio.TimerHandle] = []
        self._overdue: set[Lease] = set()
        self._left: dict[Lease, float] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._expected: set[Departing] = set()
        self._said: dict[tuple[LeaseKind, Farewell], list[float]] = {}
        self._reporting: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """The worker leaves from now on; said again it changes nothing."""
        if self._timers:
            return
        self._began = time.monotonic_ns()
        for kind in LeaseKind:
            self._later(self._deadline(kind), self._end_class, kind)

    def end_within(self, seconds: float) -> None:
        """All connections are cut so many seconds from now: end requests before, while they can be told."""
        self._later(seconds - min(LAST_WORDS, seconds / 10), self._end_requests)

    def window(self, kind: LeaseKind) -> float:
        """Seconds over which the ends are spread that begin with a class's deadline."""
        return window(self._deadline(kind), self._drain.longest(), self._grace)

    def untaken(self, waited: float) -> None:
        """A connection ended that waited so many seconds for somebody to take it."""
        self._note(LeaseKind.HTTP, Farewell.UNTAKEN, waited)

    def close(self) -> None:
        """End nothing more, and tell what was not told yet."""
        for timer in self._timers:
            timer.cancel()
        if self._looking is not None:
            self._looking.cancel()
        if self._reporting is not None:
            self._reporting.cancel()
            self._tell()

    def _end_class(self, kind: LeaseKind) -> None:
        """A class's deadline passes: what is of it ends, and what came into another one after that one's deadline."""
        passed = self._deadline(kind)
        over = self._over(passed)
        overdue = [each for each in self._leases() if each.kind in over and self._is_due(each)]
        self._overdue.update(overdue)
        for number, lease in enumerate(sorted(overdue, key=lambda lease: lease.since)):
            reprieve = self._reprieve(lease)
            spread = window(passed + reprieve, self._drain.longest(), self._grace)
            told_first = lease.kind is LeaseKind.WEBSOCKET
            after = reprieve + (spread if told_first else moment(number, spread))
            self._later(after, self._end_lease, lease, self._over(passed + after))
        for each in over:
            self._expect_ends(each, over)
        if kind is LeaseKind.HTTP:
            self._leave_answered_behind()
        elif kind is LeaseKind.TASK:
            self._look_behind()

    def _is_due(self, lease: Lease) -> bool:
        """Whether it ends with its class: what works on a request that is held ends after that."""
        return lease not in self._overdue and (lease.under is None or lease.left_behind)

    def _over(self, seconds: float) -> frozenset[LeaseKind]:
        """The classes whose deadlines have passed so many seconds after the beginning."""
        return frozenset(each for each in LeaseKind if self._deadline(each) <= seconds)

    def _reprieve(self, lease: Lease) -> float:
        """Seconds beyond its deadline for a request that had to wait: it has as long from then on, or as long again if
        it still waits for a thread. One that waits for its client has none."""
        if lease.kind is not LeaseKind.HTTP or lease.reads:
            return 0.0
        return self._drain.http if lease.waits else self._late(lease.resumed)

    def _late(self, since: int) -> float:
        """How long after the beginning that was; at most as long as requests have."""
        return min(max(0.0, (since - self._began) / 1e9), self._drain.http)

    def _leave_answered_behind(self) -> None:
        """Let nobody wait for threads whose requests somebody else has answered: no lease says that they hang."""
        held = set(self._leases())
        for each in owing():
            if each.lease not in held:
                self._later(self._late(each.owes_since), self._leave_behind, each)

    def _leave_behind(self, assignment: Assignment) -> None:
        if assignment.owes:
            assignment.staff.leave_behind(assignment)

    def _expect_ends(self, kind: LeaseKind, over: Collection[LeaseKind]) -> None:
        """Spread the ends of those connections of a class that cannot go over."""
        fixed = [each for each in self._connections if each.parting is not Parting.RESTS and each.kind is kind]
        for number, connection in enumerate(each for each in fixed if each not in self._expected):
            self._expected.add(connection)
            self._later(moment(number, self.window(kind)), self._end_connection, connection, over)

    def _end_requests(self) -> None:
        for lease in self._leases():
            if lease.kind in REQUESTS:
                lease.end("the worker stops")

    def _end_lease(self, lease: Lease, over: Collection[LeaseKind]) -> None:
        if lease.kind not in over:
            self._overdue.discard(lease)
            return
        if lease.end("its drain deadline passed"):
            self._note(lease.kind, Farewell.OVERDUE, (time.monotonic_ns() - lease.since) / 1e9)
        for each in work_for(lease):
            each.staff.leave_behind(each)
        self._left[lease] = time.monotonic()

    def _look_behind(self) -> None:
        self._looking = self._loop.call_later(LAST_WORDS, self._end_left_behind)

    def _end_left_behind(self) -> None:
        """End what goes on after its request, if its own deadline has passed; and look again, as more may come."""
        over = self._over((time.monotonic_ns() - self._began) / 1e9)
        now = time.monotonic()
        for lease in self._leases():
            if lease not in self._overdue and self._has_stayed(lease, now):
                self._overdue.add(lease)
                self._end_lease(lease, over)
        self._look_behind()

    def _has_stayed(self, lease: Lease, now: float) -> bool:
        """Whether it goes on `LAST_WORDS` after its request was told to end, or was seen to be answered or over: as
        long it has to come to its end by itself. A request whose end has its moment is told first."""
        request = lease.request
        if lease.left_behind or (request.kind is LeaseKind.TASK and request not in self._overdue):
            self._left.setdefault(request, now)
        return now >= self._left.get(request, math.inf) + LAST_WORDS

    def _end_connection(self, connection: Departing, over: Collection[LeaseKind]) -> None:
        if connection.kind not in over:
            self._expected.discard(connection)
        elif connection in self._connections:
            connection.farewell()
            self._note(connection.kind, Farewell.FIXED, self._loop.time() - connection.since)

    def _deadline(self, kind: LeaseKind) -> float:
        deadline: float = getattr(self._drain, kind.value)
        return deadline

    def _later(self, seconds: float, do: Callable[..., None], *arguments: object) -> None:
        self._timers.append(self._loop.call_later(seconds, do, *arguments))

    def _note(self, kind: LeaseKind, why: Farewell, age: float) -> None:
        self._said.setdefault((kind, why), []).append(age)
        if self._reporting is None:
            self._reporting = self._loop.call_later(REPORT, self._tell)

    def _tell(self) -> None:
        said, self._said, self._reporting = self._said, {}, None
        for (kind, why), ages in said.items():
            self._report(FarewellsSaid(kind.value, why, len(ages), max(ages)))
