"""Reads files that nobody is writing."""

import os
import stat
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from changeover.workers.plugins.artifact import UnreadableArtifact

TRIES = 20
"""How often files are read again while somebody is writing them."""
QUIET = 0.025
"""Seconds that files must not have changed for, and the pause between two readings."""
_LATER = 1e10
"""Seconds that no clock is ahead of another."""


def settled(
    path: Path,
    read: Callable[[], dict[str, bytes]],
    touched: Callable[[], float],
    tries: int = TRIES,
    quiet: float = QUIET,
) -> dict[str, bytes]:
    """Read until what was read is whole: not touched for a moment before, or read twice alike and untouched between.

    Args:
        path: What is read, for messages.
        read: Reads it.
        touched: Says when any of it was changed last, seconds since 1970.
        tries: How often to read again.
        quiet: Seconds.

    Raises:
        UnreadableArtifact: It cannot be read, or goes on changing.
    """
    before: tuple[float, dict[str, bytes] | None] | None = None
    failure = UnreadableArtifact(path, f"still changes after {tries} readings; reload when it is written")
    for _ in range(tries):
        last = touched()
        rested = time.time() - last > quiet  # asked before reading: what is written from now on is seen to be newer
        try:
            files = read()
        except UnreadableArtifact as error:
            failure, files = error, None
        if files is not None and (rested or (last, files) == before) and touched() == last:
            return files
        before = last, files
        time.sleep(quiet)
    raise failure


def latest_change(paths: Iterable[Path]) -> float:
    """When any of `paths` was changed last, seconds since 1970; what cannot be looked at was not.

    Whoever copies with times (`cp -p`, rsync, tar) sets that of the content back, and cannot set the other one. While a
    file is being emptied the moment lies in the future.
    """
    latest, emptied = 0.0, False
    for each in paths:
        try:
            found = each.stat()
        except OSError:
            continue
        latest = max(latest, found.st_mtime, found.st_ctime)
        emptied = emptied or _is_being_emptied(found)
    return latest + _LATER if emptied else latest


def _is_being_emptied(found: os.stat_result) -> bool:
    """Whether a file may be truncated in this moment: it is empty at once, its blocks and times follow."""
    return stat.S_ISREG(found.st_mode) and not found.st_size and found.st_blocks > 0
