"""One worker migrates for all when it is asked, and undoes it when the candidate fails: whoever says so, and once."""

import pytest

from changeover.workers.participant import effects, events
from changeover.workers.participant.effects import Discard, Migrate, Unmigrate
from changeover.workers.participant.tenure import State as Tenure
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.participants import JOURNAL, Bench

NO = Refusal(Stage.PREPARE, Fault.CONTRACT, "no such column", unit="plugin ledger", hook="migrate")
HEIR = WorkerId(2, 1, 2_000_001)


@pytest.fixture
def bench() -> Bench:
    """A worker that serves 1 and has prepared 2, whose plugin migrates something."""
    bench = Bench()
    bench.serve(1)
    bench.prepare(2)
    bench.feed(events.Built(2, 0.2, ("ledger",)))
    return bench


def ask(bench: Bench, epoch: int = 2) -> None:
    bench.hear(plugin_messages.Migrate(Stamp(JOURNAL, 1, epoch), messages.UNORDERED))


def call_back(bench: Bench, epoch: int = 2) -> None:
    bench.hear(plugin_messages.Unmigrate(Stamp(JOURNAL, 1, epoch), messages.UNORDERED))


def done(bench: Bench) -> list[effects.Effect]:
    """What was to be done about migrating and about the candidate, in order."""
    return [effect for effect in bench.wanted if isinstance(effect, Migrate | Unmigrate | Discard)]


def test_what_migrates_is_said_with_the_vote_and_wherever_else_the_vote_is_said(bench: Bench) -> None:
    bench.feed(events.BeatDue())
    bench.pulse(1, term=2)
    assert [prepared.migrates for prepared in bench.said(messages.Prepared)] == [("ledger",)]
    assert [beat.migrates for beat in bench.said(messages.Beat)] == [("ledger",)]
    assert [(hello.prepared, hello.migrates) for hello in bench.said(messages.Hello)][-1] == (2, ("ledger",))


def test_it_migrates_once_however_often_it_is_asked_and_says_again_that_it_has(bench: Bench) -> None:
    ask(bench)
    ask(bench)
    bench.feed(events.Migrated(2, 0.7))
    ask(bench)
    assert done(bench) == [Migrate(2)]
    assert [told.took for told in bench.said(plugin_messages.Migrated)] == [0.7, 0.7]


def test_what_fails_refuses_the_candidate(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.MigrateFailed(2, NO))
    assert [(told.stamp.epoch, told.refusal) for told in bench.said(messages.Refused)] == [(2, NO)]
    call_back(bench)
    bench.feed(events.Unmigrated(2))
    call_back(bench)
    assert done(bench) == [Migrate(2), Unmigrate(2)]
    assert len(bench.said(plugin_messages.Unmigrated)) == 2


def test_what_could_not_be_undone_is_said_however_often_it_is_asked(bench: Bench) -> None:
    failed = ("plugin ledger unmigrate: ValueError: no way back",)
    ask(bench)
    bench.feed(events.MigrateFailed(2, NO))
    call_back(bench)
    bench.feed(events.Unmigrated(2, failed))
    call_back(bench)
    assert [told.failed for told in bench.said(plugin_messages.Unmigrated)] == [failed, failed]


def test_nothing_is_migrated_for_what_is_not_prepared(bench: Bench) -> None:
    ask(bench, 3)
    assert done(bench) == []


def test_a_worker_that_never_migrated_undoes_what_another_one_did(bench: Bench) -> None:
    call_back(bench)
    bench.feed(events.Unmigrated(2))
    ask(bench)
    assert done(bench) == [Unmigrate(2)]
    assert [told.stamp.epoch for told in bench.said(plugin_messages.Unmigrated)] == [2, 2]


def test_it_is_undone_after_it_has_come_to_its_end(bench: Bench) -> None:
    ask(bench)
    call_back(bench)
    bench.feed(events.Migrated(2, 0.7))
    assert not bench.said(plugin_messages.Migrated)
    bench.feed(events.Unmigrated(2))
    assert len(bench.said(plugin_messages.Unmigrated)) == 1


def test_who_migrated_undoes_it_by_itself_when_it_hears_of_the_abort_alone(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.Migrated(2, 0.7))
    assert bench.machine.undecided
    bench.abort(2)
    assert done(bench) == [Migrate(2), Unmigrate(2), Discard(2)]
    assert bench.machine.undecided
    bench.feed(events.Unmigrated(2))
    assert not bench.machine.undecided


def test_who_slept_through_the_abort_learns_of_it_by_a_welcome(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.Migrated(2, 0.7))
    bench.welcome(1, decided=2)
    assert done(bench) == [Migrate(2), Unmigrate(2), Discard(2)]


def test_a_welcome_before_the_decision_undoes_nothing(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.Migrated(2, 0.7))
    bench.welcome(1, candidate=2, decided=1)
    assert done(bench) == [Migrate(2)]


def test_what_is_committed_stays_whatever_is_heard_later(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.Migrated(2, 0.7))
    bench.commit(2)
    bench.activated(2)
    assert not bench.machine.undecided
    bench.prepare(3)
    bench.built(3)
    bench.abort(3)
    bench.welcome(2, decided=3)
    assert done(bench) == [Migrate(2), Discard(3)]


def test_a_worker_keeps_its_place_until_what_it_migrated_stands_and_is_told_again(bench: Bench) -> None:
    ask(bench)
    bench.hand_over(HEIR)
    stood = [bench.tenure]
    bench.feed(events.Migrated(2, 0.7))
    bench.hand_over(HEIR)
    stood.append(bench.tenure)
    bench.commit(2)
    assert not bench.machine.undecided
    bench.activated(2)
    bench.hand_over(HEIR)
    assert [*stood, bench.tenure] == [Tenure.HOLDING, Tenure.HOLDING, Tenure.YIELDING]
    assert done(bench) == [Migrate(2)]


def test_a_worker_keeps_its_place_until_what_it_migrated_is_undone_and_is_told_again(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.Migrated(2, 0.7))
    bench.hand_over(HEIR)
    bench.abort(2)
    bench.hand_over(HEIR)
    stood = bench.tenure
    bench.feed(events.Unmigrated(2))
    bench.hand_over(HEIR)
    assert (stood, bench.tenure) == (Tenure.HOLDING, Tenure.YIELDING)
    assert done(bench) == [Migrate(2), Unmigrate(2), Discard(2)]


def test_a_roll_that_was_committed_later_is_not_kept_waiting_for_what_is_not_heard_any_more(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.Migrated(2, 0.7))
    bench.welcome(3, decided=3, rolled=3, successors=(HEIR,))
    assert bench.tenure is Tenure.YIELDING


def test_a_worker_that_never_served_what_it_migrated_knows_that_it_stands(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.Migrated(2, 0.7))
    bench.pulse(2)
    assert (bench.machine.serving, bench.machine.undecided) == (1, False)
    bench.abort(2)
    assert done(bench) == [Migrate(2)]


def test_the_next_candidate_begins_anew(bench: Bench) -> None:
    ask(bench)
    bench.feed(events.MigrateFailed(2, NO))
    call_back(bench)
    bench.feed(events.Unmigrated(2))
    bench.abort(2)
    bench.prepare(3)
    bench.feed(events.Built(3, 0.2, ("ledger",)))
    ask(bench, 3)
    bench.feed(events.Migrated(3, 0.1))
    assert [told.stamp.epoch for told in bench.said(plugin_messages.Migrated)] == [3]
