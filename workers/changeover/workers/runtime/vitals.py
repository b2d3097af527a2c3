"""What a worker says of itself with every heartbeat."""

import asyncio
import os
import sys
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice
from operator import itemgetter
from pathlib import Path
from types import FrameType

from changeover.workers.generation.remnants import Leak
from changeover.workers.protocol.messages import LeaseView, OwedResponse
from changeover.workers.protocol.plugin_messages import LeakView
from changeover.workers.serving.assignment import owing, work_for
from changeover.workers.serving.late import frames_of
from changeover.workers.serving.lease import Holder, Lease

_STATM = Path("/proc/self/statm")

YOUNG = 1.0
"""Seconds up to which nobody asks what a request waits for."""
DEEPEST = 40
"""Most lines of what it waits for: a heartbeat is small."""


class ResidentMemory:
    """Resident memory of the process that makes this, also when it has no descriptor left to open anything.

    What it reads from stays open for as long as the process lives.
    """

    def __init__(self) -> None:
        self._statm: int | None
        try:
            self._statm = os.open(_STATM, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._statm = None

    def read(self) -> int:
        """How many bytes; 0 where /proc is not mounted."""
        if self._statm is None:
            return 0
        return int(os.pread(self._statm, 256, 0).split()[1]) * os.sysconf("SC_PAGE_SIZE")


def leases_by_epoch(leases: Iterable[Lease]) -> dict[int, int]:
    """Count leases by the epoch that they hold."""
    return dict(sorted(Counter(lease.epoch for lease in leases).items()))


def lease_views(leases: Iterable[Lease]) -> tuple[LeaseView, ...]:
    """Show leases to people, oldest first."""
    now = time.monotonic_ns()
    oldest_first = sorted(leases, key=lambda lease: lease.since)
    return tuple(
        LeaseView(lease.kind.value, lease.epoch, lease.path, (now - lease.since) / 1e9) for lease in oldest_first
    )


def leak_views(leaks: Iterable[Leak]) -> tuple[LeakView, ...]:
    """Show to people what is not gone."""
    return tuple(LeakView(leak.unit, leak.what, leak.chain) for leak in leaks)


def owed_response(leases: Iterable[Lease]) -> OwedResponse | None:
    """The request that is longest without a response from what works for it; None when none is."""
    requests = [(lease.owes_since, lease) for lease in leases if lease.owes]
    # Somebody may have answered for a thread that hangs.
    requests += [(each.owes_since, each.lease) for each in owing()]
    since, oldest = min(requests, key=itemgetter(0), default=(0, None))
    if oldest is None:
        return None
    seconds = (time.monotonic_ns() - since) / 1e9
    awaits = standing(_holder(oldest)) if seconds >= YOUNG else ()
    return OwedResponse(oldest.path, oldest.epoch, seconds, awaits)


def _holder(lease: Lease) -> Holder | None:
    return next((each.thread for each in work_for(lease)), None) or lease.holder


def standing(holder: Holder | None) -> tuple[str, ...]:
    """Where a task or thread stands, from its outermost call to what it waits for; at most `DEEPEST` lines, the
    innermost."""
    if isinstance(holder, threading.Thread):
        return _standing_thread(holder)
    lines: deque[str] = deque(maxlen=DEEPEST)
    for frame in frames_of(holder.get_coro() if isinstance(holder, asyncio.Task) else None):
        lines.append(_line(frame, frame.f_lineno))
    return tuple(lines)


def _standing_thread(thread: threading.Thread) -> tuple[str, ...]:
    frame = sys._current_frames().get(thread.ident or 0)
    innermost = islice(traceback.walk_stack(frame), DEEPEST) if frame is not None else ()
    return tuple(_line(each, number) for each, number in innermost)[::-1]


def _line(frame: FrameType, number: int | None) -> str:
    return f'File "{frame.f_code.co_filename}", line {number} in {frame.f_code.co_name}'


def state(epoch: int, leases: dict[int, int]) -> str:
    """Say it for the process title (`epoch 7; 3 leases on 6`)."""
    old = [f"{count} lease{'' if count == 1 else 's'} on {on}" for on, count in leases.items() if on != epoch]
    return "; ".join([f"epoch {epoch}", *old])
