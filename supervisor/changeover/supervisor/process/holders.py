"""Which living processes hold an address or a lock, so that a refusal can name them."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from changeover.supervisor.process.lock_note import LOCK_FILE, read_owner

PROC = Path("/proc")
_LISTENING = "0A"
_SUPERVISOR = re.compile(r"changeover: (?P<name>\S+) supervisor ")


class Holder(msgspec.Struct, frozen=True, order=True):
    """A process that holds something.

    Attributes:
        pid: The process.
        command: Its title or command line.
        started: Start time in clock ticks since boot: with the pid, what tells it from a later process of that number.
    """

    pid: int
    command: str
    started: int

    def __str__(self) -> str:
        return f"pid {self.pid} ({self.command})"

    def ended_by(self) -> str:
        """The command that ends it."""
        return self.stopped_by() or f"kill {self.pid}"

    def stopped_by(self) -> str | None:
        """The command that stops it where it is a supervisor; None for every other process."""
        if (found := _SUPERVISOR.match(self.command)) is None:
            return None
        locked = (Path(link).parent for link in _links(self.pid) if Path(link).name == LOCK_FILE)
        notes = (note for note in map(read_owner, locked) if note is not None and note.pid == self.pid)
        note = next(notes, None)
        return f"changeover stop --name {found['name']}" if note is None else note.ended_by()


def holder_of_pid(pid: int) -> Holder | None:
    """Describe a process; None when it is gone."""
    try:
        command = (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        name = (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return None
    fields = _stat(pid)
    return Holder(pid, command or name, int(fields[19])) if fields else None


def _stat(pid: int) -> list[str]:
    """Fields of /proc/<pid>/stat behind the name: state, parent...; empty when the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def age_of(pid: int) -> float:
    """Seconds since a process began; 0 when it is gone."""
    if not (fields := _stat(pid)):
        return 0.0
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def children_of(parents: frozenset[int]) -> tuple[Holder, ...]:
    """Living processes that any of these processes started."""
    found = (_parent_and_child(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return tuple(sorted(child for parent, child in filter(None, found) if parent in parents))


def _parent_and_child(pid: int) -> tuple[int, Holder] | None:
    child = holder_of_pid(pid)
    fields = _stat(pid)
    return (int(fields[1]), child) if child is not None and fields else None


def holders_of_port(port: int) -> tuple[Holder, ...]:
    """Processes that listen on a TCP port, as far as this user may see them."""
    return _holders_of_inodes(_tcp_inodes(port))


def holders_of_path(path: Path) -> tuple[Holder, ...]:
    """Processes that have a unix socket at `path`, as far as this user may see them."""
    return _holders_of_inodes(_unix_inodes(os.path.abspath(path)))


def holders_of_socket(fd: int, but: frozenset[int]) -> tuple[Holder, ...]:
    """Processes that hold the same socket as a descriptor of ours, as far as this user may see them.

    Args:
        fd: The socket.
        but: Processes that may.
    """
    found = _holders_of_inodes(frozenset({os.fstat(fd).st_ino}))
    return tuple(holder for holder in found if holder.pid not in but)


def holders_of_file(path: Path) -> tuple[Holder, ...]:
    """Processes that have the file at `path` open, as far as this user may see them."""
    return _holders_of_links(frozenset({os.path.realpath(path)}))


def has_socket(path: Path) -> bool:
    """Whether any process, seen or not, has a unix socket at `path`."""
    return bool(_unix_inodes(os.path.abspath(path)))


def count_tcp(ports: frozenset[int], state: str) -> int:
    """Count TCP sockets on local ports in a state, as /proc/net/tcp numbers it (`0A` listens, `03` shakes hands)."""
    return sum(
        fields[3] == state and int(fields[1].rpartition(":")[2], 16) in ports
        for table in ("tcp", "tcp6")
        for fields in _rows(PROC / "net" / table)
    )


def worded(holders: tuple[Holder, ...]) -> str:
    """Name the holders and say what ends them."""
    if not holders:
        return "held by a process that this user may not see"
    supervisors = dict.fromkeys(filter(None, (holder.stopped_by() for holder in holders)))
    ends = ", ".join(f"`{command}`" for command in supervisors) or f"`kill {' '.join(str(h.pid) for h in holders)}`"
    it = "it" if len(holders) == 1 or supervisors else "them"
    return f"held by {', '.join(str(holder) for holder in holders)}; {ends} ends {it}"


def _tcp_inodes(port: int) -> frozenset[int]:
    return frozenset(
        int(fields[9])
        for table in ("tcp", "tcp6")
        for fields in _rows(PROC / "net" / table)
        if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port
    )


def _unix_inodes(path: str) -> frozenset[int]:
    return frozenset(int(fields[6]) for fields in _rows(PROC / "net" / "unix") if len(fields) > 7 and fields[7] == path)


def _rows(table: Path) -> Iterator[list[str]]:
    try:
        with table.open(errors="replace") as lines:
            next(lines, None)
            yield from (line.split() for line in lines)
    except OSError:
        return


def _holders_of_inodes(inodes: frozenset[int]) -> tuple[Holder, ...]:
    return _holders_of_links(frozenset(f"socket:[{inode}]" for inode in inodes)) if inodes else ()


def _holders_of_links(sought: frozenset[str]) -> tuple[Holder, ...]:
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    found = (holder_of_pid(pid) for pid in pids if not sought.isdisjoint(_links(pid)))
    return tuple(sorted(holder for holder in found if holder is not None))


def _links(pid: int) -> Iterator[str]:
    directory = PROC / str(pid) / "fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            yield os.readlink(directory / name)
        except OSError:
            continue
