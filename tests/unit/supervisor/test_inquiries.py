"""Whoever holds something is asked, workers that leave above all; who does not answer holds up nobody."""

import asyncio
import itertools
import time

import pytest

from changeover.supervisor import inquiries
from changeover.supervisor.artifacts.survey import Survey
from changeover.supervisor.chronicle import Chronicle
from changeover.supervisor.control import SlotState
from changeover.supervisor.core import effects, events
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.entries import Recovered
from changeover.supervisor.core.events import Child, Event, Urgency
from changeover.supervisor.core.records.worker import WorkerExited
from changeover.supervisor.inquiries import Inquiries
from changeover.supervisor.telemetry.totals import Totals
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import LeaseView, WorkerMessage
from tests.machines import JOURNAL, RELOAD, SECRET, Bench, snapshot, unit
from tests.waits import DEADLINE, until

LIVE = LeaseView("websocket", 1, "/live", 240.0)
OLD = plugin_messages.PluginEntry(unit("pricing", 1), "Active", 1.0)
SHORT = 1.0

Asks = messages.AskLeases | plugin_messages.AskLeaks | plugin_messages.AskPlugins


class Office:
    """A machine whose workers answer every question at once, but for those that are mute.

    Attributes:
        bench: The machine.
        mute: Slots whose workers do not answer.
        asked: Slots that were asked.
    """

    def __init__(self) -> None:
        self.bench = Bench()
        self.mute: set[int] = set()
        self.asked: list[int] = []
        nothing = (Chronicle(), Totals(), lambda *_: Survey(), dict)
        self.inquiries = Inquiries(lambda: self.bench.view, self.feed, itertools.count(1), *nothing)

    def feed(self, *happened: Event) -> None:
        """Let things happen; answers and deaths are heard."""
        self.bench.forget()
        self.bench.feed(*happened)
        for effect in self.bench.all(effects.Unicast):
            if isinstance(effect.message, Asks):
                self.asked.append(effect.worker.slot)
                if effect.worker.slot not in self.mute:
                    self.bench.feed(events.Received(self._told(effect.worker, effect.message)))
        for answer in self.bench.all(effects.Answer):
            self.inquiries.answer(answer.ticket, answer.message)
        for record in self.bench.told(WorkerExited):
            self.inquiries.hear(record)

    def _told(self, worker: WorkerId, asked: Asks) -> WorkerMessage:
        stamp = Stamp(JOURNAL, self.bench.view.term, 1)
        if isinstance(asked, messages.AskLeases):
            return messages.TellLeases(stamp, worker, asked.ticket, (LIVE,))
        if isinstance(asked, plugin_messages.AskPlugins):
            return plugin_messages.TellPlugins(stamp, worker, asked.ticket, (OLD,))
        return plugin_messages.TellLeaks(stamp, worker, asked.ticket, (), {"plugin pricing": 1})

    def roll(self) -> None:
        """New processes serve epoch 2; the old ones hand over for as long as their clients like."""
        self.bench.feed(events.CutoverRequested(1, RELOAD))
        self.bench.find(snapshot(2, rolled=2))
        for worker in self.cohort(2):
            self.bench.greet(worker)
        self.bench.prepare(2)
        for worker in self.cohort(2):
            self.bench.hear(worker, messages.Activated, 2)
        for worker in self.cohort(1):
            self.bench.hear(worker, messages.Yielding, 2)

    def cohort(self, number: int) -> list[WorkerId]:
        return [worker for worker in self.bench.living() if worker.cohort == number]


@pytest.fixture
def office() -> Office:
    made = Office()
    made.bench.come_up()
    return made


async def test_workers_that_hand_over_after_a_roll_say_what_they_hold_and_that_they_leave(office: Office) -> None:
    office.roll()
    leases, leaks = await office.inquiries.leases(), await office.inquiries.leaks()
    [pricing] = (await office.inquiries.plugins()).plugins
    hands_over, serves = SlotState.YIELDING, SlotState.SERVING
    states = [(0, hands_over), (1, hands_over), (2, serves), (3, serves)]
    assert [(each.slot, each.state) for each in leases.slots] == states
    assert [(each.slot, each.state) for each in leaks.slots] == states
    assert [(each.slot, each.worker) for each in pricing.copies] == states
    assert (leases.slots[0].pid, leases.slots[0].leases) == (100, (LIVE,))
    assert (leases.silent, leaks.silent) == ((), ())


async def test_workers_that_were_told_to_end_are_asked_until_they_are_gone(office: Office) -> None:
    office.feed(events.StopRequested(Urgency.GRACEFUL))
    assert {slot.told for slot in office.bench.view.slots} == {ProcessSignal.TERM}
    assert [each.state for each in (await office.inquiries.leases()).slots] == [SlotState.STOPPING] * 2
    office.feed(events.WorkerExited(office.bench.workers[0], 0))
    assert [each.slot for each in (await office.inquiries.leases()).slots] == [1]


async def test_processes_of_a_roll_that_is_not_committed_have_begun_nothing_and_are_not_asked(office: Office) -> None:
    office.bench.feed(events.CutoverRequested(1, RELOAD))
    office.bench.find(snapshot(2, rolled=2))
    for worker in office.cohort(2):
        office.bench.greet(worker)
    view = await office.inquiries.leases()
    assert (office.asked, view.silent) == ([0, 1], ())


async def test_a_worker_of_the_supervisor_before_that_was_not_heard_yet_is_named_as_one_that_is_missing() -> None:
    office, orphan = Office(), Child(WorkerId(1, 0, 7), 77, rolled=1)
    before = Recovered(JOURNAL, term=1, epoch=1, committed=snapshot(1))
    office.feed(events.Booted(before, 1, SECRET, 1, living=(orphan,)))
    assert (await office.inquiries.leases()).silent == (0,)


async def test_who_does_not_answer_while_it_leaves_is_named_in_time_and_the_others_are_heard(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiries, "ANSWER", SHORT)
    office.roll()
    office.mute = {0, 1}
    began = time.monotonic()
    view = await office.inquiries.leases()
    assert SHORT <= time.monotonic() - began < 2 * SHORT
    assert ([each.slot for each in view.slots], view.silent) == ([2, 3], (0, 1))


async def test_nobody_waits_for_the_answer_of_a_worker_that_leaves_meanwhile(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiries, "ANSWER", 10 * DEADLINE)
    office.roll()
    office.mute = {0}
    asking = asyncio.ensure_future(office.inquiries.leases())
    await until(lambda: len(office.asked) == 4)
    office.feed(events.WorkerExited(office.bench.workers[0], 0))
    view = await asyncio.wait_for(asking, DEADLINE)
    assert ([each.slot for each in view.slots], view.silent) == ([1, 2, 3], ())
