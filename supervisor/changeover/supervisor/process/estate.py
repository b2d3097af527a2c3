"""What a former supervisor left: processes that serve on, and the descriptors that they hold for the service."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from changeover.supervisor.process.listeners import number_of
from changeover.supervisor.process.stacks import StacksFile
from changeover.supervisor.process.zygote_process import HeldZygote
from changeover.workers.protocol.belongings import Belongings, Told
from changeover.workers.protocol.forking import Ready
from changeover.workers.protocol.identity import WorkerId


@dataclass(frozen=True, slots=True)
class FoundZygote:
    """A zygote that answered.

    Attributes:
        ready: What it said of itself.
        handles: What is held of it.
    """

    ready: Ready
    handles: HeldZygote

    def close(self) -> None:
        """Let go of it."""
        self.handles.sock.close()
        self.handles.stacks.close()
        os.close(self.handles.pidfd)


@dataclass(frozen=True, slots=True)
class FoundWorker:
    """A worker that answered.

    Attributes:
        told: What it said of itself.
        pidfd: Opened by itself.
        stacks: Its stacks file.
    """

    told: Told
    pidfd: int
    stacks: StacksFile

    def close(self) -> None:
        """Let go of it."""
        self.stacks.close()
        os.close(self.pidfd)


@dataclass(slots=True)
class Estate:
    """What was found.

    Attributes:
        zygotes: Those that answered.
        workers: Those that answered and that none of these zygotes will hand over.
        sockets: Listening sockets, each once: what was asked for -> address as people see it -> descriptor.
        holders: The same sockets, by number -> for which rolls those who hold them were made.
        cell: The commit cell; None where nobody holds one.
        counts: The page of connection counts; None where nobody holds one.
    """

    zygotes: list[FoundZygote] = field(default_factory=list)
    workers: list[FoundWorker] = field(default_factory=list)
    sockets: dict[str, dict[str, int]] = field(default_factory=dict)
    holders: dict[int, set[int]] = field(default_factory=dict)
    cell: int | None = None
    counts: int | None = None

    @property
    def empty(self) -> bool:
        """Whether nobody was found."""
        return not self.zygotes and not self.workers

    @property
    def journals(self) -> frozenset[str]:
        """The journals that those who were found belong to."""
        return frozenset(each.ready.journal for each in self.zygotes) | {each.told.journal for each in self.workers}

    @property
    def pids(self) -> tuple[int, ...]:
        """Who was found."""
        return tuple(sorted([*(each.ready.pid for each in self.zygotes), *(each.told.pid for each in self.workers)]))

    def handed_over(self, worker: WorkerId) -> bool:
        """Whether a zygote will hand `worker` over."""
        return any(worker in zygote.ready.children for zygote in self.zygotes)

    def take(self, held: Belongings, descriptors: Iterable[int], rolled: int) -> None:
        """Take what one process holds that was made for the roll `rolled`, and close what is there already."""
        fds = iter(descriptors)
        self.cell = _first(self.cell, next(fds))
        self.counts = _first(self.counts, next(fds))
        for listener, fd in zip(held.listeners, fds, strict=True):
            if not _listens(fd):  # its address was removed
                os.close(fd)
                continue
            self.holders.setdefault(number_of(fd), set()).add(rolled)
            known = self.sockets.setdefault(listener.asked, {})
            known[listener.address] = _first(known.get(listener.address), fd)

    def give_away(self) -> tuple[tuple[FoundZygote, ...], tuple[FoundWorker, ...]]:
        """Let somebody else have everybody."""
        found = tuple(self.zygotes), tuple(self.workers)
        self.zygotes.clear()
        self.workers.clear()
        return found

    def let_go_of_sockets(self) -> None:
        """Close what is listened on, which somebody else has by now: a removed address goes with its last holder."""
        for fd in (fd for known in self.sockets.values() for fd in known.values()):
            os.close(fd)
        self.sockets.clear()

    def close(self) -> None:
        """Let go of everybody who was not given away, and of everything; no process is touched."""
        for zygote in self.zygotes:
            zygote.close()
        for worker in self.workers:
            worker.close()
        self.let_go_of_sockets()
        for fd in filter(None, (self.cell, self.counts)):
            os.close(fd)


def _listens(fd: int) -> bool:
    with socket.socket(fileno=os.dup(fd)) as sock:
        return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _first(known: int | None, further: int) -> int:
    if known is None:
        return further
    os.close(further)
    return known
