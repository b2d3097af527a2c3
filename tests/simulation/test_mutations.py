"""Each starred promise is broken on purpose, here and not in the product, and the simulation notices.

A check that cannot fail proves nothing: every test puts one wrong line in the place of a right one.
"""

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
import pytest

from changeover.supervisor.core import holding, tally
from changeover.supervisor.core.activation import Activation
from changeover.supervisor.core.cutover import Cause
from changeover.supervisor.core.deciding import Deciding
from changeover.supervisor.core.effects import StoreCell
from changeover.supervisor.core.entries import Committed, SlotRefusal
from changeover.supervisor.core.events import PreflightPassed
from changeover.supervisor.core.ledger import Ledger
from changeover.supervisor.core.migrating import Migrating
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.rehearsing import Rehearsing
from changeover.supervisor.core.retirement import Retirement
from changeover.supervisor.core.roster import Member, Roster
from changeover.supervisor.core.run import Run
from changeover.supervisor.core.succession import Succession
from changeover.supervisor.core.tally import Verdict
from changeover.supervisor.core.voting import Voting
from changeover.supervisor.core.zygotes import Zygotes
from changeover.workers.generation.drain import Drains
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.message.session import Session
from changeover.workers.message.site import MessageTarget
from changeover.workers.participant import events
from changeover.workers.participant.bench import Bench
from changeover.workers.participant.effects import Activate, Migrate
from changeover.workers.participant.migration import Migration
from changeover.workers.participant.residency import Residency
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.snapshot import Snapshot, UnitKey
from changeover.workers.runtime.farewells import Farewells
from changeover.workers.serving.lease import Lease, LeaseKind
from tests.simulation.invariants import PromiseBroken
from tests.simulation.runner import ScheduleFailed, run
from tests.simulation.sessions import Sessions
from tests.simulation.worker import Word, Worker

ENOUGH = 3000
"""Schedules in which the rarest of these faults shows many times."""


def promise_that_broke(enough: int = ENOUGH) -> int:
    """The number of the first promise that a schedule finds broken."""
    for seed in range(enough):
        try:
            run(seed)
        except ScheduleFailed as failure:
            if isinstance(failure.error, PromiseBroken):
                return failure.error.number
    raise AssertionError(f"{enough} schedules noticed nothing")


def test_promise_1_acting_on_a_decision_that_is_not_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = Deciding.commit

    def at_once(self: Deciding, run: Run, cause: Cause) -> None:
        commit(self, run, cause)
        self.written(Committed(run.epoch))

    monkeypatch.setattr(Deciding, "commit", at_once)
    assert promise_that_broke() == 1


def test_promise_1_giving_a_number_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_again(self: Ledger) -> int:
        return self.given + 1

    monkeypatch.setattr(Ledger, "give", give_again)
    assert promise_that_broke() == 1


def test_promise_1_a_restarted_supervisor_that_forgets_what_was_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Ledger.__init__

    def forgetful(self: Ledger, recovered: Any) -> None:
        begin(self, recovered)
        self.given = 0 if recovered.committed is None else recovered.committed.epoch

    monkeypatch.setattr(Ledger, "__init__", forgetful)
    assert promise_that_broke() == 1


def test_promise_11_a_restarted_supervisor_that_forgets_what_was_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Ledger.__init__

    def forgetful(self: Ledger, recovered: Any) -> None:
        begin(self, recovered)
        self.held = frozenset()

    monkeypatch.setattr(Ledger, "__init__", forgetful)
    assert promise_that_broke() == 11


def test_promise_8_workers_that_are_asked_before_anybody_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rehearsing, "_is_wanted", lambda self, run, candidate: False)
    assert promise_that_broke() == 8


def test_promise_8_workers_of_a_roll_that_are_there_before_anybody_rehearsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Succession, "preload", Succession.begin)
    assert promise_that_broke() == 8


def test_promise_8_a_refused_rehearsal_that_counts_as_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    def go_on(self: Rehearsing, epoch: int, refusals: tuple[SlotRefusal, ...]) -> None:
        self.passed(PreflightPassed(epoch))

    monkeypatch.setattr(Rehearsing, "refused", go_on)
    assert promise_that_broke() == 8


def test_promise_8_a_rehearsal_that_nobody_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rehearsing, "stop", lambda self, run: None)
    assert promise_that_broke() == 8


def test_promise_11_a_change_elsewhere_that_lifts_every_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holding, "after_reload", lambda *_: frozenset())
    assert promise_that_broke() == 11


def test_promise_2_a_majority_instead_of_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    def majority(voters: AbstractSet[int], prepared: AbstractSet[int], refused: AbstractSet[int]) -> Verdict:
        if refused:
            return Verdict.REFUSED
        return Verdict.UNANIMOUS if 2 * len(voters & prepared) > len(voters) else Verdict.PENDING

    monkeypatch.setattr(tally, "count", majority)
    assert promise_that_broke() == 2


