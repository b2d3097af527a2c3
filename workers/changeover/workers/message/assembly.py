"""What says how a raw protocol is put together: initializers of plugins.

Public: re-exported by `changeover.plugin`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from changeover.workers.message.chain import Chain
from changeover.workers.plugins.refused import ContractBroken
from changeover.workers.protocol.assembly import InitializerDescriptor

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__changeover_initializer__"


class Served(msgspec.Struct, frozen=True):
    """Where connections come from for which a chain is configured.

    Attributes:
        address: As it is configured.
        tls: Whether TLS is spoken there.
        proxied: Whether PROXY headers are expected there.
    """

    address: str
    tls: bool = False
    proxied: bool = False


class PipelineInitializer(ABC):
    """Says what is spoken over the connections that select it: a chain of handlers, a codec, a service.

    Subclass it in a plugin. The instance is made with the plugin's own (`def __init__(self, plugin: Feed)`), once
    per worker and address, before the commit.
    """

    @property
    def descriptor(self) -> InitializerDescriptor:
        """What it is; by default its name, and the first line of its documentation."""
        return described(type(self).__name__, type(self).__doc__)

    @abstractmethod
    def configure(self, chain: Chain, channel: Served) -> None:
        """Register everything, in order.

        Called twice before the commit, each time with an empty chain, and has to register the same both times. All
        connections share the chain: what depends on one is read from its `Channel.outcome`.

        Args:
            chain: What it is registered at.
            channel: Where the connections come from.
        """


class FunctionInitializer(PipelineInitializer):
    """A marked function.

    Args:
        function: Called with `(chain, channel)`.
    """

    def __init__(self, function: Callable[[Chain, Served], None]) -> None:
        self._function = function

    @property
    def descriptor(self) -> InitializerDescriptor:
        """See `PipelineInitializer`."""
        return described(getattr(self._function, "__name__", "initializer"), self._function.__doc__)

    def configure(self, chain: Chain, channel: Served) -> None:
        """See `PipelineInitializer`."""
        self._function(chain, channel)


def initializer(function: F) -> F:
    """Mark a function or method of a plugin that configures a chain: `def lines(chain, channel) -> None`."""
    setattr(function, MARK, True)
    return function


def described(name: str, documentation: str | None) -> InitializerDescriptor:
    """A descriptor out of a name and a docstring."""
    first, *_ = (documentation or "").strip().splitlines() or [""]
    return InitializerDescriptor(name, summary=first)


def initializer_of(made: object, name: str) -> PipelineInitializer:
    """What a plugin offers as an initializer, as one.

    Args:
        made: An instance of a class, or a marked function.
        name: Its name in the manifest.

    Raises:
        ContractBroken: It is none.
    """
    if isinstance(made, PipelineInitializer):
        return made
    if callable(made) and getattr(made, MARK, False):
        return FunctionInitializer(made)
    kind = type(made).__name__
    raise ContractBroken(
        f"initializer {name!r} is a {kind}; write a subclass of PipelineInitializer, or a function under @initializer"
    )
