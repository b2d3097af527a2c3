"""What a living process takes up, as the kernel tells: memory, threads, descriptors."""

import os
import re
from collections import Counter
from pathlib import Path

import msgspec

PROC = Path("/proc")
_NUMBER = re.compile(r":\[\d+\]$")
_SIZE = re.compile(r"^(\w+): +(\d+) kB$", re.MULTILINE)
_KIB = 1024


class Footprint(msgspec.Struct, frozen=True):
    """What one process has.

    Attributes:
        rss: Resident memory in bytes, what it shares included.
        pss: The same with each shared page divided among those who share it.
        threads: How many threads.
        descriptors: What its descriptors are (`socket`, `pipe`, a path) -> how many.
    """

    rss: int
    pss: int
    threads: int
    descriptors: dict[str, int]


def footprint_of(pid: int) -> Footprint:
    """Look at a process that belongs to us.

    Raises:
        FileNotFoundError: It is gone.
        ProcessLookupError: It is going.
        PermissionError: It is not ours.
    """
    own = PROC / str(pid)
    memory = dict(_SIZE.findall((own / "smaps_rollup").read_text()))
    rss, pss = (int(memory[field]) * _KIB for field in ("Rss", "Pss"))
    return Footprint(rss, pss, len(os.listdir(own / "task")), dict(_descriptors(own / "fd")))


def parent_of(pid: int) -> int:
    """The process that started `pid`.

    Raises:
        FileNotFoundError: It is gone.
    """
    return int((PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])


def _descriptors(folder: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for name in os.listdir(folder):
        try:
            found[_NUMBER.sub("", os.readlink(folder / name))] += 1
        except FileNotFoundError:
            continue
    return found
