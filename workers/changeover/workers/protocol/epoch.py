"""Epochs, terms, journals, and the one rule that fences off stale messages.

Every message carries a `Stamp`. Both ends compare it with what they know before they look at
the message's type (after raft's `Step`); there is no second place where staleness is judged.
"""

import enum

import msgspec

EPOCH_ZERO = 0
"""What a worker serves before the first commit: a pipeline of length 0 and an empty registry."""


class Stamp(msgspec.Struct, frozen=True):
    """Where in history a message was sent.

    Attributes:
        journal: Identity of the journal, fixed when the state directory was made.
        term: Incarnation of the supervisor, from 1.
        epoch: The epoch that the message is about.
    """

    journal: str
    term: int
    epoch: int


class Fence(enum.Enum):
    """What `fence` says of a message."""

    PASS = "pass"
    """Current: handle it."""
    NEWER_TERM = "newer term"
    """From a later incarnation of the supervisor: adopt the term, then handle it."""
    STALE_TERM = "stale term"
    STALE_EPOCH = "stale epoch"
    FOREIGN = "foreign journal"


def fence(known: Stamp, message: Stamp) -> Fence:
    """Judge a message's stamp against what the receiver knows.

    Args:
        known: The receiver's journal, the latest term it has heard, and the epoch that is
            authoritative for it (a worker: the epoch it serves; the supervisor: 0, since a
            worker may lawfully report about any epoch that is not retired).
        message: The stamp on the message.
    """
    if message.journal != known.journal:
        return Fence.FOREIGN
    if message.term < known.term:
        return Fence.STALE_TERM
    if message.epoch < known.epoch:
        return Fence.STALE_EPOCH
    if message.term > known.term:
        return Fence.NEWER_TERM
    return Fence.PASS
