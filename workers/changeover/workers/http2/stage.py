"""How far the answer to a stream's request has come."""

import enum


class Stage(enum.Enum):
    """How far an answer has come."""

    FRESH = enum.auto()
    STARTED = enum.auto()
    """Its head waits for its turn."""
    SENT = enum.auto()
    """Its head has left."""
    OVER = enum.auto()
    """It is complete, or broken off; its end may wait for its turn."""
    LOST = enum.auto()
    """The client gave it up before it was complete."""
