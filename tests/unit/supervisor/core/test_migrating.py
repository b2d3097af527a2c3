"""Between the last vote and the decision one worker migrates what all share; what fails then is undone, and aborted."""

import msgspec
import pytest

from changeover.supervisor.core import events
from changeover.supervisor.core.cutover import State
from changeover.supervisor.core.effects import Broadcast, Persist, ProcessSignal, Signal, Unicast
from changeover.supervisor.core.entries import Aborted, Committed
from changeover.supervisor.core.events import Timer, TimerKind, Urgency
from changeover.supervisor.core.outcome import CutoverRequest, Refused, Strategy
from changeover.supervisor.core.records.plugin import MigrationBegan, MigrationDone, MigrationLeft, MigrationUndone
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.plugin_messages import Migrate, Unmigrate
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.machines import JOURNAL, RELOAD, Bench, snapshot

LEDGER = ("ledger",)
NO = Refusal(Stage.PREPARE, Fault.CONTRACT, "no such column", unit="plugin ledger", hook="migrate")


@pytest.fixture
def bench() -> Bench:
    """Three workers that serve 1 and are asked for 2."""
    bench = Bench()
    bench.come_up(3)
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    return bench


def prepare(bench: Bench, epoch: int = 2) -> None:
    """Every worker prepares what migrates something; the one in slot 0 last."""
    for worker in reversed(bench.living()):
        bench.hear(worker, messages.Prepared, epoch, 0.1, LEDGER)


def migrated(bench: Bench, worker: WorkerId, epoch: int = 2) -> None:
    bench.feed(events.Received(plugin_messages.Migrated(Stamp(JOURNAL, bench.view.term, epoch), worker, 0.4)))


def unmigrated(bench: Bench, worker: WorkerId, epoch: int = 2, failed: tuple[str, ...] = ()) -> None:
    bench.feed(events.Received(plugin_messages.Unmigrated(Stamp(JOURNAL, bench.view.term, epoch), worker, failed)))


def asked(bench: Bench, kind: type[Migrate] | type[Unmigrate]) -> list[int]:
    """The slots that were asked, each time."""
    return [each.worker.slot for each in bench.all(Unicast) if isinstance(each.message, kind)]


def reason(bench: Bench) -> str:
    outcome = bench.outcomes()[1]
    assert isinstance(outcome, Refused)
    return outcome.reason


def test_the_worker_in_the_lowest_slot_migrates_when_all_have_prepared_and_then_it_is_committed(bench: Bench) -> None:
    for worker in bench.living()[1:]:
        bench.hear(worker, messages.Prepared, 2, 0.1, LEDGER)
    assert not bench.said(Migrate)
    bench.hear(bench.workers[0], messages.Prepared, 2, 0.1, LEDGER)
    assert asked(bench, Migrate) == [0]
    assert bench.view.cutover is State.MIGRATING
    assert not [entry for entry in bench.entries() if isinstance(entry, Committed)]
    migrated(bench, bench.workers[0])
    assert Committed(2) in bench.entries()
    [began], [done] = bench.told(MigrationBegan), bench.told(MigrationDone)
    assert (began.plugins, done.worker.slot, done.took) == (LEDGER, 0, 0.4)


def test_nobody_is_asked_where_nothing_migrates(bench: Bench) -> None:
    bench.prepare(2)
    assert not bench.said(Migrate)
    assert Committed(2) in bench.entries()


def test_a_vote_that_only_a_heartbeat_tells_says_what_migrates_as_well(bench: Bench) -> None:
    for worker in bench.living():
        beat = messages.Beat(Stamp(JOURNAL, bench.view.term, 1), worker, 0, prepared=2, migrates=LEDGER)
        bench.feed(events.Received(beat))
    assert asked(bench, Migrate) == [0]


def test_another_worker_s_word_for_it_means_nothing(bench: Bench) -> None:
    prepare(bench)
    migrated(bench, bench.workers[1])
    assert bench.view.cutover is State.MIGRATING


def test_it_is_asked_again_until_it_answers(bench: Bench) -> None:
    prepare(bench)
    bench.fire(Timer(TimerKind.REPEAT))
    assert asked(bench, Migrate) == [0, 0]


def test_what_is_refused_is_undone_before_it_is_aborted(bench: Bench) -> None:
    prepare(bench)
    bench.hear(bench.workers[0], messages.Refused, 2, NO)
    assert asked(bench, Unmigrate) == [0]
    assert bench.view.cutover is State.UNMIGRATING
    assert not [entry for entry in bench.entries() if isinstance(entry, Aborted)]
    bench.fire(Timer(TimerKind.REPEAT))
    assert asked(bench, Unmigrate) == [0, 0]
    unmigrated(bench, bench.workers[0])
    assert [entry.epoch for entry in bench.entries() if isinstance(entry, Aborted)] == [2]
    assert reason(bench) == "slot 0: plugin ledger migrate: no such column"
    assert [told.worker.slot for told in bench.told(MigrationUndone)] == [0]


