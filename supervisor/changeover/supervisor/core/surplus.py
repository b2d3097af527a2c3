"""Who leaves when fewer workers are wanted, and when: not before somebody who stays can take over."""

from collections.abc import Iterable

from changeover.supervisor.core.child import State
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.roster import Roster, Slot


def departing(roster: Roster, rolled: int, slots: int) -> tuple[Slot, ...]:
    """The slots of a roll to give up for only `slots`: parked ones, then others without a worker, then the oldest."""
    wanted = sorted(roster.wanted(rolled), key=_worth)
    return tuple(wanted[: max(0, len(wanted) - slots)])


def _worth(slot: Slot) -> int:
    if slot.member is not None:
        return slot.member.incarnation
    return -2 if slot.state is State.PARKED else -1


def leaving_now(roster: Roster, rolled: int, slots: int, ledger: Ledger) -> tuple[Slot, ...]:
    """Those of `departing` that lose no connection by leaving now; the others are asked for again later."""
    leaving = departing(roster, rolled, slots)
    staying = [slot for slot in roster.wanted(rolled) if slot not in leaving]
    settled = not any(_is_about_to_serve(slot, ledger) for slot in (*staying, *leaving))
    if not staying or (settled and (_some_serve(staying) or not _some_serve(leaving))):
        return leaving
    return tuple(slot for slot in leaving if slot.member is None)


def _some_serve(slots: Iterable[Slot]) -> bool:
    return any(slot.state is State.SERVING for slot in slots)


def _is_about_to_serve(slot: Slot, ledger: Ledger) -> bool:
    """Whether a worker may have connections, and cannot hand them over yet, or take others'.

    An adopted one may; so may one that has prepared: it serves from the store on, and says so later.
    """
    if slot.member is None or slot.state not in (State.BOOTING, State.JOINING):
        return False
    return not ledger.is_ours(slot.member.incarnation) or slot.member.prepared is not None
