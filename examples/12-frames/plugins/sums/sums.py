"""Adds numbers up: a frame is four bytes of length and JSON."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from changeover.plugin import (
    Chain,
    Channel,
    Codec,
    ConfigUnusable,
    FrameCodec,
    Goodbye,
    HandlerPhase,
    InitializerDescriptor,
    MalformedMessage,
    MessageCall,
    MessageService,
    PipelineInitializer,
    Plugin,
    Served,
)


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """How it is set up.

    Attributes:
        most: The greatest number that is added.
    """

    most: int = 1000


class Sums(Plugin[Config]):
    """One instance per worker and content."""


class Add(msgspec.Struct, tag=True, tag_field="do"):
    """Add a number to the sum."""

    number: int


class Pause(msgspec.Struct, tag=True, tag_field="do"):
    """Answer after a while."""

    seconds: float


class Sum(msgspec.Struct, tag=True, tag_field="is"):
    """The answer to either; several that leave together become one."""

    sum: int
    epoch: int
    answers: int = 1


class Refusal(msgspec.Struct, tag=True, tag_field="is"):
    """The other answer."""

    why: str


class Json(Codec[Any]):
    """JSON in frames."""

    def __init__(self) -> None:
        self._frames = FrameCodec()

    def decode(self, data: bytearray, start: int) -> tuple[Add | Pause, int] | None:
        """Take one message."""
        found = self._frames.decode(data, start)
        if found is None:
            return None
        try:
            return msgspec.json.decode(found[0], type=Add | Pause), found[1]
        except msgspec.DecodeError as error:
            raise MalformedMessage(str(error)) from None

    def encode(self, message: Sum | Refusal) -> bytes:
        """Make bytes of an answer."""
        return self._frames.encode(msgspec.json.encode(message))

    def goodbye(self, goodbye: Goodbye) -> bytes:
        """Say why."""
        return self.encode(Refusal(goodbye.value))


class Frames(PipelineInitializer):
    """JSON in frames, summed up per connection."""

    def __init__(self, plugin: Sums) -> None:
        self._most = plugin.config.most

    @property
    def descriptor(self) -> InitializerDescriptor:
        """What it is."""
        return InitializerDescriptor("frames", "frames", "sums of numbers, JSON in frames")

    def configure(self, chain: Chain, channel: Served) -> None:
        """Register everything, in order."""
        if self._most < 1:
            raise ConfigUnusable(f"most = {self._most}: nothing could be added")
        chain.inbound("bound", self.bound, phase=HandlerPhase.LIMIT)
        chain.outbound("together", together, phase=HandlerPhase.APP)
        chain.codec(Json())
        chain.service(Summing())

    def bound(self, message: Add | Pause, call: MessageCall) -> Refusal | None:
        """Answer in the service's place."""
        if isinstance(message, Add) and message.number > self._most:
            return Refusal(f"at most {self._most}")
        return None


def together(messages: Sequence[Sum | Refusal], channel: Channel) -> Sequence[Sum | Refusal]:
    """Make one of all sums that leave together: only the last one counts."""
    sums = [each for each in messages if isinstance(each, Sum)]
    others = [each for each in messages if not isinstance(each, Sum)]
    return [*others, Sum(sums[-1].sum, sums[-1].epoch, len(sums))] if sums else others


class Summing(MessageService):
    """The sum belongs to the connection."""

    async def __call__(self, message: Add | Pause, call: MessageCall) -> Sum:
        """Add, or wait."""
        if isinstance(message, Pause):
            await asyncio.sleep(message.seconds)
        else:
            call.channel.state = (call.channel.state or 0) + message.number
        return Sum(call.channel.state or 0, call.epoch)

    def export_state(self, channel: Channel) -> bytes | None:
        """The sum, for the version or the process that goes on."""
        return msgspec.json.encode(channel.state) if channel.state else None

    def import_state(self, channel: Channel, state: bytes) -> None:
        """Go on with it."""
        channel.state = msgspec.json.decode(state, type=int)
