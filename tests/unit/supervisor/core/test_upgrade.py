"""The supervisor's own program is replaced: tried first, between two cutovers, and never at their expense."""

import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.entries import Aborted, Origin, TermBegun, Trigger
from changeover.supervisor.core.events import Timer, TimerKind
from changeover.supervisor.core.outcome import Committed, Refused
from changeover.supervisor.core.policy import Deadlines
from changeover.supervisor.core.records.upgrade import UpgradeRefused, UpgradeWaits
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from tests.machines import JOURNAL, RELOAD, Bench, snapshot

WISH = events.UpgradeRequested(7, Origin(Trigger.COMMAND), "/new/python")
DEADLINE = Timer(TimerKind.UPGRADE)
PATIENCE = Deadlines().takeover


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    return bench


def away(bench: Bench) -> list[float]:
    """How long workers were told to wait, with each heartbeat."""
    return [pulse.away for pulse in bench.said(messages.Pulse)]


def decided(bench: Bench) -> list[str]:
    """Why wishes for an upgrade came to nothing; empty for the one that comes about."""
    return [effect.refused for effect in bench.all(effects.UpgradeDecided) if effect.ticket == WISH.ticket]


def start_cutover(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))


def test_what_is_fit_is_executed_and_who_asked_is_answered_first(bench: Bench) -> None:
    bench.feed(WISH)
    assert bench.all(effects.RehearseImage) == [effects.RehearseImage("/new/python")]
    assert not bench.all(effects.ExecuteImage)
    bench.feed(events.ImageRehearsed("2.0"))
    last = [effect for effect in bench.wanted if isinstance(effect, effects.UpgradeDecided | effects.ExecuteImage)]
    assert last == [effects.UpgradeDecided(7), effects.ExecuteImage("/new/python")]


def test_what_is_not_fit_changes_nothing(bench: Bench) -> None:
    bench.feed(WISH, events.ImageRefused("no module named changeover"))
    assert decided(bench) == ["no module named changeover"]
    assert bench.told(UpgradeRefused) == [UpgradeRefused("no module named changeover", WISH.origin, "/new/python")]
    start_cutover(bench)
    bench.prepare(2)
    bench.activate(2)
    assert isinstance(bench.outcomes()[1], Committed)


def test_a_cutover_goes_on_while_the_new_program_is_tried_and_before_it_is_executed(bench: Bench) -> None:
    bench.feed(WISH)
    start_cutover(bench)
    bench.feed(events.ImageRehearsed("2.0"))
    assert bench.told(UpgradeWaits)
    assert not bench.all(effects.ExecuteImage)
    bench.prepare(2)
    bench.activate(2)
    assert isinstance(bench.outcomes()[1], Committed)
    assert bench.all(effects.ExecuteImage)


def test_wishes_that_would_come_in_between_are_refused(bench: Bench) -> None:
    start_cutover(bench)
    bench.feed(
        events.CutoverRequested(2, RELOAD), WISH, events.ImageRehearsed("2.0"), events.CutoverRequested(3, RELOAD)
    )
    refused = {ticket: ending.reason for ticket, ending in bench.outcomes().items() if isinstance(ending, Refused)}
    assert refused.keys() == {2, 3}
    assert all("being upgraded" in reason for reason in refused.values())


def test_a_cutover_that_takes_too_long_is_aborted_and_the_upgrade_follows(bench: Bench) -> None:
    start_cutover(bench)
    bench.feed(WISH, events.ImageRehearsed("2.0"))
    bench.fire(DEADLINE)
    assert [entry.epoch for entry in bench.entries() if isinstance(entry, Aborted)] == [2]
    assert isinstance(bench.outcomes()[1], Refused)
    assert bench.all(effects.ExecuteImage)


def test_an_abort_that_cannot_be_written_ends_the_upgrade_and_not_the_service(bench: Bench) -> None:
    start_cutover(bench)
    bench.feed(WISH, events.ImageRehearsed("2.0"))
    bench.writes = False
    bench.fire(DEADLINE)
    bench.fire(DEADLINE)
    assert not bench.all(effects.ExecuteImage)
    assert len(decided(bench)) == 1
    assert "neither be ended nor aborted" in decided(bench)[0]


