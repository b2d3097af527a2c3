"""Ports for who has to name one before anybody listens there.

The kernel gives a free one to whoever asks for any, and to every client: such a port may be somebody else's by the
time that it is named. These are none of those.
"""

import random
import socket
from contextlib import suppress
from pathlib import Path

GIVEN = Path("/proc/sys/net/ipv4/ip_local_port_range")
TRIES = 1000


def unused() -> str:
    """An address at which nobody listens, and nobody will by chance."""
    return f"127.0.0.1:{unused_port()}"


def unused_port() -> int:
    """Its port alone."""
    lowest = int(GIVEN.read_text().split()[0])
    for _ in range(TRIES):
        port = random.randrange(max(1024, lowest // 2), lowest)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError(f"no port below {lowest} is free: see {GIVEN}")
