"""Processes of a keeper that see and reach nobody else, and all end with the first of them: namespaces."""

import os
from pathlib import Path

import msgspec

from changeover.workers.runtime import kernel

PROC = Path("/proc")


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
    """Put this process, which has one thread, into a user namespace, and what it forks into a process namespace.

    Everybody is called in it as outside. Root may have the second without the first.
    """
    mapper = _Mapper() if os.geteuid() == 0 else None
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWPID)
    except OSError as error:
        if mapper is not None:
            mapper.give_up()
        return _together_at_least(f"a user namespace ({error.strerror})")
    is_mapped = mapper.map_all() if mapper is not None else _map_one(user, group)
    return Separation(True, True, () if is_mapped else ("its users' names in a user namespace",))


def _together_at_least(missing: str) -> Separation:
    try:
        kernel.unshare(kernel.CLONE_NEWPID)
    except OSError as error:
        return Separation(missing=(missing, f"a process namespace ({error.strerror})"))
    return Separation(together=True, missing=(missing,))


def _map_one(user: int, group: int) -> bool:
    """Be called as outside: what everybody may do in a user namespace of their own."""
    try:
        (PROC / "self" / "setgroups").write_text("deny")
        (PROC / "self" / "uid_map").write_text(f"{user} {user} 1")
        (PROC / "self" / "gid_map").write_text(f"{group} {group} 1")
    except OSError:
        return False
    return True


class _Mapper:
    """A process that stays outside: only from there root may say who is who inside."""

    def __init__(self) -> None:
        maps = {name: _same_names((PROC / "self" / name).read_text()) for name in ("uid_map", "gid_map")}
        reading, self._go = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._go)
            _map_parent(reading, maps)
        os.close(reading)

    def map_all(self) -> bool:
        """Have it done; whether it could be."""
        os.write(self._go, b"!")
        return self._ended() == 0

    def give_up(self) -> None:
        """There is nothing to map."""
        self._ended()

    def _ended(self) -> int:
        os.close(self._go)
        _, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status)


def _same_names(outside: str) -> str:
    """A map in which everybody who has a name outside has the same inside."""
    ranges = (line.split() for line in outside.splitlines())
    return "\n".join(f"{first} {first} {count}" for first, _, count in ranges)


def _map_parent(go: int, maps: dict[str, str]) -> None:
    status = 1
    try:
        if os.read(go, 1):
            for name, content in maps.items():
                (PROC / str(os.getppid()) / name).write_text(content)
            status = 0
    finally:
        os._exit(status)
