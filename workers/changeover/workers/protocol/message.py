"""What every message between supervisor and worker has."""

import msgspec

from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId


class Message(msgspec.Struct, frozen=True, tag=True):
    """What every message has."""

    stamp: Stamp


class FromSupervisor(Message, frozen=True):
    """Broadcast, or told to one worker on its own topic.

    Attributes:
        seq: Place in the order of broadcasts; a Welcome's is that of the last one. What else is told to one
            worker (repeats, questions) stands outside the order and has `UNORDERED`: it must not hide a gap.
    """

    seq: int


class FromWorker(Message, frozen=True):
    """Reported by one worker."""

    worker: WorkerId
