"""What is observed of pipelines while they serve: events that happen, told in few words."""

import enum

import msgspec


class PipelineEventKind(enum.Enum):
    """What happened, of a kind that operators can count on."""

    ASSEMBLED = "assembled"
    """A pipeline was built beside what serves."""
    ACTIVATED = "activated"
    """A pipeline that was built serves from now on."""
    DRAINED = "drained"
    """No request is left on a pipeline that the generation which serves lacks."""
    HANDLER_FAILED = "handler failed"
    """A handler raised: `subject` names it, `detail` the error."""
    NOT_READY_BEGAN = "not ready began"
    """A service, or whatever `subject` names, takes no requests."""
    NOT_READY_ENDED = "not ready ended"
    """It takes requests again."""
    SHEDDING_BEGAN = "shedding began"
    """The handler `subject` turns requests away."""
    SHEDDING_ENDED = "shedding ended"
    """It lets them through again."""
    BACKPRESSURE_BEGAN = "backpressure began"
    """A client takes its response more slowly than it is made."""
    BACKPRESSURE_ENDED = "backpressure ended"
    """It caught up, or went away."""
    WAIT_BEGAN = "wait began"
    """All threads of the application `subject` work: requests wait for one."""
    WAIT_ENDED = "wait ended"
    """None waits any more."""
    HANDSHAKE_REFUSED = "handshake refused"
    """A connection was closed before a protocol spoke on it: `subject` is the outcome."""
    INITIALIZER_UNMATCHED = "no initializer matched"
    """Nobody wanted a connection, so it was closed, or the template got it."""
    INITIALIZER_FAILED = "initializer failed"
    """The initializer `subject` failed; `detail` begins with the class of the fault."""


class PipelineEvent(msgspec.Struct, frozen=True):
    """Something that happened to a pipeline, or on the way to one.

    Attributes:
        kind: What.
        pipeline: Its name; empty where none was reached.
        subject: The handler, service, initializer or outcome that it is about; may be empty.
        detail: In words.
    """

    kind: PipelineEventKind
    pipeline: str = ""
    subject: str = ""
    detail: str = ""


class Repeated(msgspec.Struct, frozen=True):
    """An event, and how often one like it happened since that was told last; `event.detail` is of the latest.

    Attributes:
        event: What happened; without names where so much happened that only its kind was kept.
        count: How often.
    """

    event: PipelineEvent
    count: int
