"""What is counted and what happens in pipelines is reported as it comes, and decides nothing."""

from changeover.workers.participant import effects, events
from changeover.workers.protocol import messages
from changeover.workers.protocol.counted import Counts
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.observed import PipelineEvent, PipelineEventKind, Repeated
from tests.participants import JOURNAL, Bench

COUNTS = Counts(misses={"empty": 2})
DRAINED = (Repeated(PipelineEvent(PipelineEventKind.DRAINED, "shop"), 1),)


def test_counts_and_events_are_reported_with_what_serves(bench: Bench) -> None:
    bench.welcome(7)
    bench.built(7)
    bench.activated(7)
    bench.feed(events.CountsDue(COUNTS), events.PipelineEventsDue(DRAINED))
    [counted] = bench.said(messages.Counted)
    assert (counted.counts, counted.stamp.epoch) == (COUNTS, 7)
    assert [told.events for told in bench.said(messages.PipelineEventsTold)] == [DRAINED]


def test_a_question_about_pipelines_is_answered_out_of_one_read(bench: Bench) -> None:
    bench.welcome(7)
    bench.feed(events.Received(messages.AskPipelines(Stamp(JOURNAL, 1, 7), messages.UNORDERED, 5)))
    assert [answer.ticket for answer in bench.all(effects.AnswerPipelines)] == [5]
