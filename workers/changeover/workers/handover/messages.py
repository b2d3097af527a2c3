"""Everything that two workers say over a handover link, on one screen.

One message is one packet of a SEQPACKET socket. An `Offer` has a descriptor for each of its connections beside it.
"""

import enum
from typing import TypeVar

import msgspec

from changeover.workers.channel.luggage import Luggage
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Refusal

HANDOVER_VERSION = 4
"""Raised whenever a message changes its meaning; a sender of another version is denied."""
STATE_VERSION = 1
"""Raised whenever `State` changes its meaning; nothing of it is sent to a receiver that does not name this one."""
MAX_PACKET = 96 * 1024
"""Longest packet, in bytes: at most `MOST_UNREAD`, one connection's state, and what is said about the connections."""
MOST_UNREAD = 64 * 1024
"""Most unread bytes in one packet, with the state of several connections: one alone may have its state beside it."""
MOST_TOGETHER = 16
"""Most connections in one packet."""
MOST_CREDIT = 32
"""Most connections that may be on their way over one link."""


class Denial(enum.Enum):
    """Why nothing is taken from a sender."""

    FOREIGN = "foreign journal"
    VERSION = "unknown protocol version"


class Fault(enum.Enum):
    """Why one connection was not adopted; the values are what goes over the link, and no words for people."""

    BARE = "its descriptor did not arrive"
    OVERDRAWN = "no credit was left"
    FULL = "no descriptor was left for it"


class ToReceiver(msgspec.Struct, frozen=True, tag=True):
    """Said by the worker that leaves."""


class Introduction(ToReceiver, frozen=True):
    """The first packet.

    Attributes:
        protocol: Its `HANDOVER_VERSION`.
        worker: Who leaves.
        stamp: Where in history it stands.
    """

    protocol: int
    worker: WorkerId
    stamp: Stamp


class Offered(msgspec.Struct, frozen=True, array_like=True):
    """One connection of an `Offer`.

    Attributes:
        id: The sender's number for it.
        listener: The address by which its client came.
        luggage: What it takes along.
    """

    id: int
    listener: str
    luggage: Luggage


class Offer(ToReceiver, frozen=True):
    """Some connections; their descriptors come beside it, in the same order.

    Attributes:
        stamp: `stamp.epoch` is what the sender served.
        connections: Which.
    """

    stamp: Stamp
    connections: tuple[Offered, ...]


class State(ToReceiver, frozen=True):
    """What one plugin of the sender's knows; the bytes are in a sealed memory file, whose descriptor comes beside it.

    Answered by StateTaken or StateRefused, some time; without an answer it was not taken. Needs no credit.

    Attributes:
        id: The sender's number for it.
        plugin: The plugin's id.
        version: Its version in the sender.
        digest: Its content there.
        imported: So many bytes at the beginning of the file are what was taken the last time; 0 where nothing was.
        latest: So many follow, to its end: what the plugin exports now.
    """

    id: int
    plugin: str
    version: str
    digest: str
    imported: int
    latest: int


class ToSender(msgspec.Struct, frozen=True, tag=True):
    """Said by the worker that stays."""


class Welcomed(ToSender, frozen=True):
    """Answer to `Introduction`: connections will be taken as far as `Credit` is given.

    Attributes:
        state: The `STATE_VERSION` that is taken; 0 by those who know of none.
    """

    state: int = 0


class Denied(ToSender, frozen=True):
    """The other answer to `Introduction`; the link is closed."""

    denial: Denial


class Credit(ToSender, frozen=True):
    """So many `more` connections may be offered.

    Attributes:
        more: How many, beside what was granted before.
        connections: How many the receiver holds.
    """

    more: int
    connections: int


class Adopted(ToSender, frozen=True):
    """These are the receiver's from here on; said before anything is done with them."""

    ids: tuple[int, ...]


class Declined(ToSender, frozen=True):
    """This one stays the sender's."""

    id: int
    fault: Fault


class StateTaken(ToSender, frozen=True):
    """The plugin here has this state, or begins without it, which is told to the supervisor."""

    id: int


class StateRefused(ToSender, frozen=True):
    """This state was not taken: the plugin's hook failed, or there is none that could take it."""

    id: int
    refusal: Refusal


FromSender = Introduction | Offer | State
FromReceiver = Welcomed | Denied | Credit | Adopted | Declined | StateTaken | StateRefused

_LONGEST_TEXT, _LONGEST_TRACEBACK = 1024, 16 * 1024
"""Characters of a refusal, each of which may take four bytes."""

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_from_sender: msgspec.msgpack.Decoder[FromSender] = msgspec.msgpack.Decoder(FromSender)
_from_receiver: msgspec.msgpack.Decoder[FromReceiver] = msgspec.msgpack.Decoder(FromReceiver)


def encode(message: FromSender | FromReceiver) -> bytes:
    """Encode a message as one packet."""
    return _encoder.encode(message)


def shortened(refusal: Refusal) -> Refusal:
    """A refusal that fits into a packet, whatever a plugin said."""
    texts = {name: getattr(refusal, name)[:_LONGEST_TEXT] for name in ("summary", "unit", "hook", "where", "source")}
    return msgspec.structs.replace(refusal, **texts, traceback=refusal.traceback[-_LONGEST_TRACEBACK:])


def decode_from_sender(packet: bytes) -> FromSender:
    """Decode what the worker that leaves said.

    Raises:
        MalformedFrame: `packet` is no message of a sender's.
    """
    return _decode(_from_sender, packet)


def decode_from_receiver(packet: bytes) -> FromReceiver:
    """Decode what the worker that stays said.

    Raises:
        MalformedFrame: `packet` is no message of a receiver's.
    """
    return _decode(_from_receiver, packet)


def _decode(decoder: "msgspec.msgpack.Decoder[T]", packet: bytes) -> T:
    try:
        return decoder.decode(packet)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise MalformedFrame(len(packet), str(error)) from error
