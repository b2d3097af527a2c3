"""Everything that can happen to the two machines of a handover: their only inputs, beside the time."""

import enum
from typing import NamedTuple

import msgspec

from changeover.workers.handover.messages import Adopted, Declined, FromReceiver, Introduction
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Refusal


class Event(msgspec.Struct, frozen=True):
    """Something that happened."""


class Woken(Event, frozen=True):
    """The time that `Wake` asked for has come."""


# To the sender.


class Hindrance(enum.Enum):
    """Why an offer was not sent."""

    LINK = "link"
    """Nothing gets through just now: no room for packets, or no descriptors."""
    PACKET = "packet"
    """This one does not get through."""


class Connected(Event, frozen=True):
    """There is a link to `receiver`."""

    receiver: WorkerId


class Heard(Event, frozen=True):
    """The receiver said something."""

    receiver: WorkerId
    message: FromReceiver


class LinkEnded(Event, frozen=True):
    """All that the receiver ever said was heard, and it says nothing more."""

    receiver: WorkerId


class LinkBroken(Event, frozen=True):
    """What the receiver says makes no sense: nobody listens any more."""

    receiver: WorkerId


class Rested(Event, frozen=True):
    """Connections `ids` can be handed over: nothing of them is under way."""

    ids: tuple[int, ...]


class Sent(Event, frozen=True):
    """One answer to `Offer`: the packet is on its way."""

    ids: tuple[int, ...]


class NotSent(Event, frozen=True):
    """Another answer to `Offer`: nothing has happened."""

    ids: tuple[int, ...]
    hindrance: Hindrance


class Vanished(Event, frozen=True):
    """The third answer to `Offer`: the connection has ended by itself."""

    id: int


class StateReady(Event, frozen=True):
    """The state `id` of a plugin can be sent to `receiver`."""

    receiver: WorkerId
    id: int


class StateSent(Event, frozen=True):
    """One answer to `Give`: the packet is on its way."""

    id: int


class StateNotSent(Event, frozen=True):
    """The other answer to `Give`: nothing has happened."""

    id: int


class Closed(Event, frozen=True):
    """The departure is over, whatever is left."""


# To the receiver.


class LinkMade(Event, frozen=True):
    """A sender has connected; `link` is our number for it."""

    link: int


class Introduced(Event, frozen=True):
    """The sender said who it is."""

    link: int
    introduction: Introduction


class Arrival(msgspec.Struct, frozen=True):
    """One offer.

    Attributes:
        id: The sender's number.
        whole: Whether its descriptor came with it.
    """

    id: int
    whole: bool


class Arrived(Event, frozen=True):
    """Offers were read."""

    link: int
    arrivals: tuple[Arrival, ...]


class Room(NamedTuple):
    """How many more connections a worker may hold.

    Attributes:
        expected: How many it may be promised; 0 as long as it expects none.
        space: How many it has descriptors for: what it accepts itself takes of what it was promised.
    """

    expected: int
    space: int


class Standing(Event, frozen=True):
    """How things stand in this worker.

    Attributes:
        room: How many more connections it may hold.
        connections: How many it holds.
    """

    room: Room
    connections: int


class Said(Event, frozen=True):
    """An answer to a sender is on its way."""

    link: int
    answer: Adopted | Declined


class Unsaid(Event, frozen=True):
    """Something could not be said.

    Attributes:
        link: To whom.
        gone: Whether the sender has closed its end; otherwise it lives.
    """

    link: int
    gone: bool


class StateArrived(Event, frozen=True):
    """A plugin's state was read, which is `id` of its sender's."""

    link: int
    id: int


class StateJudged(Event, frozen=True):
    """The answer to `Take`: the plugin has it, unless there is a `refusal`."""

    link: int
    id: int
    refusal: Refusal | None


class Nonsense(Event, frozen=True):
    """The sender sent what is no message."""

    link: int


class SenderEnded(Event, frozen=True):
    """All that the sender ever sent was read."""

    link: int
