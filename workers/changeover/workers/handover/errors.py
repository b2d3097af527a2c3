"""What goes wrong between two workers."""

from collections.abc import Mapping

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.identity import WorkerId


class Unreachable(ChangeoverError):
    """Connections cannot be handed over to some of those who should take them.

    Attributes:
        reasons: Who could not be reached, and why.
    """

    def __init__(self, reasons: Mapping[WorkerId, str]) -> None:
        self.reasons = reasons
        told = "; ".join(f"{worker}: {reason}" for worker, reason in sorted(reasons.items()))
        super().__init__(f"connections cannot be handed over to {told}")


class NotTaken(ChangeoverError):
    """A worker did not say that it took the state of a plugin.

    Attributes:
        receiver: Which worker.
        plugin: The plugin's id.
        reason: Why not.
    """

    def __init__(self, receiver: WorkerId, plugin: str, reason: str) -> None:
        self.receiver = receiver
        self.plugin = plugin
        self.reason = reason
        super().__init__(f"the state of plugin {plugin} was not taken by {receiver}: {reason}")
