"""Whose connections a process holds, so that what a client meets can be told from what a kill explains."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def kill_and_name(pid: int, port: int) -> frozenset[int]:
    """Kill a worker, and say which clients' connections to `port` it took along, by their own ports.

    It is stopped first, so that it neither takes nor hands over a connection in between.

    Raises:
        ValueError: No process is meant: an empty slot has the number that signals a whole group.
    """
    if pid <= 1:
        raise ValueError(f"{pid} is no worker's")
    os.kill(pid, signal.SIGSTOP)
    try:
        return _clients(pid, port)
    finally:
        os.kill(pid, signal.SIGKILL)


def _clients(pid: int, port: int) -> frozenset[int]:
    held = frozenset(_sockets(pid))
    table = (line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:])
    ends = ((_port(fields[1]), _port(fields[2])) for fields in table if fields[9] in held)
    return frozenset(theirs for ours, theirs in ends if ours == port and theirs)  # a listening socket has no other end


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)


def _sockets(pid: int) -> list[str]:
    found: list[str] = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            target = os.readlink(entry)
            if target.startswith("socket:["):
                found.append(target[len("socket:[") : -1])
    return found
