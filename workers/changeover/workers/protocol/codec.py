"""Bytes to messages and back: the only place that encodes or decodes."""

from typing import TypeVar

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.message import Message
from changeover.workers.protocol.messages import SupervisorMessage, WorkerMessage

MAX_FRAME = 8 * 1024 * 1024
"""Largest frame either side takes, in bytes; a snapshot of some thousand units fits many times."""


class MalformedFrame(ChangeoverError):
    """A frame that is not a message: the sender's fault, and without effect.

    Attributes:
        size: Length of the frame in bytes.
        reason: What is wrong with it.
    """

    def __init__(self, size: int, reason: str) -> None:
        self.size = size
        self.reason = reason
        super().__init__(f"a frame of {size} bytes is not a message: {reason}")


M = TypeVar("M")

_encoder = msgspec.msgpack.Encoder()
_from_supervisor: msgspec.msgpack.Decoder[SupervisorMessage] = msgspec.msgpack.Decoder(SupervisorMessage)
_from_worker: msgspec.msgpack.Decoder[WorkerMessage] = msgspec.msgpack.Decoder(WorkerMessage)


def encode(message: Message) -> bytes:
    """Encode a message for the wire."""
    return _encoder.encode(message)


def decode_from_supervisor(frame: bytes) -> SupervisorMessage:
    """Decode what the supervisor sent.

    Raises:
        MalformedFrame: `frame` is no message of the supervisor's, or too long.
    """
    return _decode(_from_supervisor, frame)


def decode_from_worker(frame: bytes) -> WorkerMessage:
    """Decode what a worker sent.

    Raises:
        MalformedFrame: `frame` is no message of a worker's, or too long.
    """
    return _decode(_from_worker, frame)


def _decode(decoder: "msgspec.msgpack.Decoder[M]", frame: bytes) -> M:
    if len(frame) > MAX_FRAME:
        raise MalformedFrame(len(frame), f"longer than {MAX_FRAME} bytes")
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, msgspec.ValidationError, ValueError, RecursionError) as error:
        raise MalformedFrame(len(frame), str(error)) from error
