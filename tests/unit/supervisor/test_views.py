"""What status and `explain` say of content that is not tried again by itself, and what they call an alarm."""

import msgspec

from changeover.supervisor.control import EpochState, HistoryLine, PluginState, QuarantineView, ZygoteState, ZygoteView
from changeover.supervisor.core import zygote
from changeover.supervisor.core.child import State
from changeover.supervisor.core.entries import Aborted, Origin, Quarantined, SlotRefusal, Trigger
from changeover.supervisor.core.events import Received, ScaleRequested, WorkerExited
from changeover.supervisor.core.view import Overview, SlotPicture, ZygotePicture
from changeover.supervisor.views import (
    ZYGOTE_STATES,
    alarms,
    plugin_views,
    quarantine_views,
    rescued,
    slot_view,
    tried_again,
    zygote_view,
)
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Beat
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.entries import HUP, aborted, committed
from tests.machines import JOURNAL, Bench

TIMEOUT = SlotRefusal(0, 1, Refusal(Stage.LOAD, Fault.TIMEOUT, "not done"))


def test_a_plugin_is_active_as_long_as_somebody_serves() -> None:
    bench = Bench()
    bench.come_up()
    assert [each.state for each in plugin_views(bench.view, {})] == [PluginState.ACTIVE]
    for worker in bench.living():
        bench.feed(WorkerExited(worker, -11))
    assert [each.state for each in plugin_views(bench.view, {})] == [PluginState.ABSENT]


def overview(*quarantine: Quarantined) -> Overview:
    bench = Bench()
    bench.come_up()
    return msgspec.structs.replace(bench.view, quarantine=quarantine)


def test_of_each_plugin_the_content_that_was_refused_last_is_shown() -> None:
    seen = overview(
        Quarantined(2, "a", {"prices": "2"}), Quarantined(3, "b", {"geo": "1"}), Quarantined(4, "c", {"prices": "3"})
    )
    assert quarantine_views(seen, {4: 99.0}) == (QuarantineView("prices 3", 4, 99.0), QuarantineView("geo 1", 3, 0.0))


def test_what_was_refused_for_what_it_requires_is_shown_with_that_and_waits_for_either() -> None:
    seen = overview(Quarantined(2, "a", {"prices": "2"}, requires={"geo": "1"}))
    assert quarantine_views(seen, {}) == (QuarantineView("prices 2", 2, 0.0, "geo 1"),)
    assert "until it or geo 1, which it requires, changes; `changeover reload`" in tried_again(aborted(2), seen)


def test_a_worker_that_was_adopted_and_not_heard_yet_does_not_look_as_if_it_started() -> None:
    found = SlotPicture(0, State.BOOTING, worker=WorkerId(1, 0, 1), pid=77, adopted=True)
    assert slot_view(found, 5.0, 1000.0).note == "of the supervisor before, and not heard yet"
    assert slot_view(msgspec.structs.replace(found, heard=4.0), 5.0, 1000.0).note == ""


def test_where_no_plugin_is_to_blame_what_changed_was_refused() -> None:
    [view] = quarantine_views(overview(Quarantined(2, "a")), {})
    assert view.content == "what changed"


def test_what_becomes_of_refused_content_depends_on_why_it_was_refused() -> None:
    seen = overview(Quarantined(2, "a", {"prices": "2"}))
    assert tried_again(aborted(2), seen).startswith("watching and schedule do not try it again")
    assert tried_again(Aborted(3, "no", (TIMEOUT,)), seen).startswith("the reason may pass")
    assert [tried_again(each, seen) for each in (aborted(4), Aborted(5, "a stop"), committed(6), None)] == [""] * 4


def test_a_roll_that_was_taken_back_by_itself_is_an_alarm_until_something_else_is_committed() -> None:
    origin = Origin(Trigger.RESCUE, label="all workers of epoch 2 crashed: slot 2 was ended by signal 11")
    back = HistoryLine(3, EpochState.SERVING, 1.0, 2.0, origin, ("app main:app (1 file)",), "", 1)
    [alarm] = rescued(back)
    assert alarm.startswith(
        "all workers of epoch 2 crashed: slot 2 was ended by signal 11; epoch 3 brought epoch 1 back"
    )
    assert rescued(msgspec.structs.replace(back, origin=HUP)) == rescued(None) == ()


def test_a_worker_that_is_one_too_many_is_no_alarm_while_it_leaves() -> None:
    bench = Bench()
    bench.come_up(slots=3)
    bench.feed(ScaleRequested(2))
    assert len(bench.living()) == 3
    assert alarms(bench.view, {}, "") == ()
    bench.feed(WorkerExited(bench.workers[2], -9))
    assert alarms(bench.view, {}, "") == ("1 of 2 slots serve",)


def test_what_was_released_and_is_not_gone_is_shown_and_an_alarm() -> None:
    bench = Bench()
    bench.come_up()
    bench.feed(Received(Beat(Stamp(JOURNAL, bench.view.term, 1), bench.workers[1], 0, leaked=3)))
    assert [slot_view(slot, 0.0, 0.0).leaked for slot in bench.view.slots] == [0, 3]
    assert alarms(bench.view, {}, "") == (
        "copies of plugins were released and are not gone: 3 in slot 1; see: changeover leaks",
    )


def test_a_zygote_is_shown_with_the_time_of_day_until_which_it_is_kept() -> None:
    kept = ZygotePicture(1, zygote.State.KEPT, 4, 350.0)
    assert zygote_view(kept, 100.0, 1_000.0) == ZygoteView(1, ZygoteState.KEPT, 4, 1_250.0)
    forking = ZygotePicture(2, zygote.State.READY, 5, 0.0)
    assert zygote_view(forking, 100.0, 1_000.0) == ZygoteView(2, ZygoteState.READY, 5, 0.0)
    assert ZYGOTE_STATES.keys() == set(zygote.State)