def test_what_could_not_be_undone_is_told_as_left_and_the_cutover_is_aborted_all_the_same(bench: Bench) -> None:
    prepare(bench)
    bench.hear(bench.workers[0], messages.Refused, 2, NO)
    unmigrated(bench, bench.workers[0], failed=("plugin ledger unmigrate: ValueError: no way back",))
    assert [entry.epoch for entry in bench.entries() if isinstance(entry, Aborted)] == [2]
    assert bench.told(MigrationUndone) == []
    [left] = bench.told(MigrationLeft)
    assert (left.epoch, left.reason) == (2, "slot 0: plugin ledger unmigrate: ValueError: no way back")


def test_the_death_of_who_migrates_aborts_and_the_next_one_undoes_it(bench: Bench) -> None:
    prepare(bench)
    first, second = bench.workers[:2]
    bench.feed(events.WorkerExited(first, -9))
    assert asked(bench, Unmigrate) == [1]
    unmigrated(bench, second)
    assert reason(bench) == "slot 0: was ended by signal 9"


def test_the_death_of_who_undoes_it_passes_that_on_as_long_as_anybody_lives(bench: Bench) -> None:
    prepare(bench)
    for worker in bench.workers[:3]:
        bench.feed(events.WorkerExited(worker, -9))
    assert asked(bench, Unmigrate) == [1, 2]
    [left] = bench.told(MigrationLeft)
    assert (left.epoch, left.reason) == (2, "no worker lives that holds the candidate")
    assert reason(bench) == "slot 0: was ended by signal 9"


def test_the_death_of_another_voter_is_a_no_as_it_was_before(bench: Bench) -> None:
    prepare(bench)
    bench.feed(events.WorkerExited(bench.workers[2], -11))
    assert asked(bench, Unmigrate) == [0]
    unmigrated(bench, bench.workers[0])
    assert reason(bench) == "slot 2: was ended by signal 11"


def test_silence_refuses_and_who_is_silent_is_asked_to_undo_it(bench: Bench) -> None:
    prepare(bench)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    assert asked(bench, Unmigrate) == [0]
    bench.fire(Timer(TimerKind.PREPARE, 2))
    assert reason(bench) == "slot 0: did not migrate within 60 s"
    assert [left.epoch for left in bench.told(MigrationLeft)] == [2]


@pytest.mark.parametrize("failed", [(), ("plugin ledger unmigrate: ValueError: no way back",)])
def test_undoing_that_outlasts_its_deadline_is_told_as_that_and_how_it_ended_when_it_has(
    bench: Bench, failed: tuple[str, ...]
) -> None:
    prepare(bench)
    bench.hear(bench.workers[0], messages.Refused, 2, NO)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    assert [entry.epoch for entry in bench.entries() if isinstance(entry, Aborted)] == [2]
    [left] = bench.told(MigrationLeft)
    assert left.reason == "slot 0 has not said within 60 s that it is, and may be undoing it still"
    assert not bench.told(MigrationUndone)
    unmigrated(bench, bench.workers[0], failed=failed)
    assert [told.worker.slot for told in bench.told(MigrationUndone)] == ([] if failed else [0])
    assert [left.reason for left in bench.told(MigrationLeft)[1:]] == [f"slot 0: {why}" for why in failed]


def test_who_dies_over_undoing_that_outlasts_its_deadline_is_told(bench: Bench) -> None:
    prepare(bench)
    bench.hear(bench.workers[0], messages.Refused, 2, NO)
    bench.fire(Timer(TimerKind.PREPARE, 2))
    bench.feed(events.WorkerExited(bench.workers[0], -9))
    assert [left.epoch for left in bench.told(MigrationLeft)] == [2, 2]
    assert "died before it had undone it" in bench.told(MigrationLeft)[-1].reason


def test_a_worker_that_yields_leaves_the_undoing_to_another(bench: Bench) -> None:
    prepare(bench)
    bench.hear(bench.workers[0], messages.Yielding, 1)
    assert asked(bench, Unmigrate) == [1]
    assert bench.view.cutover is State.UNMIGRATING


def test_a_stop_has_it_undone_first(bench: Bench) -> None:
    prepare(bench)
    bench.feed(events.StopRequested(Urgency.GRACEFUL))
    assert asked(bench, Unmigrate) == [0]
    unmigrated(bench, bench.workers[0])
    assert "the service is stopping" in reason(bench)


def test_an_abort_that_only_the_journal_could_tell_is_undone_after_it_is_on_disk(bench: Bench) -> None:
    prepare(bench)
    bench.writes = False
    migrated(bench, bench.workers[0])
    [ticket] = [each.ticket for each in bench.all(Persist) if each.entry == Committed(2)]
    bench.feed(events.PersistFailed(ticket, "no space"), events.Reread(2, None))
    assert not bench.said(Unmigrate)
    bench.writes = True
    [ticket] = [each.ticket for each in bench.all(Persist) if isinstance(each.entry, Aborted)]
    bench.feed(events.Persisted(ticket))
    assert asked(bench, Unmigrate) == [0]
    kinds = [type(each.message) for each in bench.wanted if isinstance(each, Unicast | Broadcast)]
    assert kinds.index(Unmigrate) < kinds.index(messages.Abort)


