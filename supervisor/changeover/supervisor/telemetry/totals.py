"""What all workers have counted, the dead ones included: every number only rises while the service lives.

A worker reports everything that it has counted since it started, again and again, so a report in the place of another
loses nothing. What a dead one said last is kept beside the sockets, for a supervisor that adopts the others.
"""

from collections.abc import Callable

import msgspec

from changeover.workers.protocol.counted import Counts, total
from changeover.workers.protocol.identity import WorkerId

MOST_ENDED = 64
"""Dead workers whose last words may still be under way."""


class Totals:
    """Takes reports and adds them up.

    Args:
        kept: What a former supervisor kept of dead workers; empty for nothing, or nothing that can be read.
        keep: Keeps that for the next one.
    """

    def __init__(self, kept: bytes = b"", keep: Callable[[bytes], None] = lambda _: None) -> None:
        self._keep = keep
        self._living: dict[WorkerId, Counts] = {}
        self._ended: dict[WorkerId, Counts] = {}
        self._retired = _recalled(kept)

    def take(self, worker: WorkerId, counts: Counts) -> None:
        """A worker reports; of one that is dead it is the last word."""
        if worker in self._ended:
            self._ended[worker] = counts.at_rest()
            self._keep_ended()
        else:
            self._living[worker] = counts

    def take_late(self, worker: WorkerId, counts: Counts) -> None:
        """A worker reports whose death was seen before; one that is long gone is not counted twice."""
        if worker in self._ended:
            self.take(worker, counts)

    def bury(self, worker: WorkerId) -> None:
        """A worker is confirmed dead; what it counted stays."""
        self._ended[worker] = self._living.pop(worker, Counts()).at_rest()
        while len(self._ended) > MOST_ENDED:
            self._retired = total((self._retired, self._ended.pop(next(iter(self._ended)))))
        self._keep_ended()

    def total(self) -> Counts:
        """Everything, since the service started."""
        return total((self._retired, *self._ended.values(), *self._living.values()))

    def _keep_ended(self) -> None:
        self._keep(msgspec.msgpack.encode(total((self._retired, *self._ended.values()))))


def _recalled(kept: bytes) -> Counts:
    try:
        return msgspec.msgpack.decode(kept, type=Counts) if kept else Counts()
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Counts()
