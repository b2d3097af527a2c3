"""How long a cutover may stay where it is: no phase outlasts its deadlines, whatever dies, hangs or comes meanwhile.

One who is asked only after others, because one crashed, or let the deadline pass, has the whole deadline to prepare: so
that phase may last that long once more, and twice for each worker that crashes meanwhile, for the one that comes in its
place and for the next one. Past the deadline it begins anew at most as often as there are workers to be asked.

Nor is a worker killed before its own: who has the committed epoch still to build has the deadline of all that join.
"""

from typing import TYPE_CHECKING

from changeover.supervisor.core import child
from changeover.supervisor.core.cutover import State
from changeover.supervisor.core.policy import Deadlines
from changeover.supervisor.core.records.worker import WorkerExited, WorkerKilled
from changeover.supervisor.core.view import Overview
from tests.simulation.invariants import PromiseBroken

if TYPE_CHECKING:
    from tests.simulation.supervisor import Supervisor
    from tests.simulation.world import World

LOOK = 0.05
"""Seconds between two looks."""
SLACK = 0.1
"""Seconds for what has no deadline of its own: an event that is on its way."""
LATE = "did not follow"
"""How a worker is killed that was to follow at once."""
DYING = 0.2
"""Seconds from a KILL to the news of the death."""
KILLED = -9
"""Exit status of a worker that the supervisor killed."""


class Waits:
    """Watches the clock of the cutover that runs.

    Args:
        world: What is watched.
        deadlines: Those of its supervisors.
    """

    __slots__ = (
        "_asked", "_crashed", "_crashes", "_deadlines", "_desolate", "_looked", "_phase", "_since", "_supervisor",
        "_watched", "_world",
    )  # fmt: skip

    def __init__(self, world: "World", deadlines: Deadlines) -> None:
        self._world = world
        self._deadlines = deadlines
        self._supervisor: Supervisor | None = None
        self._phase = State.IDLE
        self._since = self._looked = 0.0
        self._desolate = False
        self._watched: Supervisor | None = None
        self._asked: dict[int, int] = {}
        """How often each candidate came to be prepared."""
        self._crashed = False
        """Whether a worker crashed since the last commit, as far as the supervisor can know."""
        self._crashes = 0
        """How many did since workers were asked first."""

    def entered(self, phase: State) -> None:
        """A cutover enters a phase."""
        self._supervisor, self._phase = self._world.supervisor, phase
        self._since = self._looked = self._world.agenda.now
        living = (child.State.JOINING, child.State.SERVING)
        slots = self._supervisor.machine.view().slots if phase is State.ACTIVATING else ()
        self._desolate = not any(slot.state in living for slot in slots)
        if phase is State.PREPARING:
            self._prepares(self._supervisor.machine.view())

    def _prepares(self, view: Overview) -> None:
        epoch = view.candidate or 0
        times = self._asked[epoch] = self._asked.get(epoch, 0) + 1
        if times == 1:
            self._crashes = 0
        elif times > 1 + len(view.slots):
            raise PromiseBroken(13, f"the deadline to prepare epoch {epoch} begins for the {times}. time")

    def exited(self, supervisor: "Supervisor", exited: WorkerExited) -> None:
        """A supervisor knows of a death."""
        if supervisor is not self._watched:
            self._watched, self._crashed = supervisor, False
        if not exited.expected and exited.status != KILLED:
            self._crashed = True
            self._crashes += 1

    def committed(self) -> None:
        """No crash so far says anything of what is committed now."""
        self._crashed = False

    def scaled(self) -> None:
        """Another number of workers is wanted: those that a roll lacks have their time to come."""
        if self._phase is State.PREPARING:
            self._since = self._world.agenda.now

    def killed(self, killed: WorkerKilled) -> None:
        """Who is killed because it followed too late held the epoch: who has it to build has longer."""
        if not killed.reason.startswith(LATE):
            return
        for worker in self._world.living():
            follows = worker.machine.prepared is not None or worker.epoch == worker.word.read() or worker.yielding
            if worker.worker == killed.worker and not follows:
                raise PromiseBroken(13, f"{worker.name} {killed.reason}, and had it to build")

    def check(self) -> None:
        """A phase that is over is forgotten; one that is not must not have lasted too long."""
        supervisor, now = self._supervisor, self._world.agenda.now
        if supervisor is None or now - self._looked < LOOK:
            return
        self._looked, waited = now, now - self._since
        view = supervisor.machine.view() if supervisor.alive else None
        if view is None or view.cutover is not self._phase or self._world.stopping:
            self._supervisor = None
        elif waited > (longest := self._longest(view)) + SLACK:
            what = f"the cutover is {self._phase.value} for {waited:.2f} s, and has {longest:.2f} s"
            raise PromiseBroken(13, what)

    def _longest(self, view: Overview) -> float:
        """Seconds that the phase may last."""
        wait = self._deadlines
        match self._phase:
            case State.PRELOADING:
                return wait.zygote + wait.boot
            case State.PREFLIGHTING:
                return wait.preflight
            case State.PREPARING:
                return self._longest_prepare(view)
            case State.AGREEING | State.MIGRATING:
                return wait.prepare
            case State.INQUIRING:
                return max(wait.inquire, wait.kill)
            case State.UNMIGRATING:
                return len(view.slots) * wait.prepare
            case State.DECIDING | State.ABORTING:
                return wait.persist
            case State.ACTIVATING if not self._desolate and any(slot.epoch == view.candidate for slot in view.slots):
                return wait.activate + wait.inquire + DYING
            case State.ACTIVATING:
                return wait.activate + 2 * wait.boot
            case _:
                return float("inf")  # only the journal can tell when a doubt ends

    def _longest_prepare(self, view: Overview) -> float:
        """Who is asked has the whole deadline, but in a roll, whose workers share one until all of them are there."""
        given, wait = self._world.journal.given.get(view.candidate or 0), self._deadlines
        if given is not None and (given.part is not None or given.candidate.is_roll):
            return wait.zygote + len(view.slots) * wait.boot
        return (1 + self._crashed + 2 * self._crashes) * wait.prepare
