"""What workers count and tell of pipelines passes through the core, which decides nothing by it."""

import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.events import Question
from changeover.supervisor.core.records.pipeline import PipelineEventTold
from changeover.supervisor.core.records.service import PeerIgnored
from changeover.supervisor.core.records.worker import FarewellsSaid
from changeover.workers.protocol import messages
from changeover.workers.protocol.counted import Counts
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Farewell
from changeover.workers.protocol.observed import PipelineEvent, PipelineEventKind, Repeated
from tests.machines import Bench

COUNTS = Counts(misses={"not_found": 3})
FAILED = PipelineEvent(PipelineEventKind.HANDLER_FAILED, "shop", "pricing:discount", "KeyError: 'EUR'")


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    return bench


def taken(bench: Bench) -> list[effects.TakeCounts]:
    return bench.all(effects.TakeCounts)


def test_what_a_worker_counted_is_kept(bench: Bench) -> None:
    worker = bench.living()[0]
    bench.hear(worker, messages.Counted, 1, COUNTS)
    assert taken(bench) == [effects.TakeCounts(worker, COUNTS)]


def test_an_answer_about_pipelines_is_handed_on_with_its_counts(bench: Bench) -> None:
    worker = bench.living()[1]
    bench.feed(events.Asked(7, worker.slot, Question.PIPELINES))
    assert [asked.ticket for asked in bench.said(messages.AskPipelines)] == [7]
    bench.hear(worker, messages.TellPipelines, 1, 7, 1, (), COUNTS)
    assert taken(bench) == [effects.TakeCounts(worker, COUNTS)]
    assert [answer.ticket for answer in bench.all(effects.Answer)] == [7]


def test_the_last_words_of_a_worker_whose_death_was_seen_before_them_are_kept(bench: Bench) -> None:
    worker = bench.living()[0]
    bench.feed(events.WorkerExited(worker, 0))
    bench.hear(worker, messages.Counted, 1, COUNTS)
    assert taken(bench) == [effects.TakeCounts(worker, COUNTS, late=True)]
    assert bench.told(PeerIgnored) == []


def test_what_such_a_worker_told_at_last_is_told(bench: Bench) -> None:
    worker = bench.living()[0]
    bench.feed(events.WorkerExited(worker, 0))
    bench.hear(worker, messages.FarewellsSaid, 1, "http", Farewell.OVERDUE, 1, 0.5)
    bench.hear(worker, messages.PipelineEventsTold, 1, (Repeated(FAILED, 12),))
    assert bench.told(FarewellsSaid) == [FarewellsSaid(worker, 0, "http", Farewell.OVERDUE, 1, 0.5)]
    assert [(each.worker, each.pid, each.count) for each in bench.told(PipelineEventTold)] == [(worker, 0, 12)]
    assert bench.told(PeerIgnored) == []


def test_what_such_a_worker_said_of_a_cutover_has_no_effect(bench: Bench) -> None:
    worker = bench.living()[0]
    bench.feed(events.WorkerExited(worker, 0))
    bench.hear(worker, messages.Yielding, 1)
    assert [ignored.why for ignored in bench.told(PeerIgnored)] == ["unknown worker"]


def test_what_somebody_counted_who_is_no_worker_of_ours_has_no_effect(bench: Bench) -> None:
    bench.hear(WorkerId(9, 0, 999), messages.Counted, 1, COUNTS)
    assert taken(bench) == []
    assert [ignored.why for ignored in bench.told(PeerIgnored)] == ["unknown worker"]


def test_each_event_becomes_a_record_that_says_who_and_how_often(bench: Bench) -> None:
    worker = bench.living()[0]
    bench.hear(worker, messages.PipelineEventsTold, 1, (Repeated(FAILED, 1), Repeated(FAILED, 12)))
    told = bench.told(PipelineEventTold)
    assert [(record.worker, record.subject, record.count) for record in told] == [
        (worker, "pricing:discount", 1),
        (worker, "pricing:discount", 12),
    ]
