"""How far the answer to a request has come, over HTTP/1.1 and over HTTP/2."""

import enum


class Stage(enum.Enum):
    """How far an answer has come."""

    FRESH = enum.auto()
    STARTED = enum.auto()
    """Its head has yet to leave."""
    SENT = enum.auto()
    """Its head has left."""
    OVER = enum.auto()
    """It is complete; the end of it may have yet to leave."""
    LOST = enum.auto()
    """The client went away before it was complete, or was answered in the application's place."""
    BROKEN = enum.auto()
    """It could not be completed: it is cut off, or a short one takes its place."""
