"""Listening sockets: bound once by the supervisor, inherited by zygotes and workers."""

import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Self

from changeover.supervisor.process.address import Address, FdAddress, PassedAddress, TcpAddress, UnixAddress
from changeover.supervisor.process.errors import ProcessError
from changeover.supervisor.process.holders import (
    Holder,
    holders_of_path,
    holders_of_port,
    holders_of_socket,
    worded,
)
from changeover.supervisor.process.passed import NOTHING, Passed, stored_name
from changeover.workers.protocol.belongings import Listener

DEFAULT_BACKLOG = 2048
LONGEST_UNIX_PATH = 107
NOBODYS: Mapping[str, Mapping[str, int]] = MappingProxyType({})
"""No process listens."""


class AddressInUse(ProcessError):
    """Somebody else listens there.

    Attributes:
        address: Where.
        holders: Who, as far as this user may see.
    """

    def __init__(self, address: Address, holders: tuple[Holder, ...]) -> None:
        self.address = address
        self.holders = holders
        super().__init__(f"cannot listen on {address}: in use, {worded(holders)}; or choose another address")


class CannotListen(ProcessError):
    """The system refuses an address for another reason.

    Attributes:
        address: Where.
        reason: The system's words.
    """

    def __init__(self, address: Address, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"cannot listen on {address}: {reason}")


class BoundListener:
    """One listening socket.

    Args:
        address: What was asked for.
        sock: Bound and listening; owned from here on.
        inode: Device and inode of our file of a unix socket, None for every other kind.

    Attributes:
        address: What was asked for.
        sock: The socket; its descriptor is the one that zygotes inherit, under the same number.
        shown: The address that clients use, with the real port.
    """

    def __init__(self, address: Address, sock: socket.socket, inode: tuple[int, int] | None = None) -> None:
        self.address = address
        self.sock = sock
        self.shown = shown_address(sock)
        self._inode = inode

    @property
    def number(self) -> int:
        """The same in all processes that hold it."""
        return number_of(self.sock.fileno())

    @property
    def is_ours(self) -> bool:
        """Whether we bound it, in this life or an earlier one; otherwise it is only lent to us."""
        return isinstance(self.address, TcpAddress | UnixAddress)

    @property
    def path(self) -> Path | None:
        """The file of a unix socket that we made."""
        return Path(self.address.path) if isinstance(self.address, UnixAddress) else None

    def for_worker(self) -> Listener:
        """What a worker is told."""
        return Listener(self.shown, self.sock.fileno(), str(self.address))

    def leave_file(self) -> None:
        """Remove no file in the end."""
        self._inode = None

    def unlink(self) -> None:
        """Remove the file of a unix socket, if it is still the one we made. No connection is touched.

        Raises:
            OSError: Its folder does not let us.
        """
        path, inode = self.path, self._inode
        self._inode = None
        if path is not None and inode is not None and _inode(path) == inode:
            path.unlink(missing_ok=True)

    def end(self) -> None:
        """Listen no more, in no process that shares the socket, and close; one that was lent to us is only closed.

        What is still queued at a TCP socket is reset. Nobody finds a unix socket without its file, so that whoever
        shares it takes what is queued and then hears nothing any more.
        """
        if self.is_ours and self.sock.family != socket.AF_UNIX:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RD)
        self.close()

    def close(self) -> None:
        """Unlink and close; queued connections survive as long as another process holds the socket.

        A file that cannot be removed stays: who binds there next removes it as stale.
        """
        with suppress(OSError):
            self.unlink()
        self.sock.close()


