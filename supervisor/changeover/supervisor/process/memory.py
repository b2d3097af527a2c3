"""How much memory a process has, and how much can still be had: by the machine, and by every control group above us."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

PROC = Path("/proc")
GROUPS = Path("/sys/fs/cgroup")

_KIB = 1024


def proportional(pid: int, proc: Path = PROC) -> int:
    """Bytes of a process, each shared page divided among those that share it; 0 where we may not know."""
    return _field(proc / str(pid) / "smaps_rollup", "Pss") * _KIB


def available(proc: Path = PROC, groups: Path = GROUPS) -> int:
    """Bytes that can be had before something must be given up for them; -1 where nobody says."""
    machine = _field(proc / "meminfo", "MemAvailable") * _KIB
    found = [*([machine] if machine else []), *_left_in_groups(proc, groups)]
    return max(0, min(found)) if found else -1


def _left_in_groups(proc: Path, groups: Path) -> Iterator[int]:
    """What each control group above us leaves; files that nobody uses count as free, as they are for the machine."""
    lines = _text(proc / "self" / "cgroup").splitlines()
    named = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), None)
    if named is None:
        return
    own = PurePosixPath(named)
    for folder in (groups / each for each in (own, *own.parents)):
        limit, used = _text(folder / "memory.max").strip(), _text(folder / "memory.current").strip()
        if limit.isdecimal() and used.isdecimal():
            yield int(limit) - int(used) + _field(folder / "memory.stat", "inactive_file")


def _field(file: Path, name: str) -> int:
    """A number in a file of names and numbers; 0 when it is not there."""
    for line in _text(file).splitlines():
        words = line.split()
        if words[:1] in ([name], [f"{name}:"]) and words[1:2] and words[1].isdecimal():
            return int(words[1])
    return 0


def _text(file: Path) -> str:
    """All of a file; empty when we may not read it, or it is of a process that is gone."""
    try:
        return file.read_text("ascii", "replace")
    except OSError:
        return ""