def test_promise_2_a_refusal_that_counts_as_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def any_answer(voters: AbstractSet[int], prepared: AbstractSet[int], refused: AbstractSet[int]) -> Verdict:
        return Verdict.UNANIMOUS if voters <= prepared | refused else Verdict.PENDING

    monkeypatch.setattr(tally, "count", any_answer)
    assert promise_that_broke() == 2


def test_promise_2_silence_taken_for_death(monkeypatch: pytest.MonkeyPatch) -> None:
    count = tally.count

    def only_the_loud(voters: AbstractSet[int], prepared: AbstractSet[int], refused: AbstractSet[int]) -> Verdict:
        return count(voters & prepared if len(prepared) >= 2 else voters, prepared, refused)

    monkeypatch.setattr(tally, "count", only_the_loud)
    assert promise_that_broke() == 2


def test_promise_2_telling_the_outcome_before_everybody_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody_is_late(self: Activation, run: Run) -> bool:
        return False

    monkeypatch.setattr(Activation, "late", nobody_is_late)
    assert promise_that_broke() == 2


def test_promise_3_dispatching_without_a_look_at_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(self: Switch) -> Generation:
        return self.current

    monkeypatch.setattr(Switch, "admit", blind)
    assert promise_that_broke() == 3


def test_promise_3_telling_workers_and_not_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Outbox.put

    def all_but_the_cell(self: Outbox, effect: Any) -> None:
        if not isinstance(effect, StoreCell):
            put(self, effect)

    monkeypatch.setattr(Outbox, "put", all_but_the_cell)
    assert promise_that_broke() == 3


def test_promise_3_serving_what_is_only_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    built = Bench.built

    def too_eager(self: Bench, epoch: int, took: float, migrates: tuple[str, ...]) -> None:
        built(self, epoch, took, migrates)
        if self.prepared == epoch:
            self._desk.put(Activate(epoch))

    monkeypatch.setattr(Bench, "built", too_eager)
    assert promise_that_broke() in (2, 3)


def test_promise_2_a_roll_that_does_not_ask_those_whom_it_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Succession, "all_voters", Succession.first_voters)
    assert promise_that_broke() == 2


def test_promise_3_an_old_worker_that_serves_on_after_a_roll(monkeypatch: pytest.MonkeyPatch) -> None:
    admit = Switch.admit

    def stubborn(self: Switch) -> Generation | None:
        return admit(self) or (self.current if self.prepared is None else None)

    monkeypatch.setattr(Switch, "admit", stubborn)
    assert promise_that_broke() == 3


def test_promise_4_units_that_go_while_a_request_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(self: Worker) -> None:
        idle, self.draining = tuple(self.draining), {}
        if idle:
            self.feed(events.UnitsDrained(idle))

    monkeypatch.setattr(Worker, "_sweep", careless)
    assert promise_that_broke() == 4


def test_promise_4_websockets_that_end_before_their_deadline_in_a_roll(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Farewells.begin

    def spread_before(self: Farewells) -> None:
        begin(self)
        self._expect_ends(LeaseKind.WEBSOCKET, (LeaseKind.WEBSOCKET,))

    monkeypatch.setattr(Farewells, "begin", spread_before)
    assert promise_that_broke() == 4


def test_promise_4_a_drain_deadline_that_ends_websockets_in_a_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    switched = Sessions.switched

    def begin_as_well(self: Sessions, new: Generation) -> None:
        switched(self, new)
        self._farewells.begin()

    monkeypatch.setattr(Sessions, "switched", begin_as_well)
    assert promise_that_broke() == 4


def test_promise_4_a_bound_that_ends_more_than_it_has_to(monkeypatch: pytest.MonkeyPatch) -> None:
    leases_over = Drains.leases_over

    def eager(self: Drains, bound: int, resident: Iterable[UnitKey]) -> list[Lease]:
        return leases_over(self, bound - 1, resident)

    monkeypatch.setattr(Drains, "leases_over", eager)
    assert promise_that_broke() == 4


def test_promise_4_connections_that_a_swap_moves_although_it_does_not_reach_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    switched = Sessions.switched

    def move_all(self: Sessions, new: Generation) -> None:
        switched(self, new)
        for talk in self.talks:
            if not talk.busy:
                talk.session.part()

    monkeypatch.setattr(Sessions, "switched", move_all)
    assert promise_that_broke() == 4


def test_promise_4_a_raw_protocol_whose_idle_connections_hold_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Session._lease

    def released(self: Session, target: MessageTarget) -> Lease:
        taken = lease(self, target)
        taken.release()
        return taken

    monkeypatch.setattr(Session, "_lease", released)
    assert promise_that_broke() == 4


def test_promise_7_state_that_is_lost_on_the_way_to_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Session, state: bytes | None) -> None:
        self._met, self._state = False, b""

    monkeypatch.setattr(Session, "arrive", forgetful)
    assert promise_that_broke() == 7


def test_promise_5_a_registry_that_lags_behind_its_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    generation = Worker._generation

    def lagging(self: Worker, snapshot: Snapshot) -> Generation:
        made = generation(self, snapshot)
        old = msgspec.structs.replace(self.switch.current.registry, epoch=snapshot.epoch)
        return Generation(made.snapshot, old, made.router)

    monkeypatch.setattr(Worker, "_generation", lagging)
    assert promise_that_broke() == 5


