"""Bytes that go from process to process in a memory file, which nobody can change any more once it is sealed."""

import fcntl
import os

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.plugin_messages import MOST_STATE

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class NotSealed(ChangeoverError):
    """A descriptor is not what was announced.

    Attributes:
        reason: What it is.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"what was to hold the state of a plugin {reason}")


def seal(name: str, *parts: bytes) -> int:
    """Write `parts`, one after the other.

    Args:
        name: For people who look at the process.
        parts: What it holds.

    Returns:
        A descriptor that the caller owns.

    Raises:
        OSError: There is no memory, or no descriptor.
    """
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        for part in parts:
            left = memoryview(part)
            while left:
                left = left[os.write(fd, left) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    except OSError:
        os.close(fd)
        raise
    return fd


def unseal(fd: int, *sizes: int) -> list[bytes]:
    """Read what `seal` wrote; `fd` stays open.

    Args:
        fd: The descriptor.
        sizes: How long each part is.

    Raises:
        NotSealed: It can be changed, is no memory file, or holds more or less than that, or too much.
        OSError: It cannot be read.
    """
    try:
        seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError:
        raise NotSealed("is no memory file") from None
    if seals & SEALS != SEALS:
        raise NotSealed("can be changed by others")
    if not all(0 <= size <= MOST_STATE for size in sizes):
        raise NotSealed(f"is announced with {max(sizes)} bytes, and at most {MOST_STATE >> 20} MiB go over")
    if os.fstat(fd).st_size != sum(sizes):
        raise NotSealed(f"holds {os.fstat(fd).st_size} bytes, and not {sum(sizes)}")
    parts, at = [], 0
    for size in sizes:
        parts.append(os.pread(fd, size, at))
        at += size
    return parts