class Listeners:
    """All listening sockets of a service.

    Attributes:
        bound: In the order in which they were asked for; a name that resolves to several addresses gives several.
    """

    def __init__(self, bound: Sequence[BoundListener]) -> None:
        self.bound = tuple(bound)

    @classmethod
    def bind(
        cls,
        addresses: Iterable[Address],
        backlog: int = DEFAULT_BACKLOG,
        passed: Passed = NOTHING,
        living: Mapping[str, Mapping[str, int]] = NOBODYS,
        beside: Iterable[Address] = (),
    ) -> Self:
        """Bind all addresses or none.

        Args:
            addresses: What to listen on.
            backlog: Connections that may wait to be accepted; the kernel's somaxconn cuts it.
            passed: What a service manager passed; an address that we stored there in an earlier life is not bound
                anew.
            living: Sockets that processes of a former supervisor listen on, by what was asked for and by address: they
                are dup'ed, and nothing that is among them is bound anew.
            beside: What is listened on already.

        Raises:
            AddressInUse: Somebody else listens there; the message names who.
            CannotListen: Any other reason.
        """
        wanted = tuple(addresses)
        bound: list[BoundListener] = []
        try:
            for address in wanted:
                alive = living.get(str(address), {})
                bound.extend(
                    _adopt_all(address, alive.values(), backlog, passed)
                    if alive
                    else _bind(address, backlog, (*wanted, *beside), passed)
                )
        except BaseException:
            for listener in bound:
                listener.close()
            raise
        return cls(bound)

    def for_workers(self) -> tuple[Listener, ...]:
        """What every worker is told."""
        return tuple(listener.for_worker() for listener in self.bound)

    def held_by_others(self) -> Iterator[tuple[BoundListener, tuple[Holder, ...]]]:
        """Our own sockets that other processes hold beside us. Blocks on /proc.

        The service manager may: it keeps them for our next life. It started us, or is the first of all processes.
        """
        allowed = frozenset({os.getpid(), os.getppid(), 1})
        for listener in self.bound:
            holders = holders_of_socket(listener.sock.fileno(), allowed) if listener.is_ours else ()
            if holders:
                yield listener, holders

    def close(self) -> None:
        """Unlink and close all."""
        for listener in self.bound:
            listener.close()


def number_of(fd: int) -> int:
    """The same for every descriptor of one socket, in all processes."""
    return os.fstat(fd).st_ino


def shown_address(sock: socket.socket) -> str:
    """The address that clients use."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if sock.family == socket.AF_INET6 else f"{name[0]}:{name[1]}"


def _bind(address: Address, backlog: int, wanted: tuple[Address, ...], passed: Passed) -> list[BoundListener]:
    try:
        match address:
            case FdAddress(fd=fd):
                return [_adopt(address, fd, backlog, passed)]
            case PassedAddress():
                return _adopt_named(address, backlog, passed)
            case UnixAddress():
                return _adopt_stored(address, backlog, passed) or [_bind_unix(address, backlog)]
            case TcpAddress():
                return _adopt_stored(address, backlog, passed) or _bind_tcp(address, backlog, wanted)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(address, _holders(address)) from error
        raise CannotListen(address, error.strerror or str(error)) from error


def _holders(address: Address) -> tuple[Holder, ...]:
    match address:
        case TcpAddress(port=port):
            return holders_of_port(port)
        case UnixAddress(path=path):
            return holders_of_path(Path(path))
        case FdAddress() | PassedAddress():
            return ()


def _bind_tcp(address: TcpAddress, backlog: int, wanted: tuple[Address, ...]) -> list[BoundListener]:
    bound: list[BoundListener] = []
    port = address.port
    try:
        for family, host in _resolve(address):
            sock = _tcp_socket(family, host, port, backlog, _shared_with_ipv4(address, host, wanted))
            bound.append(BoundListener(address, sock))
            port = sock.getsockname()[1]
    except BaseException:
        for listener in bound:
            listener.close()
        raise
    return bound


def _resolve(address: TcpAddress) -> list[tuple[socket.AddressFamily, str]]:
    if address.host == "*":
        return [(socket.AF_INET6, "::")] if socket.has_dualstack_ipv6() else [(socket.AF_INET, "0.0.0.0")]
    try:
        found = socket.getaddrinfo(
            address.host or "0.0.0.0", address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else "this is no host's name"
        raise CannotListen(address, f"{reason}; write a name that this host resolves, or an address") from error
    return list(dict.fromkeys((family, str(sockaddr[0])) for family, _, _, _, sockaddr in found))


def _shared_with_ipv4(address: TcpAddress, host: str, wanted: tuple[Address, ...]) -> bool:
    """Whether the IPv6 wildcard also takes IPv4: unless IPv4 is asked for on the same port by an address of its own."""
    apart = any(
        isinstance(other, TcpAddress) and other.port == address.port and ":" not in other.host and other.host != "*"
        for other in wanted
    )
    return host == "::" and not apart


def _tcp_socket(family: socket.AddressFamily, host: str, port: int, backlog: int, dual: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not dual))
        sock.bind((host, port))
        return _listen(sock, backlog)
    except BaseException:
        sock.close()
        raise


def _listen(sock: socket.socket, backlog: int) -> socket.socket:
    sock.listen(backlog)
    sock.setblocking(False)
    return sock


def _bind_unix(address: UnixAddress, backlog: int) -> BoundListener:
    path = Path(address.path)
    if len(os.fsencode(address.path)) > LONGEST_UNIX_PATH:
        raise CannotListen(address, f"the path is longer than {LONGEST_UNIX_PATH} bytes; choose a shorter one")
    if not path.parent.exists():
        folder = path.parent
        raise CannotListen(address, f"there is no folder {folder}: make it (mkdir -p {folder}), or choose another path")
    _clear_stale(address, path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(address.path)
        inode = _inode(path)
        path.chmod(address.mode)
        return BoundListener(address, _listen(sock, backlog), inode)
    except BaseException:
        sock.close()
        raise


def _clear_stale(address: UnixAddress, path: Path) -> None:
    """Remove a socket file that nobody listens on."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise CannotListen(address, "the path exists and is no socket; remove it or choose another")
    if is_alive(path):
        raise AddressInUse(address, holders_of_path(path))
    path.unlink(missing_ok=True)


