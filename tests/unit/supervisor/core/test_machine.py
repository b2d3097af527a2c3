import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.entries import EpochRaised, Recovered
from changeover.supervisor.core.events import Question, Timer, TimerKind
from changeover.supervisor.core.machine import Machine
from changeover.supervisor.core.policy import Policy
from changeover.supervisor.core.records.plugin import HookStalled, PluginsMoved, StateNotTaken
from changeover.supervisor.core.records.retirement import LeakFound, LeasesEnded, ReleaseProved
from changeover.supervisor.core.records.service import PeerIgnored
from changeover.supervisor.core.records.worker import FarewellsSaid, WorkerHeard, WorkerKilled, WorkerSilent
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.messages import PROTOCOL_VERSION, Farewell, LeaseView
from changeover.workers.protocol.table import BugFound
from tests.machines import JOURNAL, RELOAD, Bench, snapshot


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.come_up()
    return bench


def test_nothing_is_handled_before_booted() -> None:
    with pytest.raises(BugFound, match="asleep"):
        Machine(Policy()).handle(events.StopRequested(), 0.0)


def test_booted_comes_once(bench: Bench) -> None:
    with pytest.raises(BugFound, match="awake"):
        bench.feed(events.Booted(Recovered(JOURNAL), 1, "s"))


@pytest.mark.parametrize(
    ("stamp", "why"),
    [
        (Stamp("another", 1, 1), "foreign journal"),
        (Stamp(JOURNAL, 0, 1), "stale term"),
    ],
)
def test_a_foreign_or_stale_message_is_counted_and_without_effect(bench: Bench, stamp: Stamp, why: str) -> None:
    before = bench.view
    for _ in range(2):
        bench.feed(events.Received(messages.Beat(stamp, bench.workers[0], 1)))
    assert [(ignored.why, ignored.count) for ignored in bench.told(PeerIgnored)] == [(why, 1), (why, 2)]
    assert bench.view == before


def test_a_hello_without_the_right_nonce_is_without_effect(bench: Bench) -> None:
    bench.hear(bench.workers[0], messages.Hello, 1, PROTOCOL_VERSION, "guessed", 1)
    assert [ignored.why for ignored in bench.told(PeerIgnored)] == ["wrong nonce"]
    assert not bench.said(messages.Welcome)


def test_a_worker_of_another_protocol_version_is_not_served() -> None:
    from changeover.supervisor.core.children import nonce
    from tests.machines import SECRET

    bench = Bench()
    bench.boot()
    bench.find(snapshot(1))
    worker = bench.workers[0]
    bench.hear(worker, messages.Hello, 0, PROTOCOL_VERSION + 1, nonce(SECRET, worker), 1)
    assert not bench.said(messages.Welcome)
    bench.feed(events.StacksDumped(worker, ""))
    assert "speaks protocol" in bench.told(WorkerKilled)[0].reason


def test_an_epoch_that_only_a_worker_knows_is_written_before_a_number_is_given(bench: Bench) -> None:
    bench.writes = False
    bench.greet(bench.workers[0], epoch=12)
    assert bench.entries() == [EpochRaised(12)]
    bench.feed(events.CutoverRequested(1, RELOAD))
    assert not bench.all(effects.Scan)
    bench.feed(events.Persisted(bench.all(effects.Persist)[-1].ticket))
    assert [scan.epoch for scan in bench.all(effects.Scan)] == [13]


def test_a_later_term_that_a_worker_knows_is_outranked_on_disk_first(bench: Bench) -> None:
    bench.writes = False
    bench.feed(events.Received(messages.Beat(Stamp(JOURNAL, 5, 1), bench.workers[0], 1)))
    assert bench.view.term == 6
    bench.feed(events.CutoverRequested(1, RELOAD))
    assert not bench.all(effects.Scan)
    bench.feed(events.Persisted(bench.all(effects.Persist)[-1].ticket))
    assert bench.all(effects.Scan)


def test_a_question_is_handed_on_and_its_answer_too(bench: Bench) -> None:
    worker = bench.workers[1]
    bench.feed(events.Asked(7, 1, Question.LEASES))
    asked = [effect for effect in bench.all(effects.Unicast) if isinstance(effect.message, messages.AskLeases)]
    assert [(effect.worker, effect.message.seq) for effect in asked] == [(worker, messages.UNORDERED)]
    bench.hear(worker, messages.TellLeases, 1, 7, ())
    assert [answer.ticket for answer in bench.all(effects.Answer)] == [7]


def test_a_question_to_an_empty_slot_is_answered_at_once(bench: Bench) -> None:
    bench.feed(events.Asked(7, 9, Question.REGISTRY))
    assert bench.all(effects.Answer) == [effects.Answer(7, None)]


