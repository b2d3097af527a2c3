"""Makes sure that the descriptors 0, 1 and 2 are what every process takes them for.

Started with one of them closed, the next socket or database would be opened under its number, and
what anybody prints would be written into that.
"""

import os
import sys


def fill_standard_descriptors() -> None:
    """Open the null device for each that is closed. Called before anything else is opened."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            _fill(fd)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _fill(fd: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == fd:
        os.set_inheritable(fd, True)
    else:
        os.dup2(null, fd)
        os.close(null)
