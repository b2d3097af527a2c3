"""How far the answer to a request has come."""

import enum


class Stage(enum.Enum):
    """How far an answer has come."""

    FRESH = enum.auto()
    STARTED = enum.auto()
    """Its head is held back."""
    SENT = enum.auto()
    """Its head has left."""
    OVER = enum.auto()
    """It is complete."""
    LOST = enum.auto()
    """The client went away before it was complete."""
    BROKEN = enum.auto()
    """It could not be completed."""
