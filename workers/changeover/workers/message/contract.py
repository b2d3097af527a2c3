"""What answers the messages of a raw protocol, and what it is given.

Public: re-exported by `changeover.plugin`.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from changeover.workers.message.channel import Channel
from changeover.workers.serving.contract import CallContext


class MessageCall(CallContext, eq=False, kw_only=True):
    """What travels with one message through its chain.

    Attributes:
        channel: The connection that it came by.
    """

    channel: Channel


Answer = Any
"""A message, None for none, or an asynchronous iterator of messages."""
InboundMessage = Callable[[Any, MessageCall], Answer | Awaitable[Answer]]
OutboundMessages = Callable[[Sequence[Any], Channel], Sequence[Any]]
ServiceOfMessages = Callable[[Any, MessageCall], Answer | Awaitable[Answer] | AsyncIterator[Any]]


class MessageService(ABC):
    """Answers messages, and keeps what there is to know of each connection; subclass it where a function is too little.

    Everything but `__call__` is called on the loop, and must not block.
    """

    @abstractmethod
    def __call__(self, message: Any, call: MessageCall) -> Any:
        """Answer a message: with a message, None, or an asynchronous iterator of messages; may be `async def`."""

    def opened(self, channel: Channel) -> None:  # noqa: B027 - may be left out
        """A client has connected; what is written here is the first that it gets."""

    def closed(self, channel: Channel) -> None:  # noqa: B027 - may be left out
        """It is gone. Not called where its state was exported: somebody else goes on with it."""

    def export_state(self, channel: Channel) -> bytes | None:
        """What another version, or this one in another process, needs to go on; at most 16 KiB.

        Called between two messages, once: this object has nothing to do with the connection afterwards.
        """
        return None

    def import_state(self, channel: Channel, state: bytes) -> None:  # noqa: B027 - may be left out
        """Go on with a connection; `state` is what some version exported.

        Raises:
            Exception: It cannot; the connection is closed.
        """
