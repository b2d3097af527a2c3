"""What is migrated and undone in a schedule, and what must hold of it: a migration is part of "all or nothing".

At most one worker migrates for an epoch, and at most once. What is committed was migrated whole and is not undone;
what is aborted is undone, as long as somebody lives who knows of it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from changeover.workers.protocol.messages import SupervisorMessage
from changeover.workers.protocol.plugin_messages import Migrate, Unmigrate
from tests.simulation.invariants import require
from tests.simulation.worker import Worker

if TYPE_CHECKING:
    from tests.simulation.supervisor import Supervisor
    from tests.simulation.world import World


@dataclass(slots=True)
class Done:
    """What was migrated for one epoch.

    Attributes:
        worker: Who did it.
        supervisor: Who had it done.
        returned: Whether it came to a good end.
        undone: Whether it was undone.
        left: Whether somebody was told that it is not undone.
        doubtful: Whether nobody knew for a time whether it is committed.
    """

    worker: Worker
    supervisor: "Supervisor"
    returned: bool = False
    undone: bool = False
    left: bool = False
    doubtful: bool = False


class Migrations:
    """Everything that was migrated.

    Args:
        world: What is watched.
    """

    def __init__(self, world: "World") -> None:
        self.world = world
        self.told: set[int] = set()
        self.done: dict[int, Done] = {}

    def on_sent(self, message: SupervisorMessage) -> None:
        """The supervisor tells one worker something."""
        epoch = message.stamp.epoch
        if isinstance(message, Migrate):
            require(epoch not in self.world.journal.decisions, 2, f"{epoch} is to be migrated, and is decided")
            self.told.add(epoch)
        elif isinstance(message, Unmigrate):
            require(epoch in self.told, 2, f"{epoch} is to be undone, and nobody was told to migrate")
            require(not self.world.is_committed(epoch), 2, f"{epoch} is to be undone, and is committed")

    def on_migrate(self, worker: Worker, epoch: int) -> None:
        """A worker begins to migrate."""
        require(epoch in self.told, 2, f"{worker.name} migrates for {epoch}, and nobody was told to")
        require(epoch not in self.done, 2, f"{worker.name} migrates for {epoch}, for which somebody did before")
        self.done[epoch] = Done(worker, self.world.supervisor)

    def on_migrated(self, epoch: int) -> None:
        """It came to a good end."""
        self.done[epoch].returned = True

    def on_unmigrated(self, worker: Worker, epoch: int) -> None:
        """A worker has undone what was migrated."""
        require(not self.world.is_committed(epoch), 2, f"{worker.name} undoes {epoch}, which is committed")
        if epoch in self.done:
            self.done[epoch].undone = True

    def on_left(self, epoch: int) -> None:
        """Operators hear that nobody could undo it."""
        if epoch in self.done:
            self.done[epoch].left = True

    def on_doubt(self, epoch: int) -> None:
        """Nobody knows whether an epoch is committed."""
        if epoch in self.done:
            self.done[epoch].doubtful = True

    def on_committed(self, epoch: int) -> None:
        """A commit is on disk."""
        if epoch in self.told:
            done = self.done.get(epoch)
            whole = done is not None and done.returned and not done.undone
            require(whole, 2, f"{epoch} is committed, and what was to be migrated is not")

    def check(self) -> None:
        """The world is at rest: what is aborted was undone."""
        for epoch, done in self.done.items():
            if done.undone or done.left or self.world.is_committed(epoch):
                continue
            known = done.worker.alive or (done.supervisor is self.world.supervisor and not done.doubtful)
            require(not known, 2, f"{epoch} is aborted, and what {done.worker.name} migrated is not undone")
