"""A disk on which files grow only so far: of what reaches beyond that, it takes the part before."""

import errno
import os
from collections.abc import Callable

Write = Callable[[int, memoryview, int], int]


def full_from(size: int, write: Write = os.pwrite) -> Write:
    """What takes the place of `os.pwrite`."""

    def pwrite(descriptor: int, data: memoryview, at: int) -> int:
        if at >= size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data[: size - at], at)

    return pwrite