def test_promise_6_one_acknowledgement_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def enough(self: Retirement, incarnation: int, units: Iterable[UnitKey]) -> None:
        for unit in units:
            if (leftover := self.leftovers.get(unit)) is not None:
                leftover.using.clear()
                leftover.holding.clear()
        self.review()

    monkeypatch.setattr(Retirement, "retired", enough)
    assert promise_that_broke() == 6


def test_promise_6_releasing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def again(self: Residency, units: Iterable[UnitKey]) -> tuple[UnitKey, ...]:
        return tuple(unit for unit in units if unit in self.drained)

    monkeypatch.setattr(Residency, "to_release", again)
    assert promise_that_broke() == 6


def test_promise_6_a_stale_report_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    def gullible(self: Retirement, incarnation: int, epoch: int, draining: Iterable[UnitKey]) -> None:
        held = frozenset(draining)
        for leftover in self.leftovers.values():
            if leftover.key not in held:
                leftover.using.discard(incarnation)
        self.review()

    monkeypatch.setattr(Retirement, "activated", gullible)
    assert promise_that_broke() == 6


def test_promise_6_workers_that_leave_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Retirement, "servers", lambda self, epoch: ())
    assert promise_that_broke() == 6


def test_promise_6_what_workers_that_leave_hold_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_followers(self: Retirement, key: UnitKey, old: Snapshot) -> set[int]:
        members = self._roster.members()
        return {each.incarnation for each in members if each.last is None and each.rolled == old.rolled}

    monkeypatch.setattr(Retirement, "_holders", only_followers)
    monkeypatch.setattr(Retirement, "servers", lambda self, epoch: ())
    assert promise_that_broke() == 6


def test_promise_10_a_last_slot_that_is_parked_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Roster, "is_last", lambda self, slot: False)
    assert promise_that_broke() == 10


def test_nothing_is_noticed_when_nothing_is_broken() -> None:
    with pytest.raises(AssertionError, match="noticed nothing"):
        promise_that_broke(100)


def test_a_zygote_that_is_replaced_and_forgotten_keeps_the_world_from_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(self: Zygotes, rolled: int) -> None:
        self.wanted.discard(rolled)
        self._zygotes.pop(rolled, None)

    monkeypatch.setattr(Zygotes, "keep", forget)
    with pytest.raises(ScheduleFailed, match=r"does not come to rest: zygotes \[\d+, \d+\] live"):
        for seed in range(ENOUGH):
            run(seed)


def test_promise_2_a_part_that_does_not_ask_those_whom_it_replaces(monkeypatch: pytest.MonkeyPatch) -> None:
    concerns = Voting.concerns

    def only_its_own(run: Run, member: Member) -> bool:
        return concerns(run, member) and (run.part is None or member.rolled == run.rolled)

    monkeypatch.setattr(Voting, "concerns", staticmethod(only_its_own))
    assert promise_that_broke() == 2


def test_promise_3_a_last_part_that_only_its_own_word_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Outbox.put

    def one_word(self: Outbox, effect: Any) -> None:
        last = self._effects[-1] if self._effects else None
        if not (isinstance(effect, StoreCell) and isinstance(last, StoreCell)):
            put(self, effect)

    monkeypatch.setattr(Outbox, "put", one_word)
    assert promise_that_broke() == 3


def test_promise_3_a_part_whose_workers_read_the_word_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Word, "read", lambda self: self._words[0])
    assert promise_that_broke() in (1, 2, 3)


def test_promise_2_a_part_that_is_stored_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    put = Outbox.put

    def everywhere(self: Outbox, effect: Any) -> None:
        put(self, effect)
        if isinstance(effect, StoreCell):
            put(self, StoreCell(effect.epoch, 1 - effect.part))

    monkeypatch.setattr(Outbox, "put", everywhere)
    assert promise_that_broke() == 2


def test_promise_2_a_migration_that_nobody_undoes(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(self: Migrating, run: Run, reason: str) -> None:
        run.reason = run.reason or reason
        self._progress.move(Cause.FAILED)
        self._give_up(run, Cause.UNMIGRATED)

    monkeypatch.setattr(Migrating, "undo", at_once)
    monkeypatch.setattr(Migration, "aborted", lambda *_: None)
    assert promise_that_broke() == 2


def test_promise_2_a_commit_while_a_worker_migrates(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Migrating._ask

    def impatient(self: Migrating, run: Run, worker: WorkerId) -> None:
        ask(self, run, worker)
        if run.undoes is None:
            self._commit(run, Cause.MIGRATED)

    monkeypatch.setattr(Migrating, "_ask", impatient)
    assert promise_that_broke() == 2


def test_promise_2_a_worker_that_migrates_whenever_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: Migration, epoch: int, held: int | None) -> None:
        if epoch == held:
            self.epoch = epoch
            self._desk.put(Migrate(epoch))

    monkeypatch.setattr(Migration, "asked", forgetful)
    monkeypatch.setattr(Migration, "_move", lambda *_: None)
    assert promise_that_broke() == 2
