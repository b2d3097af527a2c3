"""WSGI applications (PEP 3333) as what stands at the end of a pipeline."""

from collections.abc import Callable, Iterable
from typing import Any

from changeover.workers.serving.disk import Disk
from changeover.workers.serving.mailbox import Courier
from changeover.workers.serving.readers import Readers
from changeover.workers.serving.spool import Room
from changeover.workers.serving.threads import ThreadPool
from changeover.workers.serving.wsgi_environ import Environs

WsgiCallable = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

THREADS = 4
"""Threads of one application in each worker, unless somebody says otherwise: one slow request does not hold up the
next, and an application that has a database connection in each thread does not need many."""


class WsgiApplication:
    """One application instance with its threads; shared by the generations that contain it.

    Args:
        name: The unit's name, for messages.
        call: The WSGI callable.
        root_path: Prefix that a proxy in front strips.
        threads: Most requests that it is called for at the same time.

    Attributes:
        name: The unit's name.
        call: The WSGI callable.
        environs: Makes its environs.
        pool: Its threads.
        courier: Carries what they say to the loop.
        readers: How many of them may read a body while it comes.
        room: For what slow clients have yet to send to it, and to take.
        disk: Reads and writes that.
        waiting: How many of its requests wait for a thread.
    """

    __slots__ = ("call", "courier", "disk", "environs", "name", "pool", "readers", "room", "waiting")

    def __init__(self, name: str, call: WsgiCallable, root_path: str = "", threads: int = THREADS) -> None:
        self.name = name
        self.call = call
        self.environs = Environs(root_path, multithread=threads > 1)
        self.pool = ThreadPool(name, threads)
        self.courier = Courier()
        self.readers = Readers(threads)
        self.room = Room()
        self.disk = Disk(name)
        self.waiting = 0

    @property
    def rounds(self) -> int:
        """How often its requests that wait would fill all its threads."""
        return self.waiting // self.pool.size

    async def close(self, deadline: float) -> None:
        """Let all of its threads end, those that work as soon as they are done.

        Args:
            deadline: Seconds to wait for those that run it.
        """
        await self.pool.close(deadline)
        self.disk.close()
