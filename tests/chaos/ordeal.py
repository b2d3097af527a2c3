"""A small service under a light load whose processes die, and what its clients met meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from benchmarks.chaos import judged
from benchmarks.killing.moments import Moment
from benchmarks.killing.premises import disquiet
from benchmarks.killing.trial import DYING, arm, disarm
from benchmarks.killing.victims import kill_and_name
from benchmarks.load.process import running, total
from benchmarks.load.record import Mix
from benchmarks.subject import Kind, Subject, residents, serving, until

LIGHT = Mix(busy=2, idle=2, fresh=1, silent=1, post=1, dribble=1, stream=1, long=1, pace=0.02)
PATIENCE = 60.0


@dataclass
class Ordeal:
    """What is done to one service.

    Attributes:
        subject: The service.
        excused: Ports of clients whose connection a killed worker took along: nothing else may fail.
    """

    subject: Subject
    excused: set[int] = field(default_factory=set)

    @property
    def workers(self) -> set[int]:
        """Pids of the workers that are there."""
        return {pid for pid in self.subject.workers().values() if pid}

    def die_at(self, moment: Moment) -> None:
        """Let the supervisor die at a moment that comes by itself or was set off."""
        arm(self.subject, moment)
        self.await_death(moment)

    def await_death(self, moment: Moment) -> None:
        """Wait for the moment to come."""
        until(lambda: not self.subject.alive, PATIENCE, lambda: f"never came: {moment}\n{self.subject.words()}")
        disarm(self.subject)

    def revive(self) -> None:
        """Start a supervisor, and wait until it answers for all slots."""
        self.subject.start()
        self.subject.await_serving()

    def kill_worker(self, pid: int) -> None:
        """Kill a worker, and keep what that explains."""
        self.excused |= kill_and_name(pid, self.subject.address[1])

    def reload(self) -> int:
        """Have new content served, by a service that is quiet; the new epoch."""
        epoch = self.quiet() + 1
        self.subject.contents.renew()
        self.subject.hang_up()
        return self.quiet(epoch)

    def quiet(self, least: int = 0) -> int:
        """Wait until nothing is under way and nothing is left over; the epoch that serves."""
        subject = self.subject
        until(lambda: not disquiet(subject, least), PATIENCE, lambda: f"{disquiet(subject, least)}\n{subject.words()}")
        return subject.status().epoch

    def lives(self) -> set[int]:
        """Whoever belongs to the service."""
        return set(residents(self.subject.folder))


@contextmanager
def ordeal(workers: int = 2, kind: Kind = Kind.PLUGIN) -> Iterator[Ordeal]:
    """A service under load; afterwards no client may have met anything that a killed worker does not explain."""
    with serving(workers, kind, DYING) as subject:
        ordeal = Ordeal(subject)
        with running(subject.address, LIGHT) as load:
            yield ordeal
            reports = load.stop()
    _, unexcused = judged(reports, ordeal.excused)
    totals = total(reports)
    assert unexcused == (), f"no killed worker explains {unexcused}"
    assert totals.confused == ()
    assert sum(totals.requests.values()) > 0
