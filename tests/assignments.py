"""What threads are to do, as a test has it: it owes a response until the test says otherwise."""

from changeover.workers.serving.assignment import Assignment
from changeover.workers.serving.lease import Lease


class Owed(Assignment):
    """An assignment of a request that has no response.

    Args:
        lease: The request's.

    Attributes:
        answered: Whether it has one after all.
    """

    def __init__(self, lease: Lease) -> None:
        super().__init__()
        self.answered = False
        self._lease = lease

    @property
    def lease(self) -> Lease:
        """See `Assignment`."""
        return self._lease

    @property
    def is_unanswered(self) -> bool:
        """See `Assignment`."""
        return not self.answered

    def begin_turn(self) -> None:
        """See `Assignment`."""

    def end_turn(self) -> None:
        """See `Assignment`."""

    def run(self) -> None:
        """See `Assignment`."""
        raise AssertionError("no thread is here to do it")
