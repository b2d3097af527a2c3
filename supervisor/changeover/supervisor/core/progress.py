"""Where the cutover stands, shared by those who move it: the one place that asks its table."""

from changeover.supervisor.core import cutover
from changeover.supervisor.core.cutover import QUIET, Cause, State
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.records.cutover import PhaseBegan
from changeover.supervisor.core.run import Run


class Progress:
    """The cutover that runs.

    Attributes:
        state: Where it stands.
        run: What is known of it; None while none runs.
    """

    __slots__ = ("_out", "run", "state")

    def __init__(self, out: Outbox) -> None:
        self._out = out
        self.state = cutover.TABLE.start
        self.run: Run | None = None

    def at(self, epoch: int, *states: State) -> Run | None:
        """The run, when it is about `epoch` and in one of `states`: late answers are about another, or too late."""
        if self.run is None or self.run.epoch != epoch or self.state not in states:
            return None
        return self.run

    def move(self, cause: Cause) -> None:
        """Let the table say what follows."""
        self.state = cutover.TABLE.after(self.state, cause)
        if self.run is not None and self.state not in QUIET:
            self._out.tell(PhaseBegan(self.run.epoch, self.state.value))
