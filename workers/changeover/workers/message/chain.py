"""The chain that an initializer configures: registered in order, checked, and compared with itself. Pure."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from changeover.workers.message.codec import Codec
from changeover.workers.message.contract import InboundMessage, OutboundMessages, ServiceOfMessages
from changeover.workers.plugins.manifest import Direction, Handler, HandlerPhase
from changeover.workers.plugins.order import disorder
from changeover.workers.plugins.refused import ContractBroken
from changeover.workers.protocol.snapshot import HandlerRef


class Registered(msgspec.Struct, frozen=True):
    """One handler of a chain.

    Attributes:
        name: Its name in the chain.
        declared: Which way it sees, and where it belongs.
        call: What is called.
    """

    name: str
    declared: Handler
    call: Callable[..., Any]

    def __str__(self) -> str:
        declared = self.declared
        named = (("after", declared.after), ("before", declared.before))
        order = (f"{word} {' and '.join(names)}" for word, names in named if names)
        told = (declared.phase.value, *order, _place(self.call))
        return f"{declared.direction.value} {self.name} ({', '.join(told)})"


class Bounds(msgspec.Struct, frozen=True):
    """How long a connection may take, in seconds; 0 for what the server allows everybody.

    Attributes:
        idle: Between two messages.
        message: From the first byte of a message to its last.
    """

    idle: float = 0.0
    message: float = 0.0


class Chain:
    """What `PipelineInitializer.configure` registers at.

    Args:
        plugin: Whose initializer is configured.
    """

    def __init__(self, plugin: str) -> None:
        self._plugin = plugin
        self._handlers: list[Registered] = []
        self._codec: Codec[Any] | None = None
        self._service: ServiceOfMessages | None = None
        self._bounds = Bounds()

    def inbound(
        self,
        name: str,
        call: InboundMessage,
        *,
        phase: HandlerPhase = HandlerPhase.APP,
        after: tuple[str, ...] = (),
        before: tuple[str, ...] = (),
    ) -> None:
        """Register a handler that sees each message before the service: it returns None, or an answer in its place.

        Args:
            name: Its name in the chain.
            call: Called with `(message, call)`; may be `async def`.
            phase: Where it belongs: handlers are registered in the order of the phases.
            after: Names of handlers that must come before it, where they are in the chain.
            before: Names of handlers that must come after it.

        Raises:
            ContractBroken: The service was registered already, or the name is taken.
        """
        self._register(name, Handler(Direction.INBOUND, phase, after, before), call)

    def outbound(
        self,
        name: str,
        call: OutboundMessages,
        *,
        phase: HandlerPhase = HandlerPhase.APP,
        after: tuple[str, ...] = (),
        before: tuple[str, ...] = (),
    ) -> None:
        """Register a handler that sees what is sent: all that was written up to a flush, together.

        Args:
            name: Its name in the chain.
            call: Called with `(messages, channel)`; returns what is sent in their place.
            phase: Where it belongs.
            after: Names of handlers that must come before it, where they are in the chain.
            before: Names of handlers that must come after it.

        Raises:
            ContractBroken: The service was registered already, or the name is taken.
        """
        self._register(name, Handler(Direction.OUTBOUND, phase, after, before), call)

    def codec(self, codec: Codec[Any]) -> None:
        """Register what cuts messages out of bytes, once.

        Raises:
            ContractBroken: There is one, or it is none.
        """
        if self._codec is not None:
            raise ContractBroken("the chain has two codecs; register one")
        if not isinstance(codec, Codec):
            raise ContractBroken(f"chain.codec({type(codec).__name__}): register a changeover.plugin.Codec")
        self._codec = codec

    def service(self, service: ServiceOfMessages) -> None:
        """Register what answers, once, behind all handlers.

        Raises:
            ContractBroken: There is one, or it cannot be called.
        """
        if self._service is not None:
            raise ContractBroken("the chain has two services; register one")
        if not callable(service):
            raise ContractBroken(f"chain.service({type(service).__name__}): register what is called with a message")
        self._service = service

    def limits(self, *, idle: float = 0.0, message: float = 0.0) -> None:
        """Bound how long a connection may take, in seconds; 0 for what the server allows everybody.

        Args:
            idle: Between two messages.
            message: From the first byte of a message to its last.

        Raises:
            ContractBroken: A bound is negative.
        """
        if min(idle, message) < 0:
            raise ContractBroken(f"chain.limits(idle={idle}, message={message}): seconds, or 0")
        self._bounds = Bounds(idle, message)

    def _register(self, name: str, declared: Handler, call: Callable[..., Any]) -> None:
        if self._service is not None:
            raise ContractBroken(f"handler {name!r} is registered behind the service; register the service last")
        if name in (each.name for each in self._handlers):
            raise ContractBroken(f"handler {name!r} is registered twice")
        if not callable(call):
            raise ContractBroken(f"handler {name!r} is a {type(call).__name__} and cannot be called")
        self._handlers.append(Registered(name, declared, call))

    # What is made of it.

    def handlers(self, direction: Direction) -> tuple[Registered, ...]:
        """What was registered for one direction, in order."""
        return tuple(each for each in self._handlers if each.declared.direction is direction)

    @property
    def bounds(self) -> Bounds:
        """How long a connection may take."""
        return self._bounds

    def complete(self) -> tuple[Codec[Any], ServiceOfMessages]:
        """Codec and service.

        Raises:
            ContractBroken: One is missing, or the order contradicts itself.
        """
        for problem in self._problems():
            raise ContractBroken(problem)
        assert self._codec is not None
        assert self._service is not None
        return self._codec, self._service

    def _problems(self) -> Iterator[str]:
        if self._codec is None:
            yield "the chain has no codec; register one with chain.codec(...)"
        if self._service is None:
            yield "the chain has no service; register one with chain.service(...)"
        for direction in (Direction.INBOUND, Direction.OUTBOUND):
            declared = {HandlerRef(self._plugin, each.name): each.declared for each in self.handlers(direction)}
            for _, reason in disorder(tuple(declared), declared):
                yield reason

    def difference(self, other: "Chain") -> str:
        """Say where another chain has something else; empty where both are the same."""
        own, others = list(self._told()), list(other._told())
        for one, two in zip(own, others, strict=False):
            if one != two:
                return f"{one}, then {two}"
        if len(own) != len(others):
            first, second = (own, others) if len(own) > len(others) else (others, own)
            return f"{first[len(second)]} only once"
        changed = sorted(dict(_settings(self._codec) ^ _settings(other._codec)))
        return f"{own[0]} with another {', '.join(changed)}" if changed else ""

    def _told(self) -> Iterator[str]:
        yield f"codec {type(self._codec).__qualname__}"
        yield f"limits {self._bounds.idle:g} s and {self._bounds.message:g} s"
        yield from map(str, self._handlers)
        yield f"service {_place(self._service)}"


def _settings(codec: object) -> set[tuple[str, Any]]:
    """What a codec was made with, as far as it is plain: one that serves all connections keeps nothing else."""
    return {
        (name.strip("_"), value)
        for name, value in getattr(codec, "__dict__", {}).items()
        if isinstance(value, bool | int | float | str | bytes)
    }


def _place(call: object) -> str:
    """Where something that is called was written: two closures of one function are the same."""
    named = call if hasattr(call, "__qualname__") else type(call)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"
