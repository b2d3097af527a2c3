"""Says what memory a roll needs, before it is done."""

from collections.abc import Callable
from itertools import islice

import msgspec

from changeover.supervisor.core.outcome import Candidate, ExtraMemory, ScanResult
from changeover.supervisor.core.view import Overview, Role
from changeover.supervisor.process import memory

MOST_WALKED = 4
"""Workers whose shared pages are counted: the kernel walks their page tables, and holds up their memory meanwhile."""


class Serving(msgspec.Struct, frozen=True):
    """The workers that a roll would replace.

    Attributes:
        workers: How many would be made in their place.
        resident: Pid -> resident memory as its last heartbeat told it, bytes.
    """

    workers: int
    resident: dict[int, int]


def serving(overview: Overview) -> Serving:
    """Those of a supervisor."""
    current = [slot for slot in overview.slots if slot.role is Role.CURRENT and slot.pid]
    return Serving(overview.wanted, {slot.pid: slot.beat.rss for slot in current if slot.beat and slot.beat.rss})


def weighed(
    result: ScanResult,
    there: Serving,
    proportional: Callable[[int], int] = memory.proportional,
    available: Callable[[], int] = memory.available,
) -> ScanResult:
    """The result of a scan, with what a roll needs. Blocks on the kernel.

    Args:
        result: What was found.
        there: Who serves.
        proportional: Bytes of a process, shared pages divided; 0 where nobody knows.
        available: Bytes that can be had, -1 where nobody knows.
    """
    if not isinstance(result, Candidate) or not result.snapshot.is_roll or not there.resident:
        return result
    exact = [size for pid in islice(there.resident, MOST_WALKED) if (size := proportional(pid))]
    sizes = exact or list(there.resident.values())
    needs = ExtraMemory(there.workers, sum(sizes) // len(sizes), available(), bool(exact))
    return msgspec.structs.replace(result, memory=needs)
