"""The C library's allocator, as many connections need it: large and all but empty buffers, and all of them at once.

Where the C library is none that can be told, nothing happens.
"""

import ctypes
from collections.abc import Callable
from functools import cache

LARGE = 256 * 1024
"""Bytes from which memory is the kernel's own affair, page by page as it is used, and given back when it is free. The
loop reads TLS into so many for each connection."""
TRIM, MMAP = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of <malloc.h>."""
MANY = 100
"""Connections from which it matters what they leave behind."""


@cache
def keep_large_apart() -> None:
    """Keep large pieces out of the heap for as long as the process lives.

    By itself glibc puts them into the heap as soon as one was freed. Small things of connections lie scattered between
    them then, on pages of their own: 23 KB more for each idle connection.
    """
    tune = _function("mallopt")
    tune(MMAP, LARGE)
    tune(TRIM, 2 * LARGE)


def give_back() -> None:
    """Give free pages of the heap back, also those below what is in use: only its end is given back by itself."""
    _function("malloc_trim")(0)


@cache
def _function(name: str) -> Callable[..., int]:
    return getattr(ctypes.CDLL(None), name, _nothing)


def _nothing(*arguments: int) -> int:
    return 0


class Tide:
    """Notices when half of many connections have left."""

    def __init__(self) -> None:
        self._high = 0

    def falls(self, count: int) -> bool:
        """Whether there were twice as many as now, and many, since that was noticed last."""
        self._high = max(self._high, count)
        if self._high < MANY or 2 * count > self._high:
            return False
        self._high = count
        return True
