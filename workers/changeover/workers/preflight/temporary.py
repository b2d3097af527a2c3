"""The folder that a rehearsal has for temporary files: its keeper's, which holds a lock on it as long as it lives.

A keeper that is killed leaves its folder behind. The next one that ends, of whatever service of the same user, finds it
without a lock, and removes it.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from types import FrameType
from typing import Self

from changeover.workers.preflight.account import NOBODY, Account

PREFIX = "changeover-preflight-"
"""How the names of all of them begin."""
CLEANING = 2.0
"""Seconds in which what a rehearsal left in its folder is removed."""
SWEEPING = 0.5
"""Seconds in which folders of dead keepers are removed; what takes longer is left to the next one."""
ATTEMPTS = 10
"""How often a folder is made anew that somebody swept before it was locked."""


class Temporary:
    """A folder of the rehearsal's own, while it is entered; in the end those of dead keepers go with it.

    Args:
        owner: Whom the rehearsal runs as, None for ourselves.

    Attributes:
        folder: Its name; empty where none can be had.
        left: What could not be removed in the end, as a warning.
    """

    def __init__(self, owner: Account | None) -> None:
        self.folder = ""
        self.left: tuple[str, ...] = ()
        self._owner = owner
        self._lock = -1

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError):
            self._make()
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder and not _removed(self.folder):
            self.left = (f"left: its temporary folder {self.folder}, which cannot be removed",)
        if self._lock >= 0:
            os.close(self._lock)
        sweep()

    def _make(self) -> None:
        for _ in range(ATTEMPTS):
            folder = tempfile.mkdtemp(prefix=PREFIX)
            try:
                self._lock = _locked(folder)
            except (BlockingIOError, FileNotFoundError):
                continue  # somebody swept it, who came in between
            except OSError:
                self._lock = -1  # nothing can be locked there, and so nobody sweeps
            self.folder = folder
            if self._owner is not None:
                _give(folder, self._owner)
            return


def sweep() -> None:
    """Remove the folders of keepers that are dead, as far as there is time: there is a next time."""
    with contextlib.suppress(_TooLong, OSError), _alarm(SWEEPING):
        with os.scandir(tempfile.gettempdir()) as found:
            ours = [entry.path for entry in found if entry.name.startswith(PREFIX) and _is_ours(entry)]
        for folder in ours:
            _swept(folder)


def _is_ours(entry: "os.DirEntry[str]") -> bool:
    """Whether it may be of a keeper of ours: what is root's has been given to nobody, who the rehearsal was."""
    with contextlib.suppress(OSError):
        ours = (0, NOBODY) if os.geteuid() == 0 else (os.geteuid(),)
        return entry.stat(follow_symlinks=False).st_uid in ours
    return False


def _swept(folder: str) -> None:
    """Remove a folder of which nobody holds the lock, holding it."""
    with contextlib.suppress(OSError, RecursionError):  # one that is too deep keeps no other from being swept
        lock = _locked(folder)
        try:
            if os.geteuid() == 0:
                shutil.rmtree(folder, ignore_errors=True)  # another user may live who writes there: no rights are given
            else:
                _emptied(folder)
        finally:
            os.close(lock)


def _locked(folder: str) -> int:
    """The descriptor that holds the lock of a folder.

    Raises:
        BlockingIOError: Another one holds it.
        FileNotFoundError: The folder has gone.
        OSError: It cannot be locked.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), os.stat(folder, follow_symlinks=False)):
            raise FileNotFoundError(folder)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _removed(folder: str) -> bool:
    """Remove a folder that anybody may have filled; whether it is gone."""
    with contextlib.suppress(_TooLong, RecursionError), _alarm(CLEANING):
        _emptied(folder)
    return not os.path.lexists(folder)


def _emptied(folder: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if os.path.lexists(folder):
        _unlock(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unlock(folder: str) -> None:
    """Give whoever owns them the right to empty a folder and those in it; links lead elsewhere, and are left."""
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
    for within, names, _ in os.walk(folder):
        for path in (os.path.join(within, name) for name in names):
            if not os.path.islink(path):
                with contextlib.suppress(OSError):
                    os.chmod(path, 0o700)


def _give(folder: str, owner: Account) -> None:
    try:
        os.chown(folder, owner.user, owner.group)
    except OSError:  # root may lack that in a container; the folder is gone again in a moment
        os.chmod(folder, 0o777)


class _TooLong(Exception):
    """What is done takes too long."""


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise _TooLong

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