def is_alive(path: Path) -> bool:
    """Whether somebody listens on the unix stream socket at `path`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        return probe.connect_ex(str(path)) not in (errno.ECONNREFUSED, errno.ENOENT)


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _adopt(address: Address, fd: int, backlog: int, passed: Passed) -> BoundListener:
    why = f"; {passed.problem}" if passed.problem else ""
    try:
        sock = socket.socket(fileno=os.dup(fd))
    except OSError as error:
        raise CannotListen(address, f"descriptor {fd} is no open socket ({error.strerror}){why}") from error
    try:
        if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
            raise CannotListen(address, f"descriptor {fd} is no TCP or unix stream socket{why}")
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise CannotListen(address, f"descriptor {fd} does not listen; bind and listen before starting us{why}")
        inode = _inode(Path(address.path)) if isinstance(address, UnixAddress) else None
        return BoundListener(address, _listen(sock, backlog), inode)
    except BaseException:
        sock.close()
        raise


def _adopt_all(address: Address, descriptors: Iterable[int], backlog: int, passed: Passed) -> list[BoundListener]:
    bound: list[BoundListener] = []
    try:
        for fd in descriptors:
            bound.append(_adopt(address, fd, backlog, passed))
    except BaseException:
        for listener in bound:
            listener.sock.close()
        raise
    return bound


def _adopt_named(address: PassedAddress, backlog: int, passed: Passed) -> list[BoundListener]:
    descriptors = passed.named(address.name)
    if not descriptors:
        reason = passed.problem or f"no socket of this name was passed to us (passed: {passed.known()})"
        raise CannotListen(address, f"{reason}; FileDescriptorName= of a socket unit gives the name")
    return _adopt_all(address, descriptors, backlog, passed)


def _adopt_stored(address: TcpAddress | UnixAddress, backlog: int, passed: Passed) -> list[BoundListener]:
    """Take back what we stored in an earlier life, unless nobody would find it: a unix socket whose file is gone."""
    descriptors = passed.named(stored_name(str(address)))
    if isinstance(address, UnixAddress) and descriptors and not is_alive(Path(address.path)):
        return []
    return _adopt_all(address, descriptors, backlog, passed)
