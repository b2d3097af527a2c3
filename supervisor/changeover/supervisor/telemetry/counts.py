"""Totals out of the records that everybody else hears."""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.records.cutover import CutoverAborted, CutoverCompleted
from changeover.supervisor.core.records.preflight import PreflightCompleted
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import NothingChanged, RequestRefused
from changeover.supervisor.core.records.retirement import ReleaseProved
from changeover.supervisor.core.records.service import PeerIgnored
from changeover.supervisor.core.records.worker import WorkerExited
from changeover.supervisor.telemetry.loop_lag import Lag

NO_LAG = Lag()
"""Where nobody measures."""
UNNUMBERED = "request"
"""Stage of a cutover that was refused before anything was scanned, by a precondition for one."""


class Counts(msgspec.Struct, frozen=True):
    """Totals since the supervisor started.

    Attributes:
        reloads: Cutovers that were committed, rollbacks included.
        unchanged: Requests for a cutover that found nothing changed.
        rollbacks: Committed cutovers that brought earlier content back.
        refusals: Stage -> cutovers that ended in a refusal there.
        restarts: Workers that died without having been told to leave.
        frames_dropped: Reason -> frames from workers that were without effect.
        loop_lag: Seconds by which the supervisor's own loop was late at most, within the last minute.
        loop_lag_worst: The same, since it started.
        last_duration: Seconds from the request of the last committed cutover to its outcome; None before one.
        proofs: How often workers looked for what they had released.
        longest_pause: Seconds that a worker's loop stood still for that at most.
        leaks: How much of what was released was still there.
        preflights: Rehearsals that passed.
        longest_preflight: Seconds that one of these took at most.
    """

    reloads: int = 0
    unchanged: int = 0
    rollbacks: int = 0
    refusals: dict[str, int] = {}
    restarts: int = 0
    frames_dropped: dict[str, int] = {}
    loop_lag: float = 0.0
    loop_lag_worst: float = 0.0
    last_duration: float | None = None
    proofs: int = 0
    longest_pause: float = 0.0
    leaks: int = 0
    preflights: int = 0
    longest_preflight: float = 0.0


class Tally:
    """Counts what is told."""

    def __init__(self) -> None:
        self._counts = Counts()
        self._refusals: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def take(self, record: Record) -> None:
        """Count one record."""
        match record:
            case CutoverCompleted(restores=restores, total=total):
                self._add(reloads=1, rollbacks=restores is not None)
                self._counts = msgspec.structs.replace(self._counts, last_duration=total)
            case NothingChanged():
                self._add(unchanged=1)
            case CutoverAborted(refusals=refusals) | RequestRefused(refusals=refusals):
                self._refusals[_stage(refusals)] += 1
            case PreflightCompleted(seconds=seconds):
                self._rehearsed(seconds)
            case WorkerExited(expected=False):
                self._add(restarts=1)
            case ReleaseProved(pause=pause, leaks=leaks):
                self._proved(pause, leaks)
            case PeerIgnored(why=why):
                self._ignored[why] += 1

    def counts(self, discarded: Mapping[str, int], lag: Lag = NO_LAG) -> Counts:
        """The totals.

        Args:
            discarded: Reason -> frames that the link dropped before anybody else saw them.
            lag: Of the supervisor's loop.
        """
        dropped = self._ignored + Counter(discarded)
        return msgspec.structs.replace(
            self._counts,
            refusals=dict(self._refusals),
            frames_dropped=dict(dropped),
            loop_lag=lag.recent,
            loop_lag_worst=lag.worst,
        )

    def _proved(self, pause: float, leaks: int) -> None:
        counts = self._counts
        self._counts = msgspec.structs.replace(
            counts,
            proofs=counts.proofs + 1,
            longest_pause=max(counts.longest_pause, pause),
            leaks=counts.leaks + leaks,
        )

    def _rehearsed(self, seconds: float) -> None:
        counts = self._counts
        self._counts = msgspec.structs.replace(
            counts, preflights=counts.preflights + 1, longest_preflight=max(counts.longest_preflight, seconds)
        )

    def _add(self, reloads: int = 0, unchanged: int = 0, rollbacks: int = 0, restarts: int = 0) -> None:
        counts = self._counts
        self._counts = msgspec.structs.replace(
            counts,
            reloads=counts.reloads + reloads,
            unchanged=counts.unchanged + unchanged,
            rollbacks=counts.rollbacks + rollbacks,
            restarts=counts.restarts + restarts,
        )


def _stage(refusals: Iterable[SlotRefusal]) -> str:
    return next((refusal.refusal.stage.value for refusal in refusals), UNNUMBERED)
