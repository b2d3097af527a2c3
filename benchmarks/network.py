"""A network of one's own, so that the kernel counts what the benchmark does and nothing else."""

import ctypes
import fcntl
import socket
import struct
from pathlib import Path

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS = 0x8914
IFF_UP = 0x1
REQUEST = struct.Struct("16sh14x")


def leave_for_own() -> bool:
    """Move this process, and what it starts from here on, into a network namespace with only a loopback device.

    Returns:
        False when the kernel does not allow it; everything stays as it was.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCSIFFLAGS, REQUEST.pack(b"lo", IFF_UP))
    return True


def migrate_queued() -> bool:
    """Let queued connections go over to another socket of the same port when theirs is closed, in this network.

    Returns:
        False when that is not allowed; it stays as it was.
    """
    try:
        Path("/proc/sys/net/ipv4/tcp_migrate_req").write_text("1")
    except OSError:
        return False
    return True
