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

HANDOVER_VERSION = 4
"""Raised whenever a message changes its meaning; a sender of another version is denied."""
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
    """Why one connection was not adopted."""

    BARE = "its descriptor did not arrive"
    OVERDRAWN = "no credit was left"


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


class ToSender(msgspec.Struct, frozen=True, tag=True):
    """Said by the worker that stays."""


class Welcomed(ToSender, frozen=True):
    """Answer to `Introduction`: connections will be taken as far as `Credit` is given."""


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


FromSender = Introduction | Offer
FromReceiver = Welcomed | Denied | Credit | Adopted | Declined

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
_from_sender: msgspec.msgpack.Decoder[FromSender] = msgspec.msgpack.Decoder(FromSender)
_from_receiver: msgspec.msgpack.Decoder[FromReceiver] = msgspec.msgpack.Decoder(FromReceiver)


def encode(message: FromSender | FromReceiver) -> bytes:
    """Encode a message as one packet."""
    return _encoder.encode(message)


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
