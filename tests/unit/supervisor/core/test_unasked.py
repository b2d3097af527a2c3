"""Cutovers that nobody asked for: what was refused is not tried again, and what is no news is told to nobody."""

import pytest

from changeover.supervisor.core import effects, events, outcome
from changeover.supervisor.core.entries import EpochGiven, Origin, Recovered, Trigger
from changeover.supervisor.core.outcome import Committed, CutoverRequest, HeldBack, Outcome, Refused, Unchanged
from changeover.supervisor.core.records.request import NothingChanged, RequestRefused
from changeover.workers.protocol import messages
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.reload import ON_CHANGE, read_reload
from changeover.workers.protocol.snapshot import Snapshot
from tests.machines import JOURNAL, RELOAD, Bench, snapshot, unit

WATCH = CutoverRequest(Origin(Trigger.WATCH), policy=ON_CHANGE)
SCHEDULE = CutoverRequest(Origin(Trigger.SCHEDULE), policy=read_reload("every 60s"))
NO = Refusal(Stage.LOAD, Fault.CONTRACT, "does not load", unit="plugin pricing")


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    return bench


def bad(epoch: int) -> Snapshot:
    """The same refused content, under the number that a scan gave it."""
    return Snapshot(epoch, "bad", snapshot(epoch).units, rolled=1)


def ask(bench: Bench, ticket: int, request: CutoverRequest, found: Snapshot) -> Outcome | None:
    bench.feed(events.CutoverRequested(ticket, request))
    bench.find(found)
    return bench.outcomes().get(ticket)


def refuse(bench: Bench, epoch: int, refusal: Refusal = NO) -> None:
    bench.hear(bench.workers[0], messages.Refused, epoch, refusal)
    for worker in bench.workers[1:]:
        bench.hear(worker, messages.Prepared, epoch)


@pytest.mark.parametrize("first", [RELOAD, WATCH], ids=["asked", "unasked"])
@pytest.mark.parametrize("then", [WATCH, SCHEDULE], ids=["watch", "schedule"])
def test_refused_content_is_not_tried_again_unasked_whoever_tried_it_first(
    bench: Bench, first: CutoverRequest, then: CutoverRequest
) -> None:
    ask(bench, 1, first, bad(2))
    refuse(bench, 2)
    assert isinstance(bench.outcomes()[1], Refused)
    again = ask(bench, 2, then, bad(3))
    assert isinstance(again, Unchanged)
    why = "not taken: pricing 1 (refused as epoch 2; not tried again by itself until it changes)"
    assert again.notes == ("changed", why)
    assert bench.told(NothingChanged)[-1].notes == again.notes


@pytest.mark.parametrize(("request_", "rest"), [(RELOAD, False), (WATCH, True), (SCHEDULE, True)])
def test_who_is_not_asked_hears_that_something_else_can_be_had_without_what_was_refused(
    bench: Bench, request_: CutoverRequest, rest: bool
) -> None:
    ask(bench, 1, request_, Snapshot(2, "two", snapshot(2, unit("pricing", 2), unit("geo", 2)).units, rolled=1))
    refuse(bench, 2)
    refused = bench.outcomes()[1]
    assert isinstance(refused, Refused)
    assert refused.rest is rest


def test_refused_content_is_tried_by_who_asks(bench: Bench) -> None:
    ask(bench, 1, WATCH, bad(2))
    refuse(bench, 2)
    assert ask(bench, 2, RELOAD, bad(3)) is None
    assert [entry.epoch for entry in bench.entries() if isinstance(entry, EpochGiven)] == [2, 3]


def test_a_reason_that_passes_lets_the_same_content_be_tried_again(bench: Bench) -> None:
    ask(bench, 1, WATCH, bad(2))
    refuse(bench, 2, Refusal(Stage.LOAD, Fault.TIMEOUT, "not done within 5 s"))
    assert bench.view.quarantine == ()
    assert ask(bench, 2, WATCH, bad(3)) is None


def test_a_stop_quarantines_nothing(bench: Bench) -> None:
    ask(bench, 1, WATCH, bad(2))
    bench.feed(events.StopRequested())
    assert isinstance(bench.outcomes()[1], Refused)
    assert bench.view.quarantine == ()


def test_content_that_serves_after_all_is_no_longer_quarantined(bench: Bench) -> None:
    ask(bench, 1, WATCH, bad(2))
    refuse(bench, 2)
    ask(bench, 2, RELOAD, bad(3))
    bench.prepare(3)
    bench.activate(3)
    assert isinstance(bench.outcomes()[2], Committed)
    assert bench.view.quarantine == ()


def test_a_supervisor_goes_on_with_what_the_journal_remembers() -> None:
    before = Bench()
    before.come_up()
    ask(before, 1, WATCH, bad(2))
    refuse(before, 2)
    bench = Bench()
    bench.boot(Recovered(JOURNAL, 1, 2, snapshot(1), quarantine=before.view.quarantine))
    bench.feed(events.Scanned(3, HeldBack()))
    assert isinstance(ask(bench, 2, WATCH, bad(3)), Unchanged)


def test_held_content_is_a_refusal_only_to_who_asked(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(1, WATCH), events.Scanned(2, HeldBack(("not taken: prices 1.1.0",))))
    assert isinstance(bench.outcomes()[1], Unchanged)
    assert bench.told(RequestRefused) == []


def test_what_is_asked_for_and_what_is_not_do_not_merge(bench: Bench) -> None:
    waiting = (RELOAD, SCHEDULE, WATCH, SCHEDULE)
    bench.feed(*(events.CutoverRequested(ticket, each) for ticket, each in enumerate((WATCH, *waiting))))
    for _ in waiting:
        bench.feed(events.Scanned(2, outcome.NothingChanged()))
    assert [scan.request for scan in bench.all(effects.Scan)] == [WATCH, RELOAD, SCHEDULE, WATCH]
    assert bench.outcomes().keys() == {0, 1, 2, 3, 4}


def test_another_content_of_the_same_plugin_is_tried(bench: Bench) -> None:
    ask(bench, 1, WATCH, bad(2))
    refuse(bench, 2)
    assert ask(bench, 2, WATCH, snapshot(3, unit("pricing", 3))) is None