def doubt(bench: Bench, worker: WorkerId) -> None:
    """Everything is migrated, and only the journal can tell that it is not committed."""
    bench.writes = False
    migrated(bench, worker)
    [ticket] = [each.ticket for each in bench.all(Persist) if each.entry == Committed(2)]
    bench.feed(events.PersistFailed(ticket, "no space"), events.Reread(2, None))
    bench.writes = True
    [ticket] = [each.ticket for each in bench.all(Persist) if isinstance(each.entry, Aborted)]
    bench.feed(events.Persisted(ticket))


def test_what_is_undone_after_the_abort_is_told(bench: Bench) -> None:
    prepare(bench)
    doubt(bench, bench.workers[0])
    unmigrated(bench, bench.workers[0])
    bench.feed(events.WorkerExited(bench.workers[0], 0))
    assert [told.worker for told in bench.told(MigrationUndone)] == [bench.workers[0]]
    assert not bench.told(MigrationLeft)


def test_who_dies_before_it_has_undone_it_after_the_abort_leaves_it_and_that_is_told(bench: Bench) -> None:
    prepare(bench)
    doubt(bench, bench.workers[0])
    bench.feed(events.WorkerExited(bench.workers[1], -9))
    assert not bench.told(MigrationLeft)
    bench.feed(events.WorkerExited(bench.workers[0], -9))
    [left] = bench.told(MigrationLeft)
    assert (left.epoch, "died before it had undone it" in left.reason) == (2, True)


def test_the_processes_of_a_roll_have_time_to_undo_what_is_aborted_after_a_doubt() -> None:
    bench = Bench()
    bench.come_up()
    bench.feed(events.CutoverRequested(1, msgspec.structs.replace(RELOAD, strategy=Strategy.ROLL)))
    bench.find(snapshot(2, rolled=2))
    fresh = [worker for worker in bench.living() if worker not in bench.workers[:2]]
    for worker in fresh:
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 2, 0.1, LEDGER)
    for worker in bench.workers[:2]:
        bench.hear(worker, messages.Prepared, 2)
    doubt(bench, fresh[0])
    told = {(each.worker, each.signal) for each in bench.all(Signal)}
    assert told == {(worker, ProcessSignal.TERM) for worker in fresh}


def test_a_roll_has_one_of_its_own_workers_migrate_when_those_that_it_replaces_have_agreed() -> None:
    bench = Bench()
    bench.come_up()
    bench.feed(events.CutoverRequested(1, msgspec.structs.replace(RELOAD, strategy=Strategy.ROLL)))
    bench.find(snapshot(2, rolled=2))
    fresh = [worker for worker in bench.living() if worker not in bench.workers[:2]]
    for worker in fresh:
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 2, 0.1, LEDGER)
    assert not bench.said(Migrate)
    for worker in bench.workers[:2]:
        bench.hear(worker, messages.Prepared, 2)
    assert asked(bench, Migrate) == [min(worker.slot for worker in fresh)]
    bench.hear(fresh[0], messages.Refused, 2, NO)
    assert [worker for worker in fresh if worker not in bench.living()] == []
    unmigrated(bench, fresh[0])
    assert isinstance(bench.outcomes()[1], Refused)


def test_a_roll_in_parts_is_refused_with_what_to_do() -> None:
    bench = Bench()
    bench.come_up(3)
    wish = CutoverRequest(RELOAD.origin, strategy=Strategy.ROLL, surge=1, allow_partial=True)
    bench.feed(events.CutoverRequested(1, wish))
    bench.find(snapshot(2, rolled=2))
    for worker in bench.living():
        bench.greet(worker)
        bench.hear(worker, messages.Prepared, 2, 0.1, LEDGER if worker not in bench.workers[:3] else ())
    assert not bench.said(Migrate)
    assert "roll without --allow-partial" in reason(bench)


def test_a_death_that_may_be_of_what_serves_fails_it_too_as_nobody_has_that_vote_any_more() -> None:
    bench = Bench()
    bench.come_up(3)
    lost = bench.living()[2]
    bench.feed(events.WorkerExited(lost, -11))
    bench.fire(Timer(TimerKind.CHILD, 2))
    bench.be_born()
    [again] = [worker for worker in bench.living() if worker.slot == 2]
    bench.greet(again)
    bench.hear(again, messages.Activated, 1)
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2))
    prepare(bench)
    assert asked(bench, Migrate) == [0]
    bench.feed(events.WorkerExited(again, -11))
    assert bench.view.cutover is State.UNMIGRATING
    unmigrated(bench, bench.living()[0])
    assert reason(bench) == "slot 2: was ended by signal 11"
    assert not [entry for entry in bench.entries() if isinstance(entry, Committed) and entry.epoch == 2]
