"""A worker reports what it counted again and again, and what happened soon."""

import asyncio

from changeover.workers.participant import events
from changeover.workers.participant.events import Event
from changeover.workers.runtime.observatory import Observatory
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind
from tests.waits import until

FAILED = PipelineEvent(PipelineEventKind.HANDLER_FAILED, "shop", "pricing:discount", "KeyError: 'EUR'")


class Reports:
    """Takes what is to be reported."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.observatory = Observatory(asyncio.get_running_loop(), self.events.append)

    @property
    def told(self) -> list[events.PipelineEventsDue]:
        return [event for event in self.events if isinstance(event, events.PipelineEventsDue)]

    @property
    def counted(self) -> list[events.CountsDue]:
        return [event for event in self.events if isinstance(event, events.CountsDue)]


async def test_an_event_is_told_soon_and_its_repetitions_are_held_back_until_the_worker_leaves() -> None:
    reports = Reports()
    reports.observatory.note(FAILED)
    await until(lambda: reports.told, "the first to be told")
    for _ in range(50):
        reports.observatory.note(FAILED)
    assert len(reports.told) == 1
    reports.observatory.close()
    [first, rest] = reports.told
    assert [(each.event, each.count) for each in (*first.events, *rest.events)] == [(FAILED, 1), (FAILED, 50)]
    assert reports.counted[-1].counts.events == {"handler failed": 51}


async def test_what_is_held_back_keeps_nothing_else_waiting() -> None:
    reports = Reports()
    reports.observatory.note(FAILED)
    await until(lambda: reports.told, "the first to be told")
    reports.observatory.note(FAILED)
    other = PipelineEvent(PipelineEventKind.SHEDDING_BEGAN, "shop", "load-shed")
    reports.observatory.note(other)
    await until(lambda: len(reports.told) == 2, "the other one to be told", 2.0)
    assert [(each.event, each.count) for each in reports.told[1].events] == [(other, 1)]
    reports.observatory.close()
    assert [(each.event, each.count) for each in reports.told[2].events] == [(FAILED, 1)]


async def test_counts_are_reported_at_once_and_a_last_time_with_all_that_came_since() -> None:
    reports = Reports()
    reports.observatory.begin()
    reports.observatory.counters.pipeline("shop").route("/").hits += 7
    reports.observatory.close()
    assert [event.counts.requests for event in reports.counted] == [0, 7]


async def test_nothing_is_left_on_the_loop_once_it_is_closed() -> None:
    reports = Reports()
    reports.observatory.begin()
    reports.observatory.note(FAILED)
    reports.observatory.close()
    before = len(reports.events)
    await asyncio.sleep(0.1)
    assert len(reports.events) == before
