"""What the kernel counts of connections that were refused, dropped or reset, and of processes."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

COUNTERS = (
    "TcpExt ListenOverflows",
    "TcpExt ListenDrops",
    "TcpExt TCPAbortOnData",
    "TcpExt TCPAbortOnClose",
    "TcpExt TCPAbortOnMemory",
    "TcpExt TCPAbortOnTimeout",
    "TcpExt TCPAbortOnLinger",
    "TcpExt TCPAbortFailed",
    "TcpExt TCPReqQFullDrop",
    "TcpExt TCPBacklogDrop",
    "Tcp OutRsts",
    "Tcp EstabResets",
    "Tcp AttemptFails",
)
"""Every one stays as it is while no connection is refused, dropped or reset. They count the whole network namespace."""

FILES = (Path("/proc/net/netstat"), Path("/proc/net/snmp"))


def counters() -> dict[str, int]:
    """The counters now; those that this kernel does not have are left out."""
    found: dict[str, int] = {}
    for file in FILES:
        lines = file.read_text().splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            group, _, rest = names.partition(": ")
            keys = (f"{group} {name}" for name in rest.split())
            found.update(zip(keys, map(int, values.split()[1:]), strict=True))
    return {name: found[name] for name in COUNTERS if name in found}


def grown(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """By how much each counter that changed has grown."""
    return {name: after[name] - count for name, count in before.items() if after[name] != count}


class Processor(msgspec.Struct, frozen=True):
    """Processor time of some processes, nanoseconds.

    Attributes:
        used: User and system time.
        waited: Time for which they were runnable and another process ran.
    """

    used: int
    waited: int

    def since(self, before: "Processor") -> "Processor":
        """What came on top."""
        return Processor(self.used - before.used, self.waited - before.waited)


def processor(pids: Iterable[int]) -> Processor:
    """What all threads of `pids` together have used and waited; a process that is gone counts nothing."""
    used = waited = 0
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            try:
                on_processor, runnable, _ = thread.read_text().split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            used += int(on_processor)
            waited += int(runnable)
    return Processor(used, waited)


class Memory(msgspec.Struct, frozen=True):
    """Resident memory of one process, bytes.

    Attributes:
        rss: All of it.
        pss: With each shared page divided by those who share it.
        uss: What would be free if the process ended.
    """

    rss: int
    pss: int
    uss: int


def memory(pid: int) -> Memory:
    """Resident memory now, from smaps_rollup."""
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) * 1024
    return Memory(fields["Rss"], fields["Pss"], fields["Private_Clean"] + fields["Private_Dirty"])
