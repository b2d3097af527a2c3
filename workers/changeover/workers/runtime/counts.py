"""How many connections each worker holds: one shared page, one word per slot.

Workers look at it before they accept, so that connections spread evenly without a lock and
without anybody in the middle. Who writes what:

- The supervisor makes the page (`create`) and gives its descriptor to every worker. It vacates the
  word of a slot whose worker is confirmed dead; nothing else tells the peers.
- A worker writes its own slot's word only: from the moment it accepts until it stops accepting,
  when it vacates the word itself.
- `NOBODY` (2**64 - 1) says that no worker accepts in this slot. It is not the same as 0, which
  says that a living worker waits for its first connection, and that the others had better let it.
"""

import fcntl
import mmap
import os
from collections.abc import Iterator

PAGE = mmap.PAGESIZE
WORD = 8
SLOTS = PAGE // WORD
NOBODY = 2**64 - 1


def create() -> int:
    """Make the page, with nobody in any slot.

    Returns:
        A descriptor that the caller owns; it is not inherited over exec unless the caller says so.
    """
    fd = os.memfd_create("changeover-counts", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, NOBODY.to_bytes(WORD, "little") * SLOTS)
    # A page that one process cut off would end every other one that looks at it.
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd


class Counts:
    """A mapping of the page.

    Args:
        fd: A descriptor of the page; it may be closed afterwards.
    """

    __slots__ = ("_map", "_words")

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._words = memoryview(self._map).cast("Q")

    def store(self, slot: int, connections: int) -> None:
        """Say how many connections the worker in `slot` holds."""
        self._words[slot] = connections

    def vacate(self, slot: int) -> None:
        """Say that nobody accepts in `slot`: its worker is dead, or leaves."""
        self._words[slot] = NOBODY

    def read(self, slot: int) -> int | None:
        """The connections of the worker in `slot`; None when nobody accepts there."""
        count = self._words[slot]
        return None if count == NOBODY else count

    def living(self) -> Iterator[int]:
        """The connections of every worker that accepts."""
        return (count for count in self._words if count != NOBODY)

    def close(self) -> None:
        """Unmap the page."""
        self._words.release()
        self._map.close()
