"""The latest of what was told that status shows: kept from the records, so that status reads no disk."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

from changeover.supervisor.control import EpochState, HistoryLine, RefusedRequest
from changeover.supervisor.core.entries import Aborted, Origin, Recovered, Trigger
from changeover.supervisor.core.outcome import Action
from changeover.supervisor.core.quarantine import MOST
from changeover.supervisor.core.records.boot import BootFellBack
from changeover.supervisor.core.records.cutover import CutoverAborted, CutoverBegan, CutoverCompleted, HookDegraded
from changeover.supervisor.core.records.part import PartServes, PartsReverting
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import NothingChanged, RequestRefused
from changeover.supervisor.core.records.retirement import LeasesEnded
from changeover.supervisor.core.records.upgrade import FellBack, UpgradeRefused
from changeover.supervisor.journal.views import EpochStory
from changeover.supervisor.telemetry.amounts import age
from changeover.supervisor.telemetry.shell import WatchingBegan, WatchingBlind
from changeover.supervisor.upgrade.refused import RefusedUpgrade
from changeover.workers.protocol.refusal import Refusal

MOST_ENDED = 1000
"""How many leases that were ended are remembered."""


class Chronicle:
    """Hears every record and keeps what status needs.

    Attributes:
        serving: The committed epoch's line, None before the first commit.
        refused: The last refused epoch's line, until a later one is committed.
        refused_request: What was refused before it had a number, until a request gets further. A start's is told as
            `unserved_disk`.
        degraded: Unit, as people see it -> the hook failure that degraded it.
        unserved: Why the control socket is not served, empty while it is.
        automatic: When changes are taken without being asked for.
        blind: Why the kernel tells of no changes, empty while it does.
        unserved_disk: Why what is on disk was refused at the start, empty once it serves or another epoch does.
        fell_back: Why the last upgrade of the supervisor failed, empty when it did not.
        refused_upgrade: The last upgrade that this program refused.
        aborted: Epoch -> when it was aborted, wall clock, of the latest ones.
        ended: The latest leases that the residency bound asked to end: the epoch that they held, and who, in words.
    """

    def __init__(self) -> None:
        self.serving: HistoryLine | None = None
        self.refused: HistoryLine | None = None
        self.refused_request: RefusedRequest | None = None
        self.degraded: dict[str, Refusal] = {}
        self.unserved = ""
        self.automatic: tuple[str, ...] = ()
        self.blind = ""
        self.unserved_disk = ""
        self.fell_back = ""
        self.refused_upgrade: RefusedUpgrade | None = None
        self.aborted: dict[int, float] = {}
        self.ended: deque[tuple[int, str]] = deque(maxlen=MOST_ENDED)
        self._begun: dict[int, tuple[float, Origin, tuple[str, ...]]] = {}
        self._reverting = False

    async def recall_all(self, recovered: Recovered, explain: Callable[[int], Awaitable[EpochStory | None]]) -> None:
        """Begin with what an earlier supervisor left.

        Args:
            recovered: What the journal says.
            explain: Tells all that it keeps of an epoch.
        """
        for each in recovered.quarantine:
            if (refused := await explain(each.epoch)) is not None:
                self.recall_refusal(refused)
        committed = recovered.committed
        if committed is not None and (story := await explain(committed.epoch)) is not None:
            self.recall(story)

    def recall(self, story: EpochStory) -> None:
        """Begin with the epoch that was committed last before this supervisor started."""
        self.serving = line(story, frozenset((story.epoch,)), frozenset())

    def recall_refusal(self, story: EpochStory) -> None:
        """Remember when an epoch was refused before this supervisor started."""
        if story.decided_at is not None:
            self.aborted[story.epoch] = story.decided_at

    def hear(self, record: Record) -> None:
        """Take note of a record."""
        match record:
            case CutoverBegan(epoch=epoch, origin=origin, summary=summary):
                self.refused_request = None
                self._begun[epoch] = (time.time(), origin, summary)
            case CutoverCompleted():
                self._completed(record)
            case CutoverAborted():
                self._aborted(record)
            case HookDegraded(refusal=refusal):
                self.degraded[refusal.unit] = refusal
            case WatchingBegan(policies=policies):
                self.automatic, self.blind = policies, ""
            case WatchingBlind(reason=reason):
                self.blind = reason
            case FellBack(reason=reason):
                self.fell_back = reason
            case UpgradeRefused(reason=reason, origin=origin, python=python):
                self.refused_upgrade = RefusedUpgrade(time.time(), origin, python, reason)
            case LeasesEnded():
                self.ended.extend(_ended(record))
            case _:
                self._hear_of_start(record)
                self._hear_of_request(record)
                self._hear_of_parts(record)

    def _hear_of_start(self, record: Record) -> None:
        match record:
            case BootFellBack(reason=reason, refusals=refusals) if refusals:
                self.unserved_disk = reason
            case NothingChanged(action=Action.RELOAD, notes=()):
                self.unserved_disk = ""

    def _hear_of_request(self, record: Record) -> None:
        match record:
            case RequestRefused(origin=origin, reason=reason) if origin.trigger is not Trigger.BOOT:
                self.refused_request = RefusedRequest(time.time(), origin, reason)
            case NothingChanged():
                self.refused_request = None

    def _hear_of_parts(self, record: Record) -> None:
        match record:
            case PartServes(epoch=epoch):
                self._begun.pop(epoch, None)
            case PartsReverting():
                self._reverting = True

    def _completed(self, record: CutoverCompleted) -> None:
        given, _, _ = self._begun.pop(record.epoch, (time.time(), None, None))
        # What reverts a part supersedes no refusal: it follows from it.
        self.refused = self.refused if self._reverting else None
        self._reverting = False
        self.degraded.clear()
        self.unserved_disk = ""
        self.serving = HistoryLine(
            record.epoch, EpochState.SERVING, given, time.time(), record.origin, record.summary, "", record.restores
        )

    def _aborted(self, record: CutoverAborted) -> None:
        self.aborted[record.epoch] = time.time()
        while len(self.aborted) > MOST:
            del self.aborted[min(self.aborted)]
        begun = self._begun.pop(record.epoch, None)
        if begun is None or record.origin is None:
            return
        given, origin, summary = begun
        self.refused = HistoryLine(record.epoch, EpochState.ABORTED, given, time.time(), origin, summary, record.reason)


def _ended(record: LeasesEnded) -> Iterator[tuple[int, str]]:
    why = f"more than {record.bound} resident copies once epoch {record.epoch} served"
    for what, views in (("ended", record.ended), ("cannot be ended", record.stuck)):
        for view in views:
            who = f"slot {record.worker.slot}, {view.kind} {view.path}, {age(view.age)} old"
            yield view.epoch, f"{what}: {who}: {why}"


def line(story: EpochStory, serving: frozenset[int], unretired: frozenset[int]) -> HistoryLine:
    """Show an epoch's story in one line.

    Args:
        story: What the journal keeps of it.
        serving: The committed epoch; in a roll in parts also theirs.
        unretired: Superseded epochs of which something is left.
    """
    decision, given = story.decision, story.given
    return HistoryLine(
        epoch=story.epoch,
        state=_state(story, serving, unretired),
        given=story.given_at,
        decided=story.decided_at,
        origin=given.origin,
        summary=given.summary,
        reason=decision.reason if isinstance(decision, Aborted) else "",
        restores=given.restores,
        part="" if given.part is None else str(given.part),
    )


def _state(story: EpochStory, serving: frozenset[int], unretired: frozenset[int]) -> EpochState:
    if story.decision is None:
        return EpochState.UNDECIDED
    if isinstance(story.decision, Aborted):
        return EpochState.ABORTED
    if story.epoch in serving:
        return EpochState.SERVING
    return EpochState.DRAINING if story.epoch in unretired else EpochState.RETIRED
