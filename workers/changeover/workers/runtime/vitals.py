"""What a worker says of itself with every heartbeat."""

import os
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from changeover.workers.protocol.messages import LeaseView
from changeover.workers.serving.lease import Lease

_STATM = Path("/proc/self/statm")


def resident_memory() -> int:
    """Resident memory of this process, bytes; 0 where /proc is not mounted."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return 0


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


def state(epoch: int, leases: dict[int, int]) -> str:
    """Say it for the process title (`epoch 7; 3 leases on 6`)."""
    old = [f"{count} lease{'' if count == 1 else 's'} on {on}" for on, count in leases.items() if on != epoch]
    return "; ".join([f"epoch {epoch}", *old])
