"""Empties folders that anybody may have filled: without rights, deeper than any path is long, with links to elsewhere.

Nothing within is reached but through the descriptor of the folder it lies in, and no link is followed, so nothing
outside is touched, even where somebody still lives who moves things in there. What lies in a folder within is removed
or moved up, so depth takes neither stack nor descriptors, and whoever stops early is nearer to the end.
"""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator

FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class TooLong(Exception):
    """The time is over; what has been removed is gone."""


def opened(name: str, within: int | None = None) -> int:
    """Open a folder; if it is closed to us, its owner, it is open from now on.

    Args:
        name: Its name.
        within: The folder that it lies in; None for a path.

    Returns:
        Its descriptor.

    Raises:
        OSError: It is no folder, or not ours to open.
    """
    known = os.open(name, FOLDER | os.O_PATH, dir_fd=within)
    try:
        itself = f"/proc/self/fd/{known}"  # `fchmod` takes no descriptor that could be had without rights
        if not os.access(itself, os.R_OK | os.W_OK | os.X_OK):
            os.chmod(itself, 0o700)
        return os.open(".", FOLDER | os.O_RDONLY, dir_fd=known)
    finally:
        os.close(known)


def empty(folder: int, until: float) -> None:
    """Remove all that is in a folder.

    Args:
        folder: Its descriptor, of `opened`.
        until: When to stop, in monotonic time.

    Raises:
        TooLong: The time is over.
        OSError: Why something stays; everything else is gone.
    """
    _Emptying(folder, until).run()


class _Emptying:
    def __init__(self, top: int, until: float) -> None:
        self._top = top
        self._until = until
        self._done = 0
        self._refused: OSError | None = None

    def run(self) -> None:
        before = -1
        while before < self._done:  # what is moved up while we look is perhaps not seen
            before, self._refused = self._done, None
            for entry in self._in(self._top):
                with self._noted():
                    self._remove(entry)
        if self._refused is not None:
            raise self._refused

    def _remove(self, entry: "os.DirEntry[str]") -> None:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=self._top)
            return
        folder = opened(entry.name, self._top)
        try:
            for each in self._in(folder):
                with self._noted():
                    self._take(each, folder)
        finally:
            os.close(folder)
        os.rmdir(entry.name, dir_fd=self._top)

    def _take(self, entry: "os.DirEntry[str]", folder: int) -> None:
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.name, dir_fd=folder)
            return
        os.close(opened(entry.name, folder))  # only who may write into a folder can move it to another one
        os.rename(entry.name, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=self._top)

    def _in(self, folder: int) -> Iterator["os.DirEntry[str]"]:
        with os.scandir(folder) as entries:
            for entry in entries:
                if time.monotonic() >= self._until:
                    raise TooLong
                yield entry

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._refused = self._refused or error
        else:
            self._done += 1
