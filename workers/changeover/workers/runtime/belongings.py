"""What this process has that forked workers would share, or lack: descriptors and children, each named for people."""

import os
import socket
import stat
from pathlib import Path

from changeover.workers.protocol.examination import Kind, Left
from changeover.workers.runtime.forking import open_descriptors

PROCESS = "process "
_SOCKET_TYPES = {socket.SOCK_STREAM: "TCP", socket.SOCK_DGRAM: "UDP", socket.SOCK_RAW: "raw"}


def belongings() -> frozenset[str]:
    """A name for each descriptor and each child: the same as long as it is there, and no other's."""
    return frozenset((*map(_named, open_descriptors()), *(f"{PROCESS}{pid}" for pid in children())))


def children() -> frozenset[int]:
    """Processes that this one started and that are not reaped."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update(map(int, (task / "children").read_text().split()))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return frozenset(found)


def described(thing: str, module: str) -> Left:
    """Say what one of `belongings` is.

    Args:
        thing: Its name.
        module: Who is to blame for it.

    Raises:
        OSError: It is gone.
    """
    if thing.startswith(PROCESS):
        pid = thing.removeprefix(PROCESS)
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return Left(module, Kind.PROCESS, command or f"pid {pid}")
    fd, _, link = thing.partition(" ")
    return Left(module, *_descriptor(int(fd), link))


def _named(fd: int) -> str:
    try:
        return f"{fd} {os.readlink(f'/proc/self/fd/{fd}')}"
    except FileNotFoundError:
        return f"{fd} "


def _descriptor(fd: int, link: str) -> tuple[Kind, str]:
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return Kind.SOCKET, _socket(fd)
    if stat.S_ISFIFO(mode):
        return Kind.PIPE, link
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return Kind.DEVICE, link
    if link.startswith("anon_inode:"):
        return Kind.LOOP, link.removeprefix("anon_inode:").strip("[]")
    return (Kind.APPENDED if _appends(fd) else Kind.FILE), link


def _appends(fd: int) -> bool:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines())
    return bool(int(fields["flags"], 8) & os.O_APPEND)


def _socket(fd: int) -> str:
    with socket.socket(fileno=os.dup(fd)) as sock:
        if sock.family not in (socket.AF_INET, socket.AF_INET6):
            name = sock.getsockname() or _peer(sock)
            return " ".join(part for part in (socket.AddressFamily(sock.family).name, _address(name)) if part)
        kind = _SOCKET_TYPES.get(socket.SocketKind(sock.type), "")
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return f"{kind} listening at {_address(sock.getsockname())}"
        peer = _peer(sock)
        return f"{kind} {_address(sock.getsockname())}" + (f" -> {_address(peer)}" if peer else "")


def _peer(sock: socket.socket) -> object:
    try:
        return sock.getpeername()
    except OSError:
        return ""


def _address(name: object) -> str:
    if isinstance(name, tuple) and len(name) >= 2:
        host, port = name[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")
