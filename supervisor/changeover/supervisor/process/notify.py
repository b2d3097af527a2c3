"""The socket on which a service manager is told how we are: `sd_notify`, one datagram each, without a library."""

import array
import logging
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping, MutableMapping, Sequence

import msgspec

from changeover.supervisor.process.errors import ProcessError

logger = logging.getLogger("changeover")

RETRY = 0.1
"""Seconds until a datagram that found no room is sent again."""
WAITING = 64
"""Datagrams that may wait for room; past that the oldest are lost, and later ones say the same and more."""

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""What a service manager says to the process that it starts, and to no other."""

Later = Callable[[float, Callable[[], None]], object]
"""Calls something after so many seconds, on the loop."""


class BadNotifySocket(ProcessError):
    """The service manager's address cannot be used.

    Attributes:
        address: What NOTIFY_SOCKET says.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__(
            f"NOTIFY_SOCKET={address} is no address of a unix socket (an absolute path, or @ and a name): "
            "the service manager is not told how we are; unset it where there is none"
        )


class Managed(msgspec.Struct, frozen=True):
    """What a service manager told us at our start.

    Attributes:
        notify: Where it wants to be told, empty for nowhere.
        watchdog: Seconds within which it wants to hear from us again and again; 0 = never.
        invoked: Whether we are, or are below, a service that it started, also one that need not tell it anything.
    """

    notify: str = ""
    watchdog: float = 0.0
    invoked: bool = False


def take_variables(environment: MutableMapping[str, str], pid: int) -> Managed:
    """Read what is meant for us and remove it, so that no process we start takes it for its own.

    Args:
        environment: Loses `VARIABLES`.
        pid: Ours.
    """
    invoked = bool(environment.get("INVOCATION_ID"))
    managed = Managed(environment.get("NOTIFY_SOCKET", ""), _watchdog(environment, pid), invoked)
    for name in VARIABLES:
        environment.pop(name, None)
    return managed


def _watchdog(environment: Mapping[str, str], pid: int) -> float:
    written = environment.get("WATCHDOG_USEC", "")
    if not written or environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return 0.0
    if not (written.isascii() and written.isdigit()):
        logger.warning("WATCHDOG_USEC=%s is no number of microseconds: the watchdog is not served", written)
        return 0.0
    return int(written) / 1e6


class NotifySocket:
    """Sends notices, in order, and never waits.

    Args:
        address: An absolute path, or `@` and an abstract name.
        later: Tries again what found no room.

    Raises:
        BadNotifySocket: `address` is neither.
    """

    def __init__(self, address: str, later: Later) -> None:
        if not (address.startswith(("/", "@")) and len(address) > 1):
            raise BadNotifySocket(address)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._later = later
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque(maxlen=WAITING)
        self._unheard = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    @property
    def is_behind(self) -> bool:
        """Whether something waits for room."""
        return bool(self._waiting)

    def send(self, notice: str, descriptors: Sequence[int] = ()) -> None:
        """Send a notice, with descriptors that stay open here until it is sent."""
        idle = not self._waiting
        self._waiting.append((notice.encode(errors="replace"), tuple(descriptors)))
        if idle:
            self._flush()

    def close(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        self._socket.close()

    def _flush(self) -> None:
        while self._waiting:
            data, descriptors = self._waiting[0]
            try:
                self._send(data, descriptors)
            except BlockingIOError:
                self._later(RETRY, self._flush)
                return
            except OSError as error:
                self._complain(error)
            self._waiting.popleft()

    def _send(self, data: bytes, descriptors: tuple[int, ...]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors).tobytes())]
        self._socket.sendmsg([data], rights if descriptors else [], socket.MSG_NOSIGNAL, self._address)

    def _complain(self, error: OSError) -> None:
        if not self._unheard:
            self._unheard = True
            logger.warning("the service manager cannot be told how we are: %s", error.strerror or error)


def of_this_process(later: Later) -> tuple[Managed, NotifySocket | None]:
    """Take what the service manager told this process, and open the way back to it."""
    managed = take_variables(os.environ, os.getpid())
    try:
        return managed, NotifySocket(managed.notify, later) if managed.notify else None
    except BadNotifySocket as error:
        logger.warning("%s", error)
        return managed, None