def test_silence_is_told_once_and_so_is_its_end(bench: Bench) -> None:
    for _ in range(3):
        bench.now += 2.0
        bench.fire(Timer(TimerKind.HEARTBEAT))
    assert [silent.worker for silent in bench.told(WorkerSilent)] == bench.workers
    bench.hear(bench.workers[0], messages.Beat, 1, 4)
    assert [heard.worker for heard in bench.told(WorkerHeard)] == [bench.workers[0]]


def test_the_view_shows_every_slot_with_its_last_heartbeat(bench: Bench) -> None:
    bench.hear(bench.workers[0], messages.Beat, 1, 4, None, {1: 3}, 9, 100, 2048)
    first, second = bench.view.slots
    assert first.beat is not None
    assert (first.beat.leases, first.beat.connections, first.epoch) == ({1: 3}, 9, 1)
    assert second.beat is None
    assert bench.view.committed == snapshot(1)


def test_the_same_events_give_the_same_effects() -> None:
    one, two = Bench(), Bench()
    one.come_up()
    two.come_up()
    for bench in (one, two):
        bench.feed(events.CutoverRequested(1, RELOAD))
        bench.find(snapshot(2))
        bench.prepare(2)
    assert one.wanted == two.wanted


def test_leases_that_a_worker_ended_are_told_with_who_and_why(bench: Bench) -> None:
    worker, ended = bench.workers[0], (LeaseView("http", 1, "/slow", 12.0),)
    bench.hear(worker, messages.LeasesEnded, 1, 2, ended, ())
    assert bench.told(LeasesEnded) == [LeasesEnded(worker, 100 + worker.slot, 1, 2, ended)]


def test_what_happens_in_the_lives_of_plugins_is_told_with_who_says_so(bench: Bench) -> None:
    worker, moves = bench.workers[0], (plugin_messages.PluginMove(snapshot(1).units[0].key, "Active"),)
    who = worker, 100 + worker.slot
    stamp = Stamp(JOURNAL, bench.view.term, 1)
    bench.feed(
        events.Received(plugin_messages.PluginsMoved(stamp, worker, moves)),
        events.Received(plugin_messages.StateNotTaken(stamp, worker, "pricing", "2.0", "1.0", "why")),
        events.Received(plugin_messages.HookStalled(stamp, worker, "plugin pricing", "on_load", 0.07)),
    )
    assert bench.told(PluginsMoved) == [PluginsMoved(*who, moves)]
    assert bench.told(StateNotTaken) == [StateNotTaken(*who, "pricing", "2.0", "1.0", "why")]
    assert bench.told(HookStalled) == [HookStalled(*who, "plugin pricing", "on_load", 0.07)]


def test_what_a_worker_proves_is_told_and_every_leak_by_itself(bench: Bench) -> None:
    worker, units = bench.workers[0], (snapshot(1).units[0].key,)
    leak = plugin_messages.LeakView("plugin pricing", "module pricing.py is alive", ("module shop.HOOKS",))
    stamp = Stamp(JOURNAL, bench.view.term, 1)
    bench.feed(
        events.Received(plugin_messages.Proved(stamp, worker, units, 0.02)),
        events.Received(plugin_messages.Proved(stamp, worker, units, 0.01, (leak,))),
    )
    who = worker, 100 + worker.slot
    assert bench.told(ReleaseProved) == [ReleaseProved(*who, units, 0.02), ReleaseProved(*who, units, 0.01, 1)]
    assert bench.told(LeakFound) == [LeakFound(*who, leak.unit, leak.what, leak.chain)]


def test_a_question_about_leaks_is_handed_on_and_its_answer_too(bench: Bench) -> None:
    bench.feed(events.Asked(7, 1, Question.LEAKS))
    asked = [each for each in bench.all(effects.Unicast) if isinstance(each.message, plugin_messages.AskLeaks)]
    assert [effect.worker for effect in asked] == [bench.workers[1]]
    stamp = Stamp(JOURNAL, bench.view.term, 1)
    bench.feed(events.Received(plugin_messages.TellLeaks(stamp, bench.workers[1], 7, (), {})))
    assert [answer.ticket for answer in bench.all(effects.Answer)] == [7]


def test_what_a_leaving_worker_could_not_hand_over_is_told_with_its_class_its_age_and_its_number(bench: Bench) -> None:
    worker = bench.workers[0]
    bench.hear(worker, messages.FarewellsSaid, 1, "stream", Farewell.OVERDUE, 40, 612.0)
    told = FarewellsSaid(worker, 100 + worker.slot, "stream", Farewell.OVERDUE, 40, 612.0)
    assert bench.told(FarewellsSaid) == [told]
