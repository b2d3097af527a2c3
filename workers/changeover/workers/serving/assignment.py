"""What one thread does for one request, from its beginning to its end.

The thread says when it begins and when it comes back, the loop when it is done and when nobody waits for it any more.
Of the two ends one counts: who comes back first goes on, who was left behind first ends.
"""

from collections.abc import Callable
from threading import Thread
from time import monotonic_ns
from typing import Protocol

import msgspec

from changeover.workers.serving.lease import Lease


class Job(Protocol):
    """What a thread does."""

    @property
    def lease(self) -> Lease:
        """Of the request that it is done for."""

    @property
    def owes(self) -> bool:
        """Whether no more than the beginning of a response came of it yet."""

    def run(self) -> None:
        """Do it, in the thread; raises nothing."""


class Staff(Protocol):
    """Whose threads do it."""

    def leave_behind(self, assignment: "Assignment") -> None:
        """Go on without the thread that does it."""


class Assignment(msgspec.Struct, eq=False):
    """A job that a thread is to do, does or has done.

    Attributes:
        job: What it does.
        staff: Whose threads do it.
        thread: Who does it; None while it waits for a thread.
        began: When that took it, CLOCK_MONOTONIC in nanoseconds.
        is_done: Whether the loop knows that it is over.
        when_left: Called on the loop if its thread is left behind.
    """

    job: Job
    staff: Staff
    thread: Thread | None = None
    began: int = 0
    is_done: bool = False
    when_left: Callable[[], None] | None = None

    @property
    def is_waited_for(self) -> bool:
        """Whether its thread is at it, and was not left behind."""
        return not self.is_done and self in at_work

    @property
    def owes(self) -> bool:
        """Whether its thread has yet to answer, and waits for no client."""
        return not self.is_done and self.job.owes and not self.job.lease.reads

    @property
    def owes_since(self) -> int:
        """When the thread had it, and of the request's body what has come; as `began`."""
        return max(self.began, self.job.lease.resumed)

    def begin(self, thread: Thread) -> None:
        """`thread` takes it; in the thread."""
        self.thread = thread
        self.began = monotonic_ns()
        at_work[self] = thread

    def come_back(self) -> bool:
        """Its thread is through with it: whether it is still waited for; in the thread."""
        return at_work.pop(self, None) is not None

    def leave_behind(self) -> bool:
        """Wait for its thread no more, unless that is through with it already; whether so."""
        if self.is_done or at_work.pop(self, None) is None:
            return False
        left_behind.add(self)
        if self.when_left is not None:
            self.when_left()
        return True

    def done(self) -> bool:
        """It is over: whether its thread was waited for until now."""
        self.is_done = True
        if self not in left_behind:
            return True
        left_behind.remove(self)
        return False


at_work: dict[Assignment, Thread] = {}
"""What threads do for which somebody waits. Whoever takes one out of it, thread or loop, has decided who was first."""
left_behind: set[Assignment] = set()
"""What threads do for which nobody waits any more; the loop's."""


def under_way() -> list[Assignment]:
    """What threads do now, those that were left behind too."""
    return [each for each in (*at_work.copy(), *left_behind) if not each.is_done]


def work_for(lease: Lease) -> list[Assignment]:
    """Those of them that are done for a request: several where a handler calls more than once."""
    return [each for each in under_way() if each.job.lease is lease]


def owing() -> list[Assignment]:
    """Those of them that owe a response, also where somebody else has answered meanwhile."""
    return [each for each in under_way() if each.owes]
