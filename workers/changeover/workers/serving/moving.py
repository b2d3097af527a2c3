"""Lets what goes on for longer than a generation go on in the one that serves now."""

from collections.abc import Callable
from time import monotonic_ns

from changeover.workers.serving.contract import CallContext
from changeover.workers.serving.lease import LeaseKind, current_lease
from changeover.workers.serving.router import Mismatch, Target

Whereto = Callable[[int], tuple[int, Target | Mismatch] | None]
"""Asked with the epoch that was seen last: the one that serves now, and where it leads; None when it is the same, or
nothing may be dispatched now."""


class Move:
    """A lease on what serves now, beside the one on what served; one of the two is given back.

    Args:
        call: The call as it is.
        epoch: What serves now.
        target: Where that leads.
    """

    __slots__ = ("_call", "_epoch", "_lease", "_target")

    def __init__(self, call: CallContext, epoch: int, target: Target) -> None:
        old = call.lease
        self._call = call
        self._epoch = epoch
        self._target = target
        self._lease = target.unit_set.lease(LeaseKind.WEBSOCKET, epoch, old.path, monotonic_ns())
        self._lease.holder = old.holder

    def keep(self) -> None:
        """Go on under the new one; so does what the running task starts from now on."""
        call, old = self._call, self._call.lease
        call.epoch, call.route, call.lease = self._epoch, self._target.route.pipeline, self._lease
        current_lease.set(self._lease)
        old.go_on_under(self._lease)
        old.release()

    def drop(self) -> None:
        """Stay under the old one."""
        self._lease.release()
