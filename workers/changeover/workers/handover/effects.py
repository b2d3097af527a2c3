"""Everything that the two machines of a handover can want done, performed in the order given."""

import msgspec

from changeover.workers.handover.messages import FromReceiver, StateRefused, StateTaken
from changeover.workers.protocol.identity import WorkerId


class Effect(msgspec.Struct, frozen=True):
    """Something to be done."""


class Wake(Effect, frozen=True):
    """Answer Woken at a time; the latest one counts. None: there is nothing to wait for."""

    at: float | None


# Wanted by the sender.


class Introduce(Effect, frozen=True):
    """Say who we are."""

    receiver: WorkerId


class Offer(Effect, frozen=True):
    """Send connections and keep them; answer Sent, NotSent or Vanished for each before anything else happens."""

    receiver: WorkerId
    ids: tuple[int, ...]


class LetGo(Effect, frozen=True):
    """Close what is kept of a connection: it is the receiver's."""

    id: int


class End(Effect, frozen=True):
    """Close a connection politely: nobody takes it."""

    id: int


class Give(Effect, frozen=True):
    """Send a plugin's state; answer StateSent or StateNotSent before anything else happens."""

    receiver: WorkerId
    id: int


class Settle(Effect, frozen=True):
    """It is known what became of a plugin's state; without an answer it was not taken."""

    id: int
    answer: StateTaken | StateRefused | None


class Disconnect(Effect, frozen=True):
    """Close a link."""

    receiver: WorkerId


# Wanted by the receiver.


class Say(Effect, frozen=True):
    """Send a message; answer Said for Adopted and Declined, Unsaid for whatever could not be sent."""

    link: int
    message: FromReceiver


class Adopt(Effect, frozen=True):
    """Register the descriptor: the connection is ours."""

    link: int
    id: int


class Drop(Effect, frozen=True):
    """Close the descriptor: the connection is the sender's."""

    link: int
    id: int


class Take(Effect, frozen=True):
    """Give a plugin's state to the plugin here; answer StateJudged, some time."""

    link: int
    id: int


class Forget(Effect, frozen=True):
    """Close what the state of a plugin is in: its sender is nobody."""

    link: int
    id: int


class HangUp(Effect, frozen=True):
    """Close a link."""

    link: int
