"""Gives an accepted socket its transport, without a task for each connection."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")


class Driven(Generic[T]):
    """A coroutine of the loop's own that is driven by hand.

    Its first step is taken at once, before anything else can happen. A task would cost a little more, pass through
    the worker's task factory, and have to be kept and reaped.

    Args:
        coroutine: Waits for futures of the loop, and for nothing else.
        done: Given its result.
        failed: Told of its error.
    """

    __slots__ = ("_coroutine", "_done", "_failed")

    def __init__(
        self, coroutine: Coroutine[Any, Any, T], done: Callable[[T], None], failed: Callable[[Exception], None]
    ) -> None:
        self._coroutine = cast(Coroutine[asyncio.Future[None], BaseException | None, T], coroutine)
        self._done = done
        self._failed = failed
        self._go_on(None)

    def _go_on(self, _: asyncio.Future[None] | None) -> None:
        try:
            waiter = self._coroutine.send(None)
        except StopIteration as stop:
            self._done(stop.value)
        except Exception as error:  # noqa: BLE001 - whatever it is, who waits is told
            self._failed(error)
            error.__traceback__ = None  # its frames hold what failed, and so the error
        else:
            waiter.add_done_callback(self._go_on)


def _nobody(_: asyncio.Transport) -> None:
    """The protocol knows already."""


def open_transport(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], asyncio.BaseProtocol],
    accepted: socket.socket,
    failed: Callable[[Exception], None],
    done: Callable[[asyncio.Transport], None] = _nobody,
) -> None:
    """Give an accepted socket its transport; the loops offer this only as a coroutine, which waits once.

    Args:
        loop: The running loop.
        factory: Makes the protocol.
        accepted: The socket, owned by the transport from here on.
        failed: Told why there will be no transport; the socket is closed then.
        done: Given the transport, after the protocol was; what the protocol raised then, the loop has told.
    """

    def close(error: Exception) -> None:
        accepted.close()
        failed(error)

    Driven(loop.connect_accepted_socket(factory, accepted), lambda made: done(made[0]), close)
