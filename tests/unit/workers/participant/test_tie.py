import msgspec
import pytest

from changeover.workers.participant import effects, events
from changeover.workers.participant.events import Timer
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.messages import Phase
from tests.participants import JOURNAL, PATIENCE, Bench, snapshot


def hellos(bench: Bench) -> int:
    return len(bench.said(messages.Hello))


def test_a_worker_says_hello_and_again_until_it_is_welcomed(bench: Bench) -> None:
    bench.feed(events.TimerFired(Timer.HELLO))
    assert hellos(bench) == 2
    bench.welcome(7)
    bench.forget()
    bench.feed(events.TimerFired(Timer.HELLO))
    assert hellos(bench) == 0


def test_broadcasts_before_the_welcome_are_kept_and_only_later_ones_replayed(bench: Bench) -> None:
    bench.hear(messages.Abort(Stamp(JOURNAL, 1, 8), 4, "old"))
    bench.hear(messages.Prepare(Stamp(JOURNAL, 1, 9), 6, snapshot(9), 60.0))
    assert bench.building() == []
    bench.welcome(None, candidate=8, seq=5)
    bench.built(8)
    assert bench.building() == [8]
    bench.abort(8)
    assert bench.building() == [8, 9]


def test_a_gap_makes_the_worker_ask_once(bench: Bench) -> None:
    bench.serve(7)
    bench.seq += 1
    bench.pulse(7)
    bench.seq += 1
    bench.pulse(7)
    assert hellos(bench) == 1


def test_a_repeat_that_comes_to_one_worker_hides_no_gap(bench: Bench) -> None:
    bench.serve(7)
    bench.next()
    bench.hear(messages.Commit(Stamp(JOURNAL, 1, 7), messages.UNORDERED))
    assert hellos(bench) == 0
    bench.pulse(7)
    assert hellos(bench) == 1


def test_a_welcome_older_than_what_was_seen_is_ignored(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.built(8)
    bench.welcome(7, seq=0)
    assert bench.machine.prepared == 8


def test_a_welcome_from_before_a_prepare_takes_nothing_back(bench: Bench) -> None:
    bench.serve(7)
    bench.hear(messages.Prepare(Stamp(JOURNAL, 1, 8), messages.UNORDERED, snapshot(8), 60.0))
    bench.built(8)
    bench.welcome(7, decided=7)
    assert bench.machine.prepared == 8


def test_a_welcome_that_says_that_the_candidate_is_decided_ends_it(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.built(8)
    bench.welcome(7, decided=8)
    assert bench.all(effects.Discard) == [effects.Discard(8)]


def test_a_later_term_is_adopted_and_the_worker_introduces_itself(bench: Bench) -> None:
    bench.serve(7)
    bench.pulse(7, term=3)
    assert [hello.stamp.term for hello in bench.said(messages.Hello)] == [3]


def test_what_a_former_supervisor_still_sends_is_without_effect(bench: Bench) -> None:
    bench.serve(7)
    bench.pulse(7, term=3)
    bench.welcome(7, term=3)
    bench.prepare(8)
    assert bench.building() == []


def test_messages_of_another_journal_or_an_older_epoch_are_without_effect(bench: Bench) -> None:
    bench.serve(7)
    bench.hear(messages.Pulse(Stamp("another", 9, 9), 99, Phase.IDLE))
    bench.hear(messages.Prepare(Stamp(JOURNAL, 1, 6), 99, snapshot(6), 60.0))
    assert bench.wanted == []


def test_an_orphan_serves_on_asks_and_leaves_in_the_end(bench: Bench) -> None:
    bench.serve(7)
    bench.feed(events.TimerFired(Timer.SILENCE))
    assert hellos(bench) == 1
    assert effects.SetTimer(Timer.ORPHAN, 60.0) in bench.wanted
    assert not bench.all(effects.LeaveGracefully)
    bench.feed(events.TimerFired(Timer.ORPHAN))
    assert bench.all(effects.LeaveGracefully)


def test_without_a_timeout_an_orphan_serves_on_for_ever() -> None:
    bench = Bench(patience=msgspec.structs.replace(PATIENCE, orphan=0.0))
    bench.serve(7)
    bench.feed(events.TimerFired(Timer.SILENCE))
    assert hellos(bench) == 1
    assert Timer.ORPHAN not in [effect.timer for effect in bench.all(effects.SetTimer)]
    assert not bench.all(effects.LeaveGracefully)


def waits(bench: Bench) -> list[float]:
    bench.feed(events.TimerFired(Timer.SILENCE))
    return [effect.after for effect in bench.all(effects.SetTimer) if effect.timer is Timer.ORPHAN]


def test_an_orphan_waits_for_the_next_program_as_long_as_it_was_told(bench: Bench) -> None:
    bench.serve(7)
    bench.pulse(7, away=90.0)
    assert waits(bench) == [90.0]
    bench.feed(events.TimerFired(Timer.ORPHAN))
    assert bench.all(effects.LeaveGracefully) == [effects.LeaveGracefully("no supervisor came for 90 s")]


def test_a_worker_that_joins_during_an_upgrade_is_told_of_it(bench: Bench) -> None:
    bench.welcome(7, away=90.0)
    bench.built(7)
    assert waits(bench) == [90.0]


@pytest.mark.parametrize(("told", "orphan"), [((30.0,), 60.0), ((90.0, 0.0), 60.0)], ids=["shorter", "called off"])
def test_an_upgrade_shortens_no_wait_and_lengthens_none_once_it_is_called_off(
    bench: Bench, told: tuple[float, ...], orphan: float
) -> None:
    bench.serve(7)
    for away in told:
        bench.pulse(7, away=away)
    assert waits(bench) == [orphan]


def test_an_orphan_that_hears_its_supervisor_again_stays(bench: Bench) -> None:
    bench.serve(7)
    bench.feed(events.TimerFired(Timer.SILENCE))
    bench.pulse(7)
    assert effects.CancelTimer(Timer.ORPHAN) in bench.wanted
    bench.feed(events.TimerFired(Timer.ORPHAN))
    assert not bench.all(effects.LeaveGracefully)


def test_a_worker_that_was_never_welcomed_leaves_at_the_first_silence(bench: Bench) -> None:
    bench.feed(events.TimerFired(Timer.SILENCE))
    assert bench.all(effects.LeaveGracefully)
