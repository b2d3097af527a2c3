"""What a worker that joins has to build: what is committed, a candidate beside it, or a candidate alone."""

from changeover.supervisor.core.roster import Member, Slot
from changeover.workers.protocol.snapshot import Snapshot


def only_tries(member: Member, current: Snapshot | None) -> bool:
    """Whether a worker has a candidate and nothing that is committed: it serves nothing, and dies of the candidate."""
    return member.alone and current is not None and (member.asked or 0) > current.epoch


def owes(slot: Slot, current: Snapshot | None) -> bool:
    """Whether the worker of a slot has something to build and has not done so; `current` is committed for it."""
    member = slot.member
    if member is None:
        return False
    waits = slot.fresh or only_tries(member, current)
    if not waits and current is not None and current.rolled == member.rolled:
        return True
    return member.asked is not None and member.prepared != member.asked
