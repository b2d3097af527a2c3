"""Gives an accepted socket its transport, without a task for each connection."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast


class Opening:
    """One socket on its way to a transport.

    The loops offer this only as a coroutine, which waits once. It is driven by hand: a task would
    cost a little more, pass through the worker's task factory, and have to be kept and reaped.

    Args:
        loop: The running loop.
        factory: Makes the protocol.
        accepted: The socket, owned by the opening from here on.
        failed: Told why there will be no transport; the socket is closed then.
    """

    __slots__ = ("_accepted", "_coroutine", "_failed")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.BaseProtocol],
        accepted: socket.socket,
        failed: Callable[[Exception], None],
    ) -> None:
        self._accepted = accepted
        self._failed = failed
        self._coroutine = cast(
            Coroutine[asyncio.Future[None], None, Any], loop.connect_accepted_socket(factory, accepted)
        )
        self._go_on(None)

    def _go_on(self, _: asyncio.Future[None] | None) -> None:
        try:
            waiter = self._coroutine.send(None)
        except StopIteration:
            return
        except (OSError, RuntimeError, ValueError) as error:
            self._accepted.close()
            self._failed(error)
        else:
            waiter.add_done_callback(self._go_on)
