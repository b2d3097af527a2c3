"""What all HTTP/2 connections of a worker have in common."""

import asyncio
import time
from email.utils import formatdate
from typing import Protocol

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.unsent import give_up
from changeover.workers.http.making import Making
from changeover.workers.http2.response import ResponseHead
from changeover.workers.serving.exchange import Dispatcher, RawHeaders


class Speaker(Protocol):
    """A connection."""

    def speak(self) -> None:
        """Send what was said in this turn of the loop."""

    def abort(self) -> None:
        """Cut it off."""

    def wind_down(self) -> None:
        """The worker stops: let the client know in time."""


class Http2Site:
    """Dispatcher, limits, and what is cheaper to have once than per connection.

    Args:
        dispatcher: Takes requests.
        limits: Bounds on connections and requests.
        server: Value of the Server field; none when empty.
        making: Done with every request beside serving it; None for nothing.

    Attributes:
        making: As above.
        connections: Those that are open.
        stopping: Whether the worker stops.
    """

    def __init__(self, dispatcher: Dispatcher, limits: Limits, server: str = "", making: Making | None = None) -> None:
        self.dispatcher = dispatcher
        self.limits = limits
        self.making = making
        self.connections: set[Speaker] = set()
        self.stopping = False
        self._server = ((b"server", server.encode("latin-1")),) if server else ()
        self._corked: dict[Speaker, None] = {}
        self.refresh()

    def refresh(self) -> None:
        """Bring the date up to date; due once a second."""
        self._date = ((b"date", formatdate(time.time(), usegmt=True).encode("ascii")),)

    def stop(self) -> None:
        """The worker stops."""
        self.stopping = True
        for connection in tuple(self.connections):
            connection.wind_down()

    def own_fields(self, response: ResponseHead) -> RawHeaders:
        """The server's own fields, as far as the application gave none of them."""
        return (*(() if response.dated else self._date), *(() if response.served else self._server))

    def cork(self, connection: Speaker) -> None:
        """Have a connection speak once what runs now has run; one call of the loop serves all."""
        if not self._corked:
            asyncio.get_running_loop().call_soon(self._uncork)
        self._corked[connection] = None

    def _uncork(self) -> None:
        corked, self._corked = self._corked, {}
        for connection in corked:
            try:
                connection.speak()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others get theirs
                give_up(error, connection.abort)
