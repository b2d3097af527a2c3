"""Attributes tasks and threads to the request or to the unit's hook that started them."""

import asyncio
from contextvars import ContextVar
from threading import Thread
from weakref import WeakSet


class UnitWork:
    """Tasks and threads that the hooks of one unit started, while they live; no lease holds them.

    Attributes:
        name: The unit's name.
        tasks: Tasks not yet collected.
        threads: Threads not yet collected.
    """

    __slots__ = ("name", "tasks", "threads")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks: WeakSet[asyncio.Task[object]] = WeakSet()
        self.threads: WeakSet[Thread] = WeakSet()


current_work: ContextVar[UnitWork | None] = ContextVar("changeover_work", default=None)
"""Set (in a context of its own) while a unit's hook runs, so that what the hook starts is known by name."""


def install(loop: asyncio.AbstractEventLoop) -> None:
    """Attribute every task and thread that is started from now on; once per process."""
    raise NotImplementedError


def uninstall() -> None:
    """Undo `install`."""
    raise NotImplementedError
