"""The zygote's process: it outlives supervisors, its workers outlive it."""

from typing import TYPE_CHECKING, Any

from changeover.supervisor.core import effects, events
from changeover.workers.participant.machine import Identity
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.simulation.journal import JOURNAL
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

PRELOAD_FAILED = Refusal(Stage.LOAD, Fault.CONTRACT, "does not import")


class Zygote:
    """One that takes orders.

    Attributes:
        cohort: Its cohort.
        rolled: The epoch whose roll made it; known from the workers that it forks.
        alive: Whether the process exists.
        ready: Whether it has preloaded.
        ending: Whether it was told to end.
    """

    def __init__(self, world: "World", cohort: int) -> None:
        self.world = world
        self.cohort = cohort
        self.rolled = 0
        self.alive = True
        self.ready = False
        self.ending = False

    def start(self) -> None:
        """Preload."""
        if self.world.random.random() < self.world.plan.zygote_fails:
            self.world.agenda.after(0.05, self.die)
            return
        self.world.agenda.after(self.world.random.uniform(0.02, 0.1), self._preloaded)

    def _preloaded(self) -> None:
        if self.alive and not self.ready:
            self.ready = True
            self._tell(events.ZygoteReady(self.cohort))

    def adopt(self) -> None:
        """A later supervisor connects."""
        if not self.alive or self.world.random.random() < self.world.plan.zygote_fails:
            self.alive = False
            self.world.tell_supervisor(0.01, events.ZygoteLost(self.cohort, "is gone"))
            return
        self.ready = True
        children = tuple(child for child in self.world.children() if child.worker.cohort == self.cohort)
        self.world.tell_supervisor(0.02, events.ZygoteReady(self.cohort, children))

    def stop(self) -> None:
        """End."""
        self.ending = True
        if self.alive:
            slow = self.world.random.random() < 0.05
            self.world.agenda.after(0.8 if slow else 0.01, self.die)
        else:
            self.world.tell_supervisor(0.01, events.ZygoteLost(self.cohort, "was not there"))

    def die(self) -> None:
        """Be gone; the workers live on."""
        if self.alive:
            self.alive = False
            self._tell(events.ZygoteLost(self.cohort, "exited with status 1", None))

    def fork(self, effect: effects.Fork) -> None:
        """Make a worker."""
        worker = effect.worker
        supervisor = self.world.supervisor
        delay = self.world.random.uniform(0.005, 0.03)
        if not self.alive:
            supervisor.later(delay, events.ForkFailed(worker, "no zygote"))
        elif self.world.random.random() < self.world.plan.forks_fail:
            supervisor.later(delay, events.ForkFailed(worker, "resource temporarily unavailable"))
        else:
            self.world.agenda.after(delay, lambda: self._born(effect, supervisor))

    def _born(self, effect: effects.Fork, supervisor: Any) -> None:
        if not self.alive:
            return
        pid = 1000 + effect.worker.incarnation % 1_000_000
        self.rolled = effect.rolled
        identity = Identity(effect.worker, effect.nonce, pid, JOURNAL, supervisor.term, effect.rolled, effect.part)
        self.world.begin_worker(identity)
        if self.world.random.random() >= self.world.plan.forks_mute:
            supervisor.later(self.world.random.uniform(0.0, 0.05), events.WorkerForked(effect.worker, pid))

    def _tell(self, event: events.Event) -> None:
        self.world.tell_supervisor(0.0, event)


__all__ = ("PRELOAD_FAILED", "Worker", "Zygote")
