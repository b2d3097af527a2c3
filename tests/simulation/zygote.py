"""The zygote's process: it outlives supervisors, its workers outlive it."""

from typing import TYPE_CHECKING, Any

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.events import Child
from changeover.workers.participant.machine import Identity
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.simulation.journal import JOURNAL
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.world import World

PRELOAD_FAILED = Refusal(Stage.LOAD, Fault.CONTRACT, "does not import")


class Zygote:
    """The one that takes orders.

    Attributes:
        cohort: Its cohort, 0 before the first.
        alive: Whether the process exists.
        ready: Whether it has preloaded.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.cohort = 0
        self.alive = False
        self.ready = False

    def start(self, cohort: int) -> None:
        """Preload."""
        self.cohort, self.alive, self.ready = cohort, True, False
        if self.world.random.random() < self.world.plan.zygote_fails:
            self.world.agenda.after(0.05, self.die)
            return
        self.world.agenda.after(self.world.random.uniform(0.02, 0.1), lambda: self._preloaded(cohort))

    def _preloaded(self, cohort: int) -> None:
        if self.alive and self.cohort == cohort and not self.ready:
            self.ready = True
            self._tell(events.ZygoteReady(cohort))

    def adopt(self, cohort: int) -> None:
        """A later supervisor connects."""
        if not self.alive or self.cohort != cohort or self.world.random.random() < self.world.plan.zygote_fails:
            self.alive = False
            self.world.tell_supervisor(0.01, events.ZygoteLost(cohort, "is gone"))
            return
        self.ready = True
        children = tuple(Child(w.worker, w.identity.pid) for w in self.world.living() if w.worker.cohort == cohort)
        self.world.tell_supervisor(0.02, events.ZygoteReady(cohort, children))

    def stop(self, cohort: int) -> None:
        """End."""
        if self.cohort == cohort and self.alive:
            slow = self.world.random.random() < 0.05
            self.world.agenda.after(0.8 if slow else 0.01, self.die)
        else:
            self.world.tell_supervisor(0.01, events.ZygoteLost(cohort, "was not there"))

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
        if not self.alive or worker.cohort != self.cohort:
            supervisor.later(delay, events.ForkFailed(worker, "no zygote"))
        elif self.world.random.random() < self.world.plan.forks_fail:
            supervisor.later(delay, events.ForkFailed(worker, "resource temporarily unavailable"))
        else:
            self.world.agenda.after(delay, lambda: self._born(effect, supervisor))

    def _born(self, effect: effects.Fork, supervisor: Any) -> None:
        if not self.alive:
            return
        pid = 1000 + effect.worker.incarnation % 1_000_000
        identity = Identity(effect.worker, effect.nonce, pid, JOURNAL, supervisor.term)
        self.world.begin_worker(identity)
        if self.world.random.random() >= self.world.plan.forks_mute:
            supervisor.later(self.world.random.uniform(0.0, 0.05), events.WorkerForked(effect.worker, pid))

    def _tell(self, event: events.Event) -> None:
        self.world.tell_supervisor(0.0, event)


__all__ = ("PRELOAD_FAILED", "Worker", "Zygote")
