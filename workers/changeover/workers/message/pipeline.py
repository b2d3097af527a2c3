"""Handlers around a service for one raw protocol, immutable once built."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Sequence
from contextlib import aclosing
from time import monotonic_ns
from typing import Any

import msgspec

from changeover.workers.message.assembly import PipelineInitializer, Served
from changeover.workers.message.chain import Chain
from changeover.workers.message.channel import Channel, Pressure
from changeover.workers.message.contract import MessageCall, MessageService
from changeover.workers.message.meter import Meter
from changeover.workers.plugins.manifest import Direction
from changeover.workers.plugins.refused import ContractBroken
from changeover.workers.protocol.assembly import InitializerDescriptor
from changeover.workers.serving.contract import NotReady
from changeover.workers.serving.counters import Counters, PipelineCounters

LONGEST_WORDS = 200
"""Characters of each word of an initializer about itself that are shown."""

Steps = Generator[Awaitable[Any], Any, None]


class MessagePipeline:
    """One chain at one address.

    Args:
        name: Its initializer, `plugin:initializer`.
        descriptor: What that one says of itself.
        chain: What it registered.

    Attributes:
        name: As above.
        descriptor: As above.
        codec: Cuts messages out of bytes.
        service: What answers.
        sessions: The service, where it wants to know of connections; None for a function.
        bounds: How long a connection may take.
        handlers: Inbound ones in order, then outbound ones.

    Raises:
        ContractBroken: The chain is not complete, or contradicts itself.
    """

    def __init__(self, name: str, descriptor: InitializerDescriptor, chain: Chain) -> None:
        self.name = name
        self.descriptor = descriptor
        self.codec, self.service = chain.complete()
        self.sessions = self.service if isinstance(self.service, MessageService) else None
        self.bounds = chain.bounds
        self.handlers = (*chain.handlers(Direction.INBOUND), *chain.handlers(Direction.OUTBOUND))
        self._inbound = chain.handlers(Direction.INBOUND)
        self._outbound = chain.handlers(Direction.OUTBOUND)
        self._meter = Meter(name, "", Counters())

    @property
    def counters(self) -> PipelineCounters:
        """What is counted of it."""
        return self._meter.counters

    def count(self, address: str, counters: Counters) -> None:
        """Count there from here on what passes at `address`; before it serves."""
        self._meter = Meter(self.name, address, counters)

    def steps(self, message: Any, call: MessageCall) -> Steps:
        """Answer a message; what has to be waited for is yielded, and its result sent back.

        A chain in which nothing waits so takes no task.
        """
        meter = self._meter
        timed = meter.begin()
        for handler in self._inbound:
            began = monotonic_ns() if timed else 0
            try:
                answer = handler.call(message, call)
                if inspect.isawaitable(answer):
                    answer = yield answer
            except BaseException as error:
                meter.failed(handler.name, error)
                raise
            if timed:
                meter.took(handler.name, began)
            if answer is not None:
                meter.answered(handler.name)
                break
        else:
            answer = yield from self._served(message, call)
        if isinstance(answer, AsyncIterator):
            yield _send_all(answer, call.channel)
        elif answer is not None:
            call.channel.write(answer)

    def _served(self, message: Any, call: MessageCall) -> Generator[Awaitable[Any], Any, Any]:
        readiness = self._meter.readiness
        try:
            answer = self.service(message, call)
            if inspect.isawaitable(answer):
                answer = yield answer
        except NotReady as error:
            readiness.refused(error)
            raise
        if readiness.counter.unready:
            readiness.ready()
        return answer

    def outgoing(self, messages: Sequence[Any], channel: Channel) -> list[bytes]:
        """What is sent of the messages that were written up to a flush.

        Raises:
            Exception: Whatever an outbound handler or the codec raises.
        """
        timed = self._meter.flush()
        for handler in self._outbound:
            began = monotonic_ns() if timed else 0
            try:
                messages = handler.call(messages, channel)
            except BaseException as error:
                self._meter.failed(handler.name, error)
                raise
            if timed:
                self._meter.took(handler.name, began)
        return [_bytes(self.codec.encode(message), self.codec) for message in messages]


def _bytes(encoded: object, codec: object) -> bytes:
    if isinstance(encoded, bytes):
        return encoded
    raise TypeError(f"{type(codec).__name__}.encode gave a {type(encoded).__name__}; give bytes")


async def _send_all(answers: AsyncIterator[Any], channel: Channel) -> None:
    if isinstance(answers, AsyncGenerator):
        async with aclosing(answers):
            await _send_each(answers, channel)
    else:
        await _send_each(answers, channel)


async def _send_each(answers: AsyncIterator[Any], channel: Channel) -> None:
    async for answer in answers:
        if channel.write(answer) is Pressure.GONE:
            return
        if channel.pressure is Pressure.CLOGGED:
            await channel.drain()


def configured(name: str, initializer: PipelineInitializer, channel: Served) -> MessagePipeline:
    """Have an initializer configure its chain, and again, to see that it does the same. Runs a plugin's code.

    Args:
        name: `plugin:initializer`.
        initializer: Configures.
        channel: Where its connections come from.

    Raises:
        ContractBroken: It does not do what it should.
        BaseException: Whatever it raises.
    """
    first, second = (_chain(name, initializer, channel) for _ in range(2))
    difference = first.difference(second)
    if difference:
        raise ContractBroken(f"configure registers something else when it is called again: {difference}")
    return MessagePipeline(name, _described(initializer.descriptor), first)


def _described(descriptor: object) -> InitializerDescriptor:
    """The descriptor in as many words as an operator is shown, and in none that cannot be sent."""
    if not isinstance(descriptor, InitializerDescriptor):
        raise ContractBroken(f"descriptor is a {type(descriptor).__name__}; return an InitializerDescriptor")
    fields: dict[str, object] = msgspec.structs.asdict(descriptor)
    for field, text in fields.items():
        if not isinstance(text, str):
            raise ContractBroken(f"descriptor.{field} is a {type(text).__name__}; give text")
    return InitializerDescriptor(*(_shown(str(text)) for text in fields.values()))


def _shown(text: str) -> str:
    return " ".join(text.split())[:LONGEST_WORDS].encode("utf-8", "backslashreplace").decode()


def _chain(name: str, initializer: PipelineInitializer, channel: Served) -> Chain:
    chain = Chain(name.partition(":")[0])
    told: object = initializer.configure(chain, channel)
    if inspect.iscoroutine(told):
        told.close()
        raise ContractBroken("configure is `async def`; it registers, and waits for nothing")
    return chain
