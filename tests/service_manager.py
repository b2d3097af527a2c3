"""A service manager for tests: a real datagram socket that keeps what it is told, and the descriptors with it."""

import array
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec


class Notice(msgspec.Struct, frozen=True):
    """One datagram."""

    lines: tuple[str, ...]
    descriptors: tuple[int, ...] = ()


class FakeManager:
    """Hears notices.

    Attributes:
        address: What NOTIFY_SOCKET is to say.
        notices: What it was told so far, in order.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.notices: list[Notice] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.setblocking(False)

    def listen(self) -> "FakeManager":
        """Take everything that has arrived."""
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(64 * 4))
            except BlockingIOError:
                return self
            fds = array.array("i")
            for _, _, payload in ancillary:
                fds.frombytes(payload)
            self.notices.append(Notice(tuple(data.decode().split("\n")), tuple(fds)))

    def said(self, line: str) -> int:
        """How often a line was said, as a whole or up to its `=`."""
        lines = [each for notice in self.listen().notices for each in notice.lines]
        return sum(each == line or each.startswith(f"{line}=") for each in lines)

    def commands(self) -> list[str]:
        """What was said, without statuses and the watchdog's."""
        lines = [each for notice in self.listen().notices for each in notice.lines]
        return [each for each in lines if not each.startswith(("STATUS=", "WATCHDOG=", "MONOTONIC_USEC="))]

    def status(self) -> str:
        """The latest status."""
        said = [each for notice in self.listen().notices for each in notice.lines if each.startswith("STATUS=")]
        return said[-1].removeprefix("STATUS=") if said else ""

    def close(self) -> None:
        """Close the socket and every descriptor that came."""
        self._socket.close()
        for notice in self.notices:
            for fd in notice.descriptors:
                os.close(fd)


@contextmanager
def managing(address: str) -> Iterator[FakeManager]:
    """A service manager that is gone afterwards."""
    manager = FakeManager(address)
    try:
        yield manager
    finally:
        manager.close()
