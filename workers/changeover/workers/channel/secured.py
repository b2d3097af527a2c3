"""A transport of TLS that closes once the client has taken everything, however long that takes.

The loops' own gives a client as long to take the rest as it has to agree on the end, and does not tell of what it has
encrypted and not written yet: an answer before the end would be cut.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

LOOK_AGAIN = 0.05
"""Seconds between two looks at whether the client has taken the rest."""


HELD = 32 * 1024
"""Bytes that each of both transports holds before who writes waits: together as many as one in cleartext."""


class _Nobody(asyncio.BufferedProtocol):
    """Takes the place of a protocol whose connection is gone."""


NOBODY = _Nobody()


class Secured(asyncio.Transport):
    """See the module.

    Args:
        loop: The running loop.
        inner: Speaks TLS.
        outer: Below it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, inner: asyncio.Transport, outer: asyncio.Transport) -> None:
        super().__init__()
        self._loop = loop
        self._inner = inner
        self._outer = outer
        self._closing = False
        inner.set_write_buffer_limits(high=HELD)
        outer.set_write_buffer_limits(high=HELD)
        inner.writelines(())  # the rest of the handshake: uvloop keeps it until the client is read from

    @property
    def untaken(self) -> int:
        """Bytes that were written here, and not to the client."""
        return self._inner.get_write_buffer_size() + self._outer.get_write_buffer_size()

    def close(self) -> None:
        """Close once everything is written."""
        if not self._closing:
            self._closing = True
            self._close_after_last()

    def _close_after_last(self) -> None:
        if self._inner.is_closing() or self._outer.is_closing():
            return
        if self.untaken:
            self._loop.call_later(LOOK_AGAIN, self._close_after_last)
        else:
            self._inner.close()

    def lost(self) -> None:
        """The connection is gone: let go of its protocol, which the loops keep."""
        self._inner.set_protocol(NOBODY)

    def is_closing(self) -> bool:
        """See `asyncio.Transport`."""
        return self._closing or self._inner.is_closing()

    def abort(self) -> None:
        """See `asyncio.Transport`."""
        self._closing = True
        self._inner.abort()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `asyncio.Transport`."""
        self._inner.write(data)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """See `asyncio.Transport`."""
        self._inner.writelines(list_of_data)

    def can_write_eof(self) -> bool:
        """TLS cannot."""
        return False

    def get_write_buffer_size(self) -> int:
        """See `asyncio.Transport`: what counts for backpressure."""
        return self._inner.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See `asyncio.Transport`."""
        self._inner.set_write_buffer_limits(high, low)

    def pause_reading(self) -> None:
        """See `asyncio.Transport`."""
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        """See `asyncio.Transport`."""
        self._inner.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.Transport`."""
        self._inner.set_protocol(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.Transport`."""
        return self._inner.get_protocol()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See `asyncio.Transport`."""
        return self._inner.get_extra_info(name, default)
