"""Asks everybody in a runtime directory who serves on although their supervisor is gone.

Each process is asked over its own socket. A zygote introduces itself to whoever connects, and says what it holds; a
worker does when it is asked. Who runs as another user than the service's processes is not heard, and a worker is not
believed that a process of somebody else, or another commit cell, is its own.
"""

import os
import re
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from changeover.supervisor.process.estate import Estate, FoundWorker, FoundZygote
from changeover.supervisor.process.held_worker import reaped
from changeover.supervisor.process.holders import Holder, holders_of_path
from changeover.supervisor.process.stacks import StacksFile
from changeover.supervisor.process.zygote_process import HeldZygote
from changeover.workers.link.packets import Packet, receive_packet, send_packet
from changeover.workers.protocol import belongings, forking
from changeover.workers.protocol.belongings import AHEAD, ASK, MOST_DESCRIPTORS
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.runtime import counts

ANSWER = 3.0
"""Seconds that all zygotes together have to answer, and all workers, which may be busy with a request."""
KILLED = 2.0
"""Seconds until a zygote that was killed is gone."""
_CREDENTIALS = struct.Struct("3i")
_PID = re.compile(r"^Pid:\s*(\d+)$", re.MULTILINE)
_NUMBER = re.compile(r"\d+$", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Search:
    """Where to look, and whom to believe.

    Attributes:
        runtime: The runtime directory, held; as sockets in it are addressed.
        user: As whom zygotes and workers run. Not our own user where that is another: whatever a worker names as its
            own process is signalled in our name.
        inherited: Connections to zygotes that this process had before it was executed anew, by the socket's name.
    """

    runtime: Path
    user: int
    inherited: Mapping[str, int]


def find(search: Search) -> Estate:
    """Ask everybody; blocks for `ANSWER` seconds where a zygote does not answer, and as long where a worker does not.

    A zygote that does not answer is killed: it takes no orders, and nobody would hold its workers. A worker that does
    not answer introduces itself as soon as it can. Sockets that nobody listens on are removed.

    The latest are asked first: where an address was removed and came back, what they listen on is what clients find.
    """
    estate = Estate()
    asked = [_ask_worker(search, path) for path in _latest_first(search.runtime.glob("worker-*.sock"))]
    until = time.monotonic() + ANSWER
    for path in _latest_first(search.runtime.glob("zygote-*.sock")):
        if (zygote := _ask_zygote(search, path, until)) is not None:
            estate.zygotes.append(_taken(estate, *zygote))
    until = time.monotonic() + ANSWER
    for sock in filter(None, asked):
        with sock:
            if (worker := _answer_of_worker(sock, until)) is not None:
                _take_worker(search, estate, *worker)
    return estate


def _latest_first(paths: Iterable[Path]) -> list[Path]:
    """Sockets by the numbers in their names; what has none there is not ours, and comes last."""

    def number(path: Path) -> int:
        found = _NUMBER.search(path.stem)
        return int(found[0]) if found else -1

    return sorted(paths, key=number, reverse=True)


def _ask_zygote(search: Search, path: Path, until: float) -> tuple[forking.Ready, Packet, socket.socket, Path] | None:
    if path.lstat().st_uid != os.geteuid():
        return None
    sock = _inherited(search, path) or _connected(search, path)
    if sock is None:
        return None
    for packet in _packets(sock, until):
        report = _read(forking.decode_report, packet.data)
        if isinstance(report, forking.Ready) and len(packet.fds) == len(AHEAD) + len(report.belongings.listeners):
            return report, packet, sock, path
        packet.close_fds()
    sock.close()
    _kill_listener(path, search.user)
    return None


def _taken(estate: Estate, ready: forking.Ready, packet: Packet, sock: socket.socket, path: Path) -> FoundZygote:
    pidfd, stacks, *held = packet.fds
    estate.take(ready.belongings, held, ready.rolled)
    handles = HeldZygote(ready.cohort, ready.pid, path, pidfd, sock, StacksFile(stacks), partial(reaped, pidfd))
    return FoundZygote(ready, handles)


def _ask_worker(search: Search, path: Path) -> socket.socket | None:
    sock = _connected(search, path)
    if sock is not None:
        with suppress(OSError):
            send_packet(sock, ASK)
    return sock


def _answer_of_worker(sock: socket.socket, until: float) -> tuple[belongings.Told, Packet] | None:
    for packet in _packets(sock, until):
        told = _read(belongings.decode, packet.data)
        if told is not None and len(packet.fds) == len(AHEAD) + len(told.belongings.listeners):
            return told, packet
        packet.close_fds()
    return None


def _take_worker(search: Search, estate: Estate, told: belongings.Told, packet: Packet) -> None:
    pidfd, stacks, *held = packet.fds
    if estate.handed_over(told.worker) or not _believed(search, estate, pidfd, held):
        packet.close_fds()
        return
    estate.workers.append(FoundWorker(told, pidfd, StacksFile(stacks)))
    estate.take(told.belongings, held, told.rolled)


def _believed(search: Search, estate: Estate, pidfd: int, held: Sequence[int]) -> bool:
    """Whether a worker's own process is one of the service's, and its commit cell the one that others read.

    What else does not fit would keep the service from starting for as long as that worker lives.
    """
    cell, page, *sockets = held
    known = search.runtime / "epoch.cell"
    try:
        expected = os.fstat(estate.cell) if estate.cell is not None else known.stat()
        owner = Path(f"/proc/{_pid_of(pidfd)}").stat().st_uid
    except OSError:
        return False
    fits = os.fstat(page).st_size == counts.PAGE and all(map(_listens, sockets))
    return fits and owner == search.user and os.path.samestat(os.fstat(cell), expected)


def _listens(fd: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(fd)) as sock:
            stream = sock.type == socket.SOCK_STREAM
            return stream and bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    except OSError:
        return False


def _pid_of(pidfd: int) -> int:
    found = _PID.search(Path(f"/proc/self/fdinfo/{pidfd}").read_text())
    return int(found[1]) if found else 0


def _inherited(search: Search, path: Path) -> socket.socket | None:
    fd = search.inherited.get(path.name)
    if fd is None:
        return None
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    with suppress(OSError):
        send_packet(sock, forking.encode(forking.Introduce()))
    return sock


def _connected(search: Search, path: Path) -> socket.socket | None:
    """Connect; None where nobody listens, in which case a socket's file goes, or somebody else does."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.setblocking(False)
        sock.connect(str(path))
        if _credentials(sock)[1] == search.user:
            return sock
    except ConnectionRefusedError:
        if path.is_socket():
            path.unlink(missing_ok=True)
    except OSError:
        sock.close()
        return None
    sock.close()
    return None


def _credentials(sock: socket.socket) -> tuple[int, int, int]:
    told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(told)
    return pid, uid, gid


def _packets(sock: socket.socket, until: float) -> Iterator[Packet]:
    """What arrives until then, or until the other end is gone."""
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    while poll.poll(max(0.0, until - time.monotonic()) * 1000):
        try:
            packet = receive_packet(sock, forking.MAX_PACKET, MOST_DESCRIPTORS)
        except BlockingIOError:
            continue
        except OSError:
            return
        if not packet.data:
            return
        yield packet


def _read(decode: Callable[[bytes], T], packet: bytes) -> T | None:
    try:
        return decode(packet)
    except MalformedFrame:
        return None


def _is_still(holder: Holder, holders: tuple[Holder, ...]) -> bool:
    return any((now.pid, now.started) == (holder.pid, holder.started) for now in holders)


def _user_of(pid: int) -> int | None:
    try:
        return Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return None


def _kill_listener(path: Path, user: int) -> None:
    """Kill whoever of the service's user holds the zygote's socket, and wait until it is gone."""
    for holder in holders_of_path(path):
        with suppress(ProcessLookupError):
            pidfd = os.pidfd_open(holder.pid)
            if _is_still(holder, holders_of_path(path)) and _user_of(holder.pid) == user:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], KILLED)
                reaped(pidfd)
            os.close(pidfd)
    path.unlink(missing_ok=True)
