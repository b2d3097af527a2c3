"""Words for what happens without being asked for."""

import msgspec

from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import Action
from changeover.supervisor.core.records.request import NothingChanged, RollNeeded
from changeover.supervisor.telemetry.phrases import by
from changeover.supervisor.telemetry.shell import WatchingBegan, WatchingBlind
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.wording import word

WATCH = Origin(Trigger.WATCH, label="shop.py")
LEFT_OUT = "not taken: prices 2 (refused as epoch 3; not tried again by itself until it changes)"


def test_nothing_changed_is_news_for_who_asked_and_for_who_saved_what_is_left_out() -> None:
    assert word(NothingChanged(Origin(Trigger.HUP), 2)).level is Level.INFO
    assert word(NothingChanged(WATCH, 2)).level is Level.DEBUG
    left_out = word(NothingChanged(WATCH, 2, ("prices 2 (1 file)", LEFT_OUT)))
    assert left_out.level is Level.INFO
    assert left_out.line == f"nothing changed: {LEFT_OUT}   (try it again: changeover reload)"


def test_a_rollback_to_what_serves_says_nothing_of_the_disk() -> None:
    back = NothingChanged(Origin(Trigger.COMMAND), 2, action=Action.ROLLBACK)
    assert word(back).line == "nothing changed: what the rollback wants is epoch 2, which serves"


def test_at_a_start_nothing_serves_yet_that_could_be_said_to_be_unchanged() -> None:
    boot = NothingChanged(Origin(Trigger.BOOT), 7)
    assert word(boot).line == "what is on disk is epoch 7, the last committed"
    part = msgspec.structs.replace(boot, notes=(LEFT_OUT,))
    assert word(part).line == "what can be taken from disk is epoch 7, the last committed"


def test_what_no_swap_can_take_is_named_by_the_file_that_was_saved() -> None:
    assert word(RollNeeded(WATCH, ("app: 1 file",))).line == "shop.py: nothing changed: no swap can take app: 1 file"
    asked = word(RollNeeded(Origin(Trigger.HUP, label="mine"), ("app: 1 file",)))
    assert asked.line == "nothing changed: no swap can take app: 1 file"


def test_watching_says_what_it_takes_and_what_hinders_it() -> None:
    assert word(WatchingBegan(("every 60s", "on-change"))).line.endswith("every 60s, on-change")
    assert "only when somebody asks" in word(WatchingBegan(())).line
    blind = word(WatchingBlind("OS file watch limit reached.", 60.0))
    assert blind.level is Level.ERROR
    assert "limit reached" in blind.line
    assert "every 60 s" in blind.line
    assert "fs.inotify.max_user_watches" in blind.line


def test_who_asked_is_a_trigger() -> None:
    assert [by(WATCH), by(Origin(Trigger.SCHEDULE))] == ["watch", "schedule"]
