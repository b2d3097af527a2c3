"""Which worker of a host does the exclusive work of plugins: the one that holds a lock in the runtime directory.

A record lock of POSIX: the kernel takes it back from who dies, however that comes about, and no child inherits it.
It belongs to the process, and is lost when *any* of its descriptors of that file is closed; so the file is opened once,
and the lock is taken again with every heartbeat, which shows a loss.
"""

import asyncio
import contextvars
import enum
import fcntl
import logging
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from changeover.workers.generation.exclusive import Exclusive

logger = logging.getLogger("changeover.worker")

LOCK = "leader.lock"
"""The file, in the runtime directory."""


class Post(enum.Enum):
    """How a worker stands to it."""

    CANDIDATE = "candidate"
    """It would lead, if nobody did."""
    LEADER = "leader"
    RESIGNING = "resigning"
    """It holds the lock until nothing exclusive runs here any more."""
    RETIRED = "retired"
    """It leaves, and has given the lock back or never had it."""


class Leadership:
    """Seeks the lock, and gives it back.

    Args:
        loop: The worker's loop.
        file: The lock's file; made when it is not there.
        exclusive: Begins and ends the work.
        crashed: Told of an error of our own.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        file: Path,
        exclusive: Exclusive,
        crashed: Callable[[BaseException], None],
    ) -> None:
        self._loop = loop
        self._file = file
        self._exclusive = exclusive
        self._crashed = crashed
        self._fd: int | None = None
        self._post = Post.CANDIDATE
        self._leaves = False
        self._work: asyncio.Task[None] | None = None
        self._unfit = ""

    @property
    def leads(self) -> bool:
        """Whether exclusive work runs here, or may still."""
        return self._post in (Post.LEADER, Post.RESIGNING)

    def seek(self) -> None:
        """Take the lock if it is free and there is work for who has it; hold it, and begin what could not begin yet."""
        if self._post is Post.CANDIDATE and self._exclusive.wanted and self._locked():
            self._post = Post.LEADER
            self._start(self._exclusive.lead())
        elif self._post is Post.LEADER:
            self._hold()
        elif self._post is Post.RESIGNING and self._work is None:
            self._release()

    def _hold(self) -> None:
        if not self._locked():
            logger.error("%s was lost: somebody else may do the exclusive work, so it ends here", self._file)
            self._resign()
        elif self._work is None and self._exclusive.idle:
            self._start(self._exclusive.lead())
        elif self._work is None and not (self._exclusive.wanted or self._exclusive.runs):
            self._resign()

    def give_up(self) -> None:
        """End the exclusive work, then let another worker lead: this one leaves."""
        self._leaves = True
        if self._post is Post.LEADER:
            self._resign()
        elif self._post is Post.CANDIDATE:
            self._post = Post.RETIRED

    def _resign(self) -> None:
        self._post = Post.RESIGNING
        self._start(self._end())

    async def _end(self) -> None:
        await self._exclusive.resign()
        self._release()

    def _release(self) -> None:
        """Give the lock back, unless something exclusive runs on: then it goes with that, or with the process."""
        if self._exclusive.runs or self._fd is None:
            return
        fcntl.lockf(self._fd, fcntl.LOCK_UN)
        self._post = Post.RETIRED if self._leaves else Post.CANDIDATE

    def _locked(self) -> bool:
        """Whether the lock is ours now."""
        try:
            if self._fd is None:
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._fd = os.open(self._file, flags, 0o600)
            fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            if self._fd is not None:
                return False
            self._complain(error)
        except OSError as error:
            self._complain(error)
        else:
            return True
        return False

    def _complain(self, error: OSError) -> None:
        if self._unfit != str(error):
            self._unfit = str(error)
            logger.error("%s cannot be locked, so this worker does no exclusive work: %s", self._file, error)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = self._loop.create_task(work, context=contextvars.Context())
        self._work.add_done_callback(self._done)

    def _done(self, work: "asyncio.Task[None]") -> None:
        if self._work is work:
            self._work = None
        if not work.cancelled() and (error := work.exception()) is not None:
            self._crashed(error)
