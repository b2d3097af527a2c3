"""What a connection is doing, how long it may, and what happens to it then.

No connection has a timer. One sweep looks at all of them a few times a second and compares what it
sees with what it saw last: a phase that lasts longer than its limit without progress is over. So a
request that is served between two sweeps costs nothing, and a deadline is late by at most one sweep.
"""

import enum

import msgspec

from changeover.workers.channel.limits import Limits

MOMENT = 0.5
"""Seconds that a connection has at the least in the process that it was handed to."""


class Phase(enum.Enum):
    """What a connection is doing."""

    NEW = enum.auto()
    """Accepted; the client has said nothing."""
    IDLE = enum.auto()
    """Between two requests."""
    HEAD = enum.auto()
    """A request head has begun and not ended."""
    HELD = enum.auto()
    """A complete head may not be dispatched now."""
    BODY = enum.auto()
    """The request body is wanted and does not come."""
    BUSY = enum.auto()
    """The application works, or does not take the body."""
    HALF_CLOSED = enum.auto()
    """The application works, and the client has shut its write side."""
    WRITING = enum.auto()
    """The client has yet to take what was written."""
    LINGERING = enum.auto()
    """The last answer was given; what the client still sends is dropped."""
    QUIET = enum.auto()
    """A WebSocket is open, and nothing comes."""
    PROBED = enum.auto()
    """The client of a WebSocket was sent a ping, and nothing comes."""
    CLOSING = enum.auto()
    """A WebSocket was closed from here; the client has yet to agree."""

    __hash__ = object.__hash__  # the library's runs Python, and every look at a connection would


class Overdue(enum.Enum):
    """What happens when a phase has lasted too long."""

    CLOSE = enum.auto()
    """Close: nobody waits for an answer."""
    TIMEOUT = enum.auto()
    """Say that it took too long (408, or 1011 over a WebSocket), and close."""
    UNAVAILABLE = enum.auto()
    """Answer 503 and close."""
    GONE = enum.auto()
    """Tell the application that the client is gone; the connection stays."""
    ABORT = enum.auto()
    """Cut it off."""
    PROBE = enum.auto()
    """Ask whether the client is there."""


class Rule(msgspec.Struct, frozen=True):
    """How long a phase may last, and what happens then.

    Attributes:
        limit: Name of the field of `Limits`.
        overdue: What happens.
    """

    limit: str
    overdue: Overdue


RULES: dict[Phase, Rule] = {
    Phase.NEW: Rule("first_byte", Overdue.CLOSE),
    Phase.IDLE: Rule("keep_alive", Overdue.CLOSE),
    Phase.HEAD: Rule("head_timeout", Overdue.TIMEOUT),
    Phase.HELD: Rule("held", Overdue.UNAVAILABLE),
    Phase.BODY: Rule("body_timeout", Overdue.TIMEOUT),
    Phase.HALF_CLOSED: Rule("half_closed", Overdue.GONE),
    Phase.WRITING: Rule("write_timeout", Overdue.ABORT),
    Phase.LINGERING: Rule("linger", Overdue.ABORT),
    Phase.QUIET: Rule("ping_interval", Overdue.PROBE),
    Phase.PROBED: Rule("ping_timeout", Overdue.TIMEOUT),
    Phase.CLOSING: Rule("close_timeout", Overdue.ABORT),
}
"""BUSY has none here: how long a request may run is a matter of its lease."""


class Sight(msgspec.Struct, frozen=True):
    """What one look at a connection shows.

    Attributes:
        phase: What it is doing.
        progress: A number that changes whenever the phase may start its time anew.
        limit: Seconds that the phase may last, where it is not for everybody the same; 0 where it is.
    """

    phase: Phase
    progress: int
    limit: float = 0.0


def sight_between(requests: int, *, begun: bool, held: bool) -> Sight:
    """What a connection shows between two messages; `begun` when there are bytes of the next."""
    if held:
        return Sight(Phase.HELD, requests)
    if begun:
        return Sight(Phase.HEAD, requests)
    return Sight(Phase.IDLE if requests else Phase.NEW, requests)


class Watch:
    """Remembers since when a connection has looked the same.

    Attributes:
        sight: What was seen last; None before the first look.
        since: When it was first seen, in seconds of the caller's clock.
    """

    __slots__ = ("sight", "since")

    def __init__(self) -> None:
        self.sight: Sight | None = None
        self.since = 0.0

    def look(self, sight: Sight, now: float, limits: Limits) -> Overdue | None:
        """Say whether something is overdue, and forget it when it is."""
        if self.sight is None or (sight.phase, sight.progress) != (self.sight.phase, self.sight.progress):
            self.sight, self.since = sight, now
            return None
        rule = RULES.get(sight.phase)
        if rule is None or now - self.since < (sight.limit or getattr(limits, rule.limit)):
            return None
        self.since = now
        return rule.overdue

    def resume(self, sight: Sight, since: float, now: float, limits: Limits) -> None:
        """Go on where another process left off, `MOMENT` before the limit at the latest.

        Nobody has read meanwhile: what the client sent in time is still to be seen.
        """
        rule = RULES.get(sight.phase)
        limit = MOMENT if rule is None else getattr(limits, rule.limit)
        self.sight, self.since = sight, min(now, max(since, now - limit + MOMENT))


def sweep_interval(limits: Limits) -> float:
    """Seconds between two sweeps: as often as the shortest limit passes, and for a Date that is right to the second."""
    lengths = (getattr(limits, rule.limit) for rule in RULES.values())
    shortest: float = min(length for length in lengths if length > 0)
    return min(1.0, max(shortest, 0.01))
