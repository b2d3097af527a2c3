"""The residency bound: when units have too many copies here, the oldest leases end, and each is named."""

import asyncio
from collections.abc import Iterable, Iterator

from changeover.workers.participant.events import LeasesEnded
from changeover.workers.runtime.vitals import lease_views
from changeover.workers.serving.lease import Lease

AT_ONCE = 100
"""Most leases that one report names, so that it stays far below what a frame may have."""


def end_leases(leases: Iterable[Lease], bound: int, epoch: int) -> Iterator[LeasesEnded]:
    """Ask every lease to end, now, and yield what is to be reported.

    Args:
        leases: What has to go for the bound to hold again.
        bound: Most resident copies of a unit.
        epoch: What serves.
    """
    asked: list[Lease] = []
    stuck: list[Lease] = []
    for lease in leases:
        if not _over(lease):
            (asked if lease.end(f"too many resident copies: epoch {epoch} serves") else stuck).append(lease)
    return _reports(asked, stuck, bound)


def _reports(asked: list[Lease], stuck: list[Lease], bound: int) -> Iterator[LeasesEnded]:
    for start in range(0, len(asked), AT_ONCE):
        yield LeasesEnded(bound, lease_views(asked[start : start + AT_ONCE]), ())
    for start in range(0, len(stuck), AT_ONCE):
        yield LeasesEnded(bound, (), lease_views(stuck[start : start + AT_ONCE]))


def _over(lease: Lease) -> bool:
    """Whether its holder ended by itself, and lets go in this turn of the loop."""
    return isinstance(lease.holder, asyncio.Task) and lease.holder.done()
