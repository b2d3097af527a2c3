"""The folder that a rehearsal has for temporary files: its keeper's, which holds a lock on it as long as it lives.

A keeper that is killed leaves its folder behind. The next one that ends, of whatever service of the same user, finds it
without a lock, and removes it.
"""

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from typing import Self

from changeover.workers.preflight.account import NOBODY, Account
from changeover.workers.preflight.emptying import TooLong, empty, opened

PREFIX = "changeover-rehearsal-"
"""How the names of all of them begin; those of programs that held no lock yet began otherwise."""
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
        left: What could not be removed in the end, as warnings.
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
        swept = sweep()
        own = _removed(self.folder) if self.folder else ""
        self.left = tuple(line for line in (own, swept) if line)
        if self._lock >= 0:
            os.close(self._lock)

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


def sweep() -> str:
    """Remove the folders of keepers that are dead, as far as there is time: there is a next time.

    Returns:
        What cannot be removed, as a warning; empty where all of it can.
    """
    until = time.monotonic() + SWEEPING
    stuck: list[str] = []
    with contextlib.suppress(TooLong, OSError):
        for folder in list(_left_by_ours(until)):
            try:
                _sweep(folder, until)
            except OSError as error:
                if os.path.lexists(folder):
                    stuck.append(_named(folder, f"cannot be removed: {error.strerror}"))
    more = f"; nor can {len(stuck) - 1} more" if len(stuck) > 1 else ""
    return f"left: a temporary folder of a preflight that was killed, {stuck[0]}{more}" if stuck else ""


def _left_by_ours(until: float) -> Iterator[str]:
    with os.scandir(tempfile.gettempdir()) as found:
        for entry in found:
            if time.monotonic() >= until:
                raise TooLong
            if entry.name.startswith(PREFIX) and _is_ours(entry):
                yield entry.path


def _is_ours(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder and may be of a keeper of ours: root's has been given to nobody, who the rehearsal was."""
    with contextlib.suppress(OSError):
        ours = (0, NOBODY) if os.geteuid() == 0 else (os.geteuid(),)
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid in ours
    return False


def _sweep(folder: str, until: float) -> None:
    """Remove a folder of which nobody holds the lock, holding it.

    Raises:
        TooLong: There is no time left.
        OSError: It cannot be removed.
    """
    try:
        lock = _locked(folder)
    except OSError:
        return  # somebody lives who holds it, or nobody can tell
    try:
        empty(lock, until)
        os.rmdir(folder)
    finally:
        os.close(lock)


def _locked(folder: str) -> int:
    """The descriptor that holds the lock of a folder.

    Raises:
        BlockingIOError: Another one holds it.
        FileNotFoundError: The folder has gone.
        OSError: It cannot be locked.
    """
    lock = opened(folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(lock), os.stat(folder, follow_symlinks=False)):
            raise FileNotFoundError(folder)
    except BaseException:
        os.close(lock)
        raise
    return lock


def _removed(folder: str) -> str:
    """Remove the folder of a rehearsal that has ended; what is left, as a warning, and empty where it is gone."""
    try:
        own = opened(folder)
        try:
            empty(own, time.monotonic() + CLEANING)
        finally:
            os.close(own)
        os.rmdir(folder)
    except TooLong:
        why = f"was not removed within {CLEANING:g} s"
    except OSError as error:
        why = f"cannot be removed: {error.strerror}"
    else:
        return ""
    return f"left: its temporary folder {_named(folder, why)}" if os.path.lexists(folder) else ""


def _named(folder: str, why: str) -> str:
    return f"{folder.encode('utf-8', 'backslashreplace').decode()}, which {why}"


def _give(folder: str, owner: Account) -> None:
    try:
        os.chown(folder, owner.user, owner.group)
    except OSError:  # root may lack that in a container; the folder is gone again in a moment
        os.chmod(folder, 0o777)
