"""What is left out of a rehearsal, and what follows from that for the candidate. Pure.

Of what serves, whatever does not load where it is confined: that is nobody's fault but its own, and an application's
place can be kept all the same. Of both, plugins that the configuration has workers be the first to run.
"""

from collections.abc import Collection, Iterator

from changeover.workers.preflight.reduced import required, vacated, without
from changeover.workers.preflight.scarce import explained
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import RehearsalOrder
from changeover.workers.protocol.snapshot import Snapshot, UnitKey, UnitKind, UnitRef


class LeavingOut:
    """Keeps count of it.

    Args:
        order: What is to be rehearsed, and what of what serves kept an earlier rehearsal from it.
    """

    def __init__(self, order: RehearsalOrder) -> None:
        self._order = order
        applications = {ref for ref in order.left_out if ref.kind is UnitKind.APPLICATION}
        self._vacant = order.vacant or bool(applications)
        self._absent: set[UnitKey] = {key for key in order.serving() if key.ref in {*order.left_out} - applications}
        self._reasons: dict[UnitRef, Refusal] = {}

    def current(self) -> Snapshot | None:
        """What can be loaded of what serves, as far as is known; None for nothing."""
        if self._order.current is None or not self._order.current.units:
            return None
        return self._kept(self._order.current, {key.ref for key in self._absent})

    def leave_out(self, refused: Refusal) -> bool:
        """Leave out what refused to be loaded of what serves; False when nobody knows what that is."""
        key = next((key for key in self._order.serving() if str(key.ref) == refused.unit), None)
        if key is None or key in self._absent:
            return False
        if key.ref.kind is UnitKind.APPLICATION and not self._vacant:
            self._vacant = True
        else:
            self._absent.add(key)
            self._reasons[key.ref] = explained(refused, self._order.settings)
        return True

    def candidate(self) -> Snapshot:
        """What can be rehearsed of the candidate."""
        return self._kept(self._order.candidate, self._unchanged())

    def barred(self) -> Refusal | None:
        """Why something of the candidate cannot be rehearsed that is to be; None where nothing is in the way."""
        if self._order.goes_back:
            return None
        return next((self._refusal(ref) for ref in self._barred()), None)

    def passed_over(self) -> Iterator[str]:
        """What of the candidate is not rehearsed and comes to the workers all the same, a line each."""
        candidate, exempt = self._order.candidate, self._order.exempt
        for ref in self._lost(candidate, exempt):
            root = required(candidate, ref, exempt)
            why = f"{root} (preflight = false)"
            yield f"not rehearsed: {why}" if root == ref else f"not rehearsed: {ref}, which requires {why}"
        if self._order.goes_back:
            yield from (f"not rehearsed: {ref}, which requires what was left out" for ref in self._barred())

    def _barred(self) -> Iterator[UnitRef]:
        """What the candidate brings that requires what does not load here."""
        return self._lost(without(self._order.candidate, self._order.exempt), self._unchanged())

    def _lost(self, snapshot: Snapshot, refs: Collection[UnitRef]) -> Iterator[UnitRef]:
        """What the candidate brings that goes with units that are left out. A pipeline has no code that could fail."""
        fresh = self._order.fresh()
        gone = (key for key in snapshot.without(without(snapshot, refs)) if key in fresh)
        return (key.ref for key in gone if key.ref.kind is not UnitKind.PIPELINE)

    def _unchanged(self) -> frozenset[UnitRef]:
        """What is left out of what serves and serves on."""
        return frozenset(key.ref for key in self._absent & self._order.candidate.keys())

    def _kept(self, snapshot: Snapshot, absent: Collection[UnitRef]) -> Snapshot:
        kept = without(snapshot, {*absent, *self._order.exempt})
        return vacated(kept) if self._vacant else kept

    def _refusal(self, ref: UnitRef) -> Refusal:
        root = required(self._order.candidate, ref, self._unchanged())
        told = self._reasons.get(root)
        why = "is left out of this preflight" if told is None else f"does not load in a preflight ({_said(told)})"
        plugin = root.name.partition(":")[0]
        way_out = f"mend {root}, or say `preflight = false` in [plugins.{plugin}] to have workers run both first"
        summary = f"it requires {root}, which serves and {why}, so it cannot be rehearsed: {way_out}"
        fault = dict(self._order.passing).get(root, Fault.CONFIG) if told is None else told.fault
        fault = fault if fault.transient else Fault.CONFIG
        return Refusal(Stage.PREFLIGHT, fault, summary, str(ref), requires=str(root))


def _said(refusal: Refusal) -> str:
    return f"{refusal.hook}: {refusal.summary}" if refusal.hook else refusal.summary
