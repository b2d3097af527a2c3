"""Processes that user code forks off a worker keep nothing of it that others wait for the end of.

A child that holds a listening socket keeps the address, one that holds a client's socket keeps the client waiting for
an end that never comes, and one that shares the loop's wakeup pipe stops its parent when it is told to stop. What a
worker executes loses all of that by itself (close-on-exec); what it forks does not. So right after a fork the child
goes through its descriptors and replaces those with the null device: the numbers stay taken, because objects that it
inherited close them one day, and must not close something else then.
"""

import os
import signal
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from changeover.workers.protocol.belongings import Listener

DESCRIPTORS = "/proc/self/fd"
EVERY_HOST = ("0.0.0.0", "::")


class LocalAddress(msgspec.Struct, frozen=True):
    """Where a TCP socket listens, or where a connection was accepted."""

    family: int
    host: str
    port: int

    def covers(self, other: "LocalAddress") -> bool:
        """Whether a connection that was accepted at `other` came in here."""
        return (self.family, self.port) == (other.family, other.port) and self.host in (other.host, *EVERY_HOST)


class Offspring:
    """Installed once in a worker; there is no way back.

    Args:
        listeners: Its listening sockets.
        runtime: The runtime directory: whatever is tied to a path in it leads to our own processes.
    """

    def __init__(self, listeners: Iterable[Listener], runtime: str) -> None:
        self._runtime = f"{runtime}/"
        self._paths: set[str] = set()
        self._addresses: set[LocalAddress] = set()
        for listener in listeners:
            with _borrowed(listener.fd) as sock:
                self.note(sock)

    def note(self, sock: socket.socket) -> None:
        """Take what is where a socket is for ours: a listener, or a connection of another worker that came here."""
        if sock.family == socket.AF_UNIX:
            self._paths.add(sock.getsockname())
        else:
            self._addresses.add(_local_address(sock))

    def install(self) -> None:
        """Have every child that is forked from now on let go of what is ours."""
        os.register_at_fork(after_in_child=self.let_go)

    def let_go(self) -> None:
        """Let go of it, in a child; called again in a child's child it finds nothing more."""
        for signum in (signal.SIGTERM, signal.SIGQUIT):
            signal.signal(signum, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for fd in map(int, os.listdir(DESCRIPTORS)):
            if self._is_ours(fd):
                os.dup2(null, fd, inheritable=False)
        os.close(null)

    def _is_ours(self, fd: int) -> bool:
        try:
            with _borrowed(fd) as sock:
                return self._leads_to_us(sock)
        except OSError:  # no socket, or the descriptor of the listing itself
            return False

    def _leads_to_us(self, sock: socket.socket) -> bool:
        if sock.family == socket.AF_UNIX:
            return any(name in self._paths or name.startswith(self._runtime) for name in _names(sock))
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type != socket.SOCK_STREAM:
            return False
        accepted = _local_address(sock)
        return any(listening.covers(accepted) for listening in self._addresses)


@contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """The socket behind a descriptor, which stays open.

    Raises:
        OSError: There is none.
    """
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def _local_address(sock: socket.socket) -> LocalAddress:
    host, port = sock.getsockname()[:2]
    return LocalAddress(sock.family, host, port)


def _names(sock: socket.socket) -> Iterator[str]:
    """Paths of both ends, as far as they have any."""
    for ask in (sock.getsockname, sock.getpeername):
        with suppress(OSError):
            name = ask()
            if isinstance(name, str) and name:
                yield name
