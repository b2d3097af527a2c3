"""What is written to one client: collected, passed through the outbound handlers, and sent in one piece."""

import asyncio
from collections.abc import Callable
from typing import Any

from changeover.workers.channel.outlet import Outlet
from changeover.workers.message.channel import Channel, Pressure, let_go
from changeover.workers.message.contract import MessageCall
from changeover.workers.message.session import Session
from changeover.workers.message.site import MessageSite
from changeover.workers.serving.lease import LeaseKind

MOST_BATCH = 64
"""Most messages that wait for a flush."""
MOST_UNTAKEN = 1024 * 1024
"""Bytes that wait for the client to take them: who lets more wait is cut off when anything is written again."""


def _unheard(error: BaseException) -> None:
    """Nobody is told: the client is gone."""


class Outbox:
    """The way back to a client.

    Args:
        site: What the connection has in common with others.
        session: Says which pipeline it belongs to.
        channel: The connection, as user code sees it.
        transport: Where to.
        outlet: Writes to it.
        fail: Told of what an outbound handler or the codec raised.

    Attributes:
        call: The message under way; None between two.
        shut: Whether the service says no more.
    """

    __slots__ = (
        "_answered", "_batch", "_channel", "_fail", "_lost", "_outlet", "_session", "_site", "_transport", "call",
        "shut",
    )  # fmt: skip

    def __init__(
        self,
        site: MessageSite,
        session: Session,
        channel: Channel,
        transport: asyncio.Transport,
        outlet: Outlet,
        fail: Callable[[BaseException], None],
    ) -> None:
        self.call: MessageCall | None = None
        self.shut = False
        self._site = site
        self._session = session
        self._channel = channel
        self._transport = transport
        self._outlet = outlet
        self._fail = fail
        self._batch: list[Any] = []
        self._answered = self._lost = False

    @property
    def pressure(self) -> Pressure:
        """How well the client takes what is written."""
        if self._outlet.ended or self.shut:
            return Pressure.GONE
        if self._outlet.clogged:
            return Pressure.CLOGGED
        return Pressure.BUFFERED if self._batch or self._transport.get_write_buffer_size() else Pressure.FREE

    def begin(self, call: MessageCall) -> None:
        """A message is under way."""
        self.call, self._answered = call, False

    def end(self) -> None:
        """It is answered; nothing of it is kept."""
        self.call = None

    def post(self, message: Any) -> None:
        """Write a message, with all that is written in this turn of the loop."""
        if self._outlet.ended or self.shut:
            return
        if self.call is not None and self._answered:  # a message that is answered by several is a stream
            self.call.lease.kind = LeaseKind.STREAM
        self._answered = True
        if not self._batch:
            self._site.cork(self)
        self._batch.append(message)
        if len(self._batch) >= MOST_BATCH:
            self.flush()

    def flush(self) -> None:
        """Let everything leave that was written."""
        batch, self._batch = self._batch, []
        target = self._session.target
        if not batch or target is None or self._outlet.ended:
            return
        if self._transport.get_write_buffer_size() > MOST_UNTAKEN:
            self._outlet.abort()
            return
        try:
            pieces = target.pipeline.outgoing(batch, self._channel)
        except BaseException as error:  # noqa: BLE001 - whatever user code raises is its own failure
            self._fail(error)
            return
        if pieces:
            self._outlet.send(pieces, sum(map(len, pieces)))

    async def drain(self) -> None:
        """Wait until the client has taken enough."""
        self.flush()
        await self._outlet.drain()

    def finish(self) -> bool:
        """Shut the write side, after what was written; whether this transport can."""
        self.flush()
        if self.pressure is Pressure.GONE:
            return True
        if not self._transport.can_write_eof():
            return False
        self.shut = True
        self._transport.write_eof()
        return True

    def cut(self) -> None:
        """Cut the client off."""
        self._outlet.abort()

    def lose(self) -> None:
        """The client is gone: forget what was not sent."""
        self._batch.clear()
        self._lost = True

    def let_go(self) -> None:
        """Where the client is gone and nothing is under way, keep the connection no longer, nor let its channel."""
        if self._lost and self.call is None:
            self._fail = _unheard
            let_go(self._channel)
