"""Room in the kernel's table of descriptors, made before it costs anything.

The table of a process grows when it is full, at 64, 128, 256 and so on. A process with more than one thread
is stopped for that until an RCU grace period has passed: 10 to 20 ms, in which a worker serves nobody.
"""

import fcntl
import os
import resource

PREPARED = 4096
"""Most descriptors that room is made for, which takes 32 KiB; beyond that the table grows when it has to."""


def make_room() -> None:
    """Let the table grow now, while this process has one thread: a roll fills it within milliseconds."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, min(soft, PREPARED) - 1))
