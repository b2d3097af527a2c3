"""What one thread does for one request, from its beginning to its end.

The thread says when it begins and when it comes back, the loop when it is done and when nobody waits for it any more.
Of the two ends one counts: who comes back first goes on, who was left behind first ends.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Thread
from time import monotonic_ns
from typing import Protocol

from changeover.workers.serving.lease import Lease


class Staff(Protocol):
    """Whose threads do it."""

    def leave_behind(self, assignment: "Assignment") -> None:
        """Go on without the thread that does it."""


class Assignment(ABC):
    """What a thread is to do, does or has done for a request.

    Attributes:
        staff: Whose threads do it; there from when it is submitted.
        thread: Who does it; None while it waits for a thread.
        began: When that took it, CLOCK_MONOTONIC in nanoseconds.
        is_done: Whether the loop knows that it is over.
        when_left: Called on the loop if its thread is left behind.
    """

    __slots__ = ("began", "is_done", "staff", "thread", "when_left")

    staff: Staff

    def __init__(self) -> None:
        self.thread: Thread | None = None
        self.began = 0
        self.is_done = False
        self.when_left: Callable[[], None] | None = None

    @property
    @abstractmethod
    def lease(self) -> Lease:
        """Of the request that it is done for."""

    @property
    @abstractmethod
    def is_unanswered(self) -> bool:
        """Whether no more than the beginning of a response came of it yet."""

    @abstractmethod
    def run(self) -> None:
        """Do it, in the thread; raises nothing."""

    @abstractmethod
    def begin_turn(self) -> None:
        """It waits for a thread from now on; on the loop."""

    @abstractmethod
    def end_turn(self) -> None:
        """It has one, or is over; on the loop. Does nothing when it does not wait."""

    @property
    def is_waited_for(self) -> bool:
        """Whether its thread is at it, and was not left behind."""
        return not self.is_done and self in at_work

    @property
    def owes(self) -> bool:
        """Whether its thread has yet to answer, and waits for no client."""
        return not self.is_done and self.is_unanswered and not self.lease.reads

    @property
    def owes_since(self) -> int:
        """When the thread had it, and of the request's body what has come; as `began`."""
        return max(self.began, self.lease.resumed)

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
    return [each for each in under_way() if each.lease is lease]


def owing() -> list[Assignment]:
    """Those of them that owe a response, also where somebody else has answered meanwhile."""
    return [each for each in under_way() if each.owes]
