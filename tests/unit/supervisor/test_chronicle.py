"""What status and `explain` show of what was told."""

import pytest

from changeover.supervisor.chronicle import MOST_ENDED, Chronicle
from changeover.supervisor.control import RefusedRequest
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.quarantine import MOST
from changeover.supervisor.core.records.boot import BootFellBack
from changeover.supervisor.core.records.cutover import CutoverAborted, CutoverBegan, CutoverCompleted
from changeover.supervisor.core.records.part import PartsReverting
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.request import NothingChanged, RequestRefused
from changeover.supervisor.core.records.retirement import LeasesEnded
from changeover.supervisor.core.records.upgrade import UpgradeRefused
from changeover.supervisor.journal.views import EpochStory
from changeover.supervisor.telemetry.shell import WatchingBegan, WatchingBlind
from changeover.supervisor.upgrade.refused import RefusedUpgrade
from changeover.supervisor.views import blindness, unserved_disk
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import LeaseView
from tests.entries import HUP, aborted, given

WORKER = WorkerId(1, 2, 3)
USR2 = Origin(Trigger.USR2, uid=0)


def test_leases_that_the_residency_bound_ended_are_remembered_by_the_epoch_that_they_held() -> None:
    chronicle = Chronicle()
    stuck = (LeaseView("task", 2, "/thread", 3.0),)
    chronicle.hear(LeasesEnded(WORKER, 41, 4, 2, (LeaseView("http", 1, "/slow", 12.0),), stuck))
    assert list(chronicle.ended) == [
        (1, "ended: slot 2, http /slow, 12 s old: more than 2 resident copies once epoch 4 served"),
        (2, "cannot be ended: slot 2, task /thread, 3 s old: more than 2 resident copies once epoch 4 served"),
    ]


def test_no_more_of_them_are_remembered_than_memory_allows() -> None:
    chronicle = Chronicle()
    chronicle.hear(LeasesEnded(WORKER, 41, 4, 2, (LeaseView("http", 1, "/slow", 12.0),) * (MOST_ENDED + 5)))
    assert len(chronicle.ended) == MOST_ENDED


def test_a_kernel_that_tells_nothing_is_remembered_until_it_does() -> None:
    chronicle = Chronicle()
    chronicle.hear(WatchingBegan(("on-change",)))
    chronicle.hear(WatchingBlind("limit reached", 60.0))
    assert (chronicle.automatic, blindness(chronicle.blind)) == (
        ("on-change",),
        ("the kernel tells of no changes: limit reached",),
    )
    chronicle.hear(WatchingBegan(("on-change",)))
    assert blindness(chronicle.blind) == ()


def test_the_last_upgrade_that_was_refused_is_remembered_with_who_asked_and_when(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chronicle = Chronicle()
    for at, reason in ((1000.0, "no module named changeover"), (2000.0, "an upgrade is under way already")):
        monkeypatch.setattr("time.time", lambda at=at: at)
        chronicle.hear(UpgradeRefused(reason, USR2, "/new/python"))
    assert chronicle.refused_upgrade == RefusedUpgrade(2000.0, USR2, "/new/python", "an upgrade is under way already")


def test_what_was_refused_before_it_had_a_number_is_remembered_until_a_request_gets_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.time", lambda: 1000.0)
    chronicle = Chronicle()
    for further in (NothingChanged(HUP, 7), CutoverBegan(8, HUP, (), 7, 4)):
        chronicle.hear(RequestRefused(HUP, "changeover.toml: $.wrokers: unknown key"))
        assert chronicle.refused_request == RefusedRequest(1000.0, HUP, "changeover.toml: $.wrokers: unknown key")
        chronicle.hear(further)
        assert chronicle.refused_request is None
    chronicle.hear(RequestRefused(Origin(Trigger.BOOT), "no such folder"))
    assert chronicle.refused_request is None, "which is an alarm, or the end of the start"


def test_that_the_disk_is_not_served_is_an_alarm_and_that_it_is_held_is_none() -> None:
    chronicle = Chronicle()
    chronicle.hear(BootFellBack(7, "held", (), ("not taken: prices 1.1",)))
    assert unserved_disk(chronicle.unserved_disk, 7) == ()
    chronicle.hear(BootFellBack(7, "no such folder", aborted(8).refusals))
    [alarm] = unserved_disk(chronicle.unserved_disk, 7)
    assert alarm == "what is on disk is not served: no such folder; epoch 7, the last committed, serves"
    chronicle.hear(NothingChanged(HUP, 7, notes=("not taken: what changed",)))
    assert unserved_disk(chronicle.unserved_disk, 7) == (alarm,)


@pytest.mark.parametrize(
    "end", [NothingChanged(HUP, 7), CutoverCompleted(8, 7, HUP, 2, (), 0.1, 0.1, 0.2)], ids=["mended", "committed"]
)
def test_that_alarm_ends_when_the_disk_is_what_serves(end: Record) -> None:
    chronicle = Chronicle()
    chronicle.hear(BootFellBack(7, "no such folder", aborted(8).refusals))
    chronicle.hear(end)
    assert unserved_disk(chronicle.unserved_disk, 7) == ()


def test_when_epochs_were_refused_is_remembered_of_the_latest_and_over_a_restart() -> None:
    chronicle = Chronicle()
    chronicle.recall_refusal(EpochStory(given(2), 10.0, aborted(2), 11.0))
    assert chronicle.aborted == {2: 11.0}
    for epoch in range(3, MOST + 10):
        chronicle.hear(CutoverAborted(epoch, "no", (), HUP, 1))
    assert len(chronicle.aborted) == MOST
    assert min(chronicle.aborted) == 10


def test_a_refusal_of_a_part_is_shown_on_when_those_before_it_are_reverted_and_until_the_next_cutover() -> None:
    chronicle = Chronicle()
    chronicle.hear(CutoverBegan(3, HUP, (), 1, 2))
    chronicle.hear(CutoverAborted(3, "slot 0: does not import", (), HUP, 1))
    chronicle.hear(PartsReverting(2, "part 1 of 3", 1, "slot 0: does not import"))
    chronicle.hear(CutoverCompleted(4, 1, HUP, 2, (), 0.1, 0.1, 0.2, 1))
    assert chronicle.refused is not None
    assert (chronicle.refused.epoch, chronicle.serving and chronicle.serving.epoch) == (3, 4)
    chronicle.hear(CutoverCompleted(5, 4, HUP, 2, (), 0.1, 0.1, 0.2))
    assert chronicle.refused is None
