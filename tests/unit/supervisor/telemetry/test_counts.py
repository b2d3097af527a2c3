from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.records.cutover import CutoverAborted, CutoverCompleted
from changeover.supervisor.core.records.preflight import PreflightCompleted
from changeover.supervisor.core.records.request import NothingChanged, RequestRefused
from changeover.supervisor.core.records.retirement import EpochRetired, ReleaseProved
from changeover.supervisor.core.records.service import PeerIgnored
from changeover.supervisor.core.records.worker import WorkerExited
from changeover.supervisor.telemetry.counts import Counts, Tally
from changeover.supervisor.telemetry.loop_lag import Lag
from changeover.workers.protocol.identity import WorkerId
from tests.fake_control import DEPLOY, REFUSAL, SUMMARY

HUP = Origin(Trigger.HUP)
WORKER = WorkerId(1, 2, 3)


def test_what_is_told_is_counted_once() -> None:
    tally = Tally()
    for record in (
        CutoverCompleted(8, 7, DEPLOY, 4, SUMMARY, 0.1, 0.001, 0.5),
        CutoverCompleted(9, 8, DEPLOY, 4, SUMMARY, 0.1, 0.001, 0.7, restores=7),
        NothingChanged(HUP, 9),
        CutoverAborted(10, "refused", (REFUSAL,), HUP, 9),
        RequestRefused(HUP, "another epoch"),
        WorkerExited(WORKER, 4, -9, False),
        WorkerExited(WORKER, 4, 0, True),
        PeerIgnored("slot 2", "Prepared", "stale term", 1),
        EpochRetired(7),
        ReleaseProved(WORKER, 4, (), 0.02, 3),
        ReleaseProved(WORKER, 4, (), 0.01),
        PreflightCompleted(8, 0.04, 3),
        PreflightCompleted(9, 0.03, 3),
    ):
        tally.take(record)
    assert tally.counts({"malformed": 2}, Lag(recent=0.1, worst=0.2)) == Counts(
        reloads=2,
        unchanged=1,
        rollbacks=1,
        refusals={"initialise": 1, "request": 1},
        restarts=1,
        frames_dropped={"stale term": 1, "malformed": 2},
        loop_lag=0.1,
        loop_lag_worst=0.2,
        last_duration=0.7,
        proofs=2,
        longest_pause=0.02,
        leaks=3,
        preflights=2,
        longest_preflight=0.04,
    )
