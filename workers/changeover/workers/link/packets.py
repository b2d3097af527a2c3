"""Packets over a SEQPACKET socket, with descriptors beside them (SCM_RIGHTS)."""

import array
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

_FD_SIZE = array.array("i").itemsize


@dataclass(frozen=True, slots=True)
class Packet:
    """One received packet.

    Attributes:
        data: Its bytes; empty at the end of the stream.
        fds: Descriptors that came with it, close-on-exec, owned by whoever received it.
        cut: Whether bytes or descriptors were lost: the packet was too long, or no descriptor was free.
    """

    data: bytes
    fds: tuple[int, ...] = ()
    cut: bool = False

    def close_fds(self) -> None:
        """Close what came with it."""
        for fd in self.fds:
            os.close(fd)


def receive_packet(sock: socket.socket, longest: int, descriptors: int = 0) -> Packet:
    """Receive one packet.

    Args:
        sock: Non-blocking.
        longest: Most bytes.
        descriptors: Most descriptors.

    Raises:
        BlockingIOError: There is none now.
        OSError: The stream broke.
    """
    room = socket.CMSG_SPACE(descriptors * _FD_SIZE) if descriptors else 0
    data, ancillary, flags, _ = sock.recvmsg(longest, room, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % _FD_SIZE])
    return Packet(data, tuple(fds), bool(flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)))


def send_packet(sock: socket.socket, data: bytes, fds: Sequence[int] = ()) -> None:
    """Send one packet, whole or not at all.

    Args:
        sock: Non-blocking.
        data: At least one byte.
        fds: Descriptors to pass; they stay open here.

    Raises:
        BlockingIOError: The peer has too much unread.
        OSError: The stream broke, or too many descriptors are in flight (ETOOMANYREFS).
    """
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
    sock.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
