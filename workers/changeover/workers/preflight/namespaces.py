"""Processes of a keeper that see and reach nobody else, and all end with the first of them: namespaces."""

import os
from pathlib import Path

import msgspec

from changeover.workers.runtime import kernel

_PROC = Path("/proc/self")


class Separation(msgspec.Struct, frozen=True):
    """How far the processes that are forked from now on are apart from others.

    Attributes:
        together: Whether all of them end with the first.
        counted: Whether the kernel counts processes anew for them, however many the same user has elsewhere.
        missing: What could not be had, in words.
    """

    together: bool = False
    counted: bool = False
    missing: tuple[str, ...] = ()


def separate() -> Separation:
    """Put children of this process, which has one thread, into namespaces of their own.

    Root needs no user namespace for that, and its rehearsals have another user: nothing is counted anew.
    """
    if os.geteuid() == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWPID)
        except OSError as error:
            return Separation(missing=(f"a process namespace ({error.strerror})",))
        return Separation(together=True)
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
    except OSError as error:
        return Separation(missing=(f"user and process namespaces ({error.strerror})",))
    return Separation(together=True, counted=True, missing=tuple(_map_ourselves(user, group)))


def _map_ourselves(user: int, group: int) -> list[str]:
    """Be called in it as outside; what cannot be had is said, and there is no way back."""
    try:
        (_PROC / "setgroups").write_text("deny")
        (_PROC / "uid_map").write_text(f"{user} {user} 1")
        (_PROC / "gid_map").write_text(f"{group} {group} 1")
    except OSError as error:
        return [f"its own name in a user namespace ({error.strerror})"]
    return []