def test_a_system_that_does_not_execute_it_leaves_the_service_as_it_was(bench: Bench) -> None:
    bench.feed(WISH, events.ImageRehearsed("2.0"), events.ImageRefused("out of memory"))
    assert bench.told(UpgradeRefused)
    start_cutover(bench)
    bench.prepare(2)
    bench.activate(2)
    assert isinstance(bench.outcomes()[1], Committed)


def test_a_second_wish_is_refused_while_one_is_under_way(bench: Bench) -> None:
    bench.feed(WISH, events.UpgradeRequested(8, Origin(Trigger.HUP)))
    assert next(effect for effect in bench.all(effects.UpgradeDecided) if effect.ticket == 8).refused


def test_a_stop_comes_before_an_upgrade(bench: Bench) -> None:
    bench.feed(WISH, events.StopRequested(), events.ImageRehearsed("2.0"))
    assert decided(bench) == ["the service is stopping"]
    assert not bench.all(effects.ExecuteImage)
    bench.feed(WISH)
    assert decided(bench)[-1] == bench.told(UpgradeRefused)[-1].reason == "the service is stopping"


def test_workers_are_asked_for_nothing_but_patience(bench: Bench) -> None:
    bench.forget()
    bench.feed(WISH, events.ImageRehearsed("2.0"))
    order = [type(effect) for effect in bench.wanted]
    assert order.index(effects.Broadcast) < order.index(effects.ExecuteImage)
    assert {type(effect.message) for effect in bench.all(effects.Broadcast)} == {messages.Pulse}
    assert away(bench) == [PATIENCE, PATIENCE]
    assert not bench.all(effects.Signal)
    assert not bench.all(effects.Unicast)


def test_who_joins_or_listens_while_the_next_program_is_tried_is_told_to_wait(bench: Bench) -> None:
    bench.feed(WISH)
    bench.forget()
    bench.fire(Timer(TimerKind.HEARTBEAT))
    bench.greet(bench.living()[0], 1)
    assert away(bench) == [PATIENCE]
    assert [message.away for message in bench.said(messages.Welcome)] == [PATIENCE]


def test_nobody_waits_for_a_program_that_does_not_come(bench: Bench) -> None:
    bench.feed(WISH)
    bench.forget()
    bench.feed(events.ImageRefused("no module named changeover"))
    bench.fire(Timer(TimerKind.HEARTBEAT))
    assert away(bench) == [0.0, 0.0]


def test_nothing_is_said_before_the_own_term_is_on_disk() -> None:
    bench = Bench()
    bench.writes = False
    bench.boot()
    bench.feed(WISH)
    assert decided(bench) == ["the supervisor is still starting: ask again in a moment"]
    assert not bench.all(effects.Broadcast)


def test_a_term_that_is_written_meanwhile_lets_nothing_in_between(bench: Bench) -> None:
    bench.feed(WISH, events.ImageRehearsed("2.0"))
    worker = bench.living()[0]
    bench.feed(events.Received(messages.Beat(Stamp(JOURNAL, 9, 1), worker, 1)))
    bench.feed(events.CutoverRequested(3, RELOAD))
    assert isinstance(bench.outcomes()[3], Refused)
    assert not bench.all(effects.Scan)


def test_a_journal_that_cannot_be_written_any_more_ends_it_and_wishes_are_still_refused(bench: Bench) -> None:
    bench.feed(WISH)
    bench.writes = False
    bench.feed(events.Received(messages.Beat(Stamp(JOURNAL, 9, 1), bench.living()[0], 1)))
    [term] = [effect for effect in bench.all(effects.Persist) if isinstance(effect.entry, TermBegun)]
    bench.feed(events.PersistFailed(term.ticket, "the disk is full"), events.ImageRehearsed("2.0"))
    assert decided(bench) == ["the journal cannot be written: the disk is full"]
    bench.feed(events.CutoverRequested(3, RELOAD))
    assert isinstance(bench.outcomes()[3], Refused)
