"""What a process of a service holds for all of it, and tells the supervisor that adopts it.

A supervisor that died leaves processes that serve on. The next one asks each of them: a zygote greets whoever
connects, a worker answers `ASK` on its own socket. The descriptors come beside the answer, in the order of `AHEAD` and
then the listening sockets as `Belongings` lists them.
"""

import msgspec

from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.identity import WorkerId

ASK = b"belongings?"
"""What a supervisor says to a worker that it did not have forked: its first packet, and its only one."""
AHEAD = ("pidfd", "stacks", "cell", "counts")
"""Descriptors before the listening sockets: of the process itself, opened by itself, and of the two shared pages."""
MOST_DESCRIPTORS = 253
"""Most descriptors that the kernel passes beside one packet (SCM_MAX_FD)."""


class Listener(msgspec.Struct, frozen=True):
    """A listening socket that the supervisor bound and its processes inherited.

    Attributes:
        address: As people see it (`127.0.0.1:8000`, `unix:/run/shop.sock`).
        fd: The inherited descriptor; dup'ed before it is given to a loop, because closing a server closes it.
        asked: As it was asked for (`localhost:8000`): by this the next supervisor knows whose socket it is.
    """

    address: str
    fd: int
    asked: str = ""


class Belongings(msgspec.Struct, frozen=True):
    """Descriptors, by their numbers in the process that holds them; -1 = it has none.

    Attributes:
        listeners: The listening sockets.
        cell: The commit cell.
        counts: The page of connection counts.
    """

    listeners: tuple[Listener, ...] = ()
    cell: int = -1
    counts: int = -1

    def descriptors(self) -> tuple[int, ...]:
        """All that it has, in the order in which they are passed on."""
        all_of_them = (self.cell, self.counts, *(listener.fd for listener in self.listeners))
        return tuple(fd for fd in all_of_them if fd >= 0)


class Told(msgspec.Struct, frozen=True, tag="belongings"):
    """A worker's answer to `ASK`.

    Attributes:
        worker: Who it is.
        pid: For people.
        rolled: The epoch whose roll made it: what it can serve.
        journal: The journal it belongs to.
        belongings: What it holds, under its own numbers.
    """

    worker: WorkerId
    pid: int
    rolled: int
    journal: str
    belongings: Belongings


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Told)


def encode(told: Told) -> bytes:
    """Encode a worker's answer as one packet."""
    return _encoder.encode(told)


def decode(packet: bytes) -> Told:
    """Decode a worker's answer.

    Raises:
        MalformedFrame: `packet` is none.
    """
    try:
        return _decoder.decode(packet)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedFrame(len(packet), str(error)) from error
