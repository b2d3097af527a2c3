"""What is counted and what happens in pipelines is reported as it comes, and decides nothing."""

from changeover.workers.participant import effects, events
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.counted import Counts
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.observed import PipelineEvent, PipelineEventKind, Repeated
from changeover.workers.protocol.snapshot import UnitKey, UnitKind, UnitRef
from tests.participants import JOURNAL, Bench

COUNTS = Counts(misses={"empty": 2})
KEY = UnitKey(UnitRef(UnitKind.PLUGIN, "pricing"), "9c41ab", 6)
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


def test_a_question_about_plugins_is_answered_out_of_one_read(bench: Bench) -> None:
    bench.welcome(7)
    bench.feed(events.Received(plugin_messages.AskPlugins(Stamp(JOURNAL, 1, 7), messages.UNORDERED, 5)))
    assert [answer.ticket for answer in bench.all(effects.AnswerPlugins)] == [5]


def test_a_question_about_leaks_is_answered_by_the_shell(bench: Bench) -> None:
    bench.welcome(7)
    bench.feed(events.Received(plugin_messages.AskLeaks(Stamp(JOURNAL, 1, 7), messages.UNORDERED, 5)))
    assert [answer.ticket for answer in bench.all(effects.AnswerLeaks)] == [5]


def test_what_was_proved_is_reported_and_what_is_not_gone_is_in_every_heartbeat(bench: Bench) -> None:
    leak = plugin_messages.LeakView("plugin pricing", "module pricing.py is alive", ("module shop.HOOKS",))
    bench.feed(events.Proved((KEY,), 0.02, (leak,)), events.BeatDue(leaked=1))
    [proved] = bench.said(plugin_messages.Proved)
    assert (proved.units, proved.pause, proved.leaks) == ((KEY,), 0.02, (leak,))
    assert [beat.leaked for beat in bench.said(messages.Beat)] == [1]


def test_what_happens_in_the_lives_of_plugins_is_reported(bench: Bench) -> None:
    move = plugin_messages.PluginMove(KEY, "Active")
    bench.feed(
        events.PluginsMoved((move,)),
        events.StateNotTaken("pricing", "2.0", "1.0", "why"),
        events.HookStalled("plugin pricing", "on_activate", 0.07),
    )
    assert [told.moves for told in bench.said(plugin_messages.PluginsMoved)] == [(move,)]
    [fresh] = bench.said(plugin_messages.StateNotTaken)
    assert (fresh.plugin, fresh.version, fresh.old, fresh.why) == ("pricing", "2.0", "1.0", "why")
    [stall] = bench.said(plugin_messages.HookStalled)
    assert (stall.unit, stall.hook, stall.seconds) == ("plugin pricing", "on_activate", 0.07)
