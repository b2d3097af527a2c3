"""Zygotes that are there, held against those that the supervisor says it has."""

import re
import time
from collections import Counter
from collections.abc import Iterable

from benchmarks.subject import title
from changeover.supervisor.control import StatusView, ZygoteState

_TITLE = re.compile(r"^changeover: \S+ zygote (\d+) \[")


def cohort(pid: int) -> int:
    """The cohort whose zygote `pid` says it is; 0 when it is none."""
    found = _TITLE.match(title(pid))
    return int(found[1]) if found else 0


def named(status: StatusView) -> frozenset[int]:
    """The cohorts whose zygotes are to be there at rest: one that forks, and one that is kept, in its time.

    An operator reads the same in the status. Of several that fork, or are kept, only the latest is to be there.
    """
    forking = [zygote.cohort for zygote in status.zygotes if zygote.state is ZygoteState.READY]
    kept = [each.cohort for each in status.zygotes if each.state is ZygoteState.KEPT and each.until > time.time()]
    return frozenset((*forking[-1:], *kept[-1:]))


def unnamed(status: StatusView, pids: Iterable[int]) -> list[int]:
    """Zygotes among `pids` that the supervisor does not name; of two that say they are the same the later."""
    found, seen = [], Counter[int]()
    for pid in sorted(pids):
        if number := cohort(pid):
            seen[number] += 1
            if number not in named(status) or seen[number] > 1:
                found.append(pid)
    return found
