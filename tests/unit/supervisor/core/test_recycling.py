from itertools import pairwise

import msgspec
import pytest

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.child import State
from changeover.supervisor.core.entries import Recovered
from changeover.supervisor.core.events import Child, Timer, TimerKind, ZygoteFound, ZygoteReady
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.outgrown import SOON, Outgrown
from changeover.supervisor.core.policy import Limits, Policy, Rhythm
from changeover.supervisor.core.records.worker import MemoryLimitLow, WorkerKilled, WorkerSilent, WorkerTired
from changeover.supervisor.core.recycling import tired
from changeover.supervisor.core.roster import Member, Slot
from changeover.workers.protocol import messages
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Beat
from tests.machines import JOURNAL, RELOAD, SECRET, Bench, snapshot

HEARTBEAT = Timer(TimerKind.HEARTBEAT)


@pytest.fixture
def bench() -> Bench:
    """Two workers that may answer a hundred requests each."""
    bench = Bench(Policy(limits=Limits(requests=100)))
    bench.come_up()
    return bench


def beat(bench: Bench, worker: WorkerId, requests: int) -> None:
    bench.hear(worker, messages.Beat, 1, 0, None, {}, 0, requests)


def serve(bench: Bench, worker: WorkerId) -> None:
    bench.be_born()
    bench.greet(worker)
    bench.hear(worker, messages.Activated, 1)


def states(bench: Bench) -> dict[int, State]:
    return {slot.slot: slot.state for slot in bench.view.slots}


def test_fewer_are_wanted_while_one_that_relieves_does_not_come_up(bench: Bench) -> None:
    worn, other = bench.workers
    beat(bench, worn, 100)
    bench.fire(HEARTBEAT)
    bench.be_born()
    bench.feed(events.ScaleRequested(1))
    assert not bench.said(messages.HandOver), "who stays could not take anything yet"
    bench.feed(events.WorkerExited(bench.workers[-1], -11))
    bench.fire(HEARTBEAT)
    assert [told.successors for told in bench.said(messages.HandOver)] == [(other,)]
    bench.feed(events.WorkerExited(worn, 0))
    assert states(bench) == {1: State.SERVING}


def test_a_tired_worker_leaves_only_when_another_one_serves(bench: Bench) -> None:
    worn, other = bench.workers
    beat(bench, worn, 100)
    bench.fire(HEARTBEAT)
    assert [record.reason for record in bench.told(WorkerTired)] == ["it has answered 100 requests"]
    fresh = bench.workers[-1]
    assert (fresh.slot, fresh.cohort) == (2, worn.cohort)
    bench.fire(HEARTBEAT)
    assert not bench.said(messages.HandOver)
    serve(bench, fresh)
    bench.fire(HEARTBEAT)
    assert bench.said(messages.HandOver)[0].successors == (fresh, other)
    bench.feed(events.WorkerExited(worn, 0))
    assert states(bench) == {1: State.SERVING, 2: State.SERVING}


def test_one_is_replaced_at_a_time(bench: Bench) -> None:
    for worker in tuple(bench.workers):
        beat(bench, worker, 100)
    bench.fire(HEARTBEAT)
    bench.fire(HEARTBEAT)
    assert len(bench.told(WorkerTired)) == 1


def test_nobody_is_replaced_while_a_cutover_runs(bench: Bench) -> None:
    bench.feed(events.CutoverRequested(1, RELOAD))
    beat(bench, bench.workers[0], 100)
    bench.fire(HEARTBEAT)
    assert not bench.told(WorkerTired)


def test_a_roll_meanwhile_replaces_the_fresh_one_as_well(bench: Bench) -> None:
    beat(bench, bench.workers[0], 100)
    bench.fire(HEARTBEAT)
    serve(bench, bench.workers[-1])
    bench.feed(events.CutoverRequested(1, RELOAD))
    bench.find(snapshot(2, rolled=2))
    for worker in bench.living():
        if worker.cohort == 2:
            bench.greet(worker)
            bench.hear(worker, messages.Prepared, 2)
    bench.prepare(2)
    assert [slot.rolled for slot in bench.view.slots if slot.state is not State.STOPPING] == [2, 2]


def test_more_workers_that_were_wanted_meanwhile_are_had(bench: Bench) -> None:
    beat(bench, bench.workers[0], 100)
    bench.fire(HEARTBEAT)
    bench.feed(events.ScaleRequested(3))
    serve(bench, bench.workers[-1])
    bench.fire(HEARTBEAT)
    assert len([state for state in states(bench).values() if state is not State.STOPPING]) == 3


def member(incarnation: int, **beat: int) -> Member:
    worker = WorkerId(1, 0, incarnation)
    told = Beat(Stamp(JOURNAL, 1, 1), worker, 0, **beat)  # type: ignore[arg-type]
    return Member(worker, 1, 0.0, 1, beat=told)


def test_each_limit_has_its_words() -> None:
    assert tired(member(1, requests=9), 50.0, Limits()) is None
    assert tired(member(1), 3600.0, Limits(lifetime=3600)) == "it has lived 3600 s"
    assert tired(member(1, leaked=7), 0.0, Limits(leaks=8)) is None
    assert tired(member(1, leaked=8), 0.0, Limits(leaks=8)) == "8 copies of what it released are not gone"


def test_a_worker_that_was_adopted_has_lived_since_its_birth() -> None:
    adopted = Member(WorkerId(1, 0, 1), 1, 100.0, 1, adopted=True, age=3500.0)
    assert tired(adopted, 199.0, Limits(lifetime=3600)) is None
    assert tired(adopted, 200.0, Limits(lifetime=3600)) == "it has lived 3600 s"


def test_a_worker_in_which_a_refused_candidate_hangs_is_replaced_like_a_tired_one(bench: Bench) -> None:
    stuck = bench.workers[0]
    bench.hear(stuck, messages.Beat, 1, 0, None, {}, 0, 0, 0, None, 1)
    bench.fire(HEARTBEAT)
    [record] = bench.told(WorkerTired)
    assert (record.worker, record.reason) == (stuck, "what it was to load hangs in a thread of it")
    serve(bench, bench.workers[-1])
    bench.fire(HEARTBEAT)
    assert bench.said(messages.HandOver)
    assert not bench.all(effects.Signal)


def test_the_jitter_spreads_workers_and_is_the_same_whenever_one_is_asked() -> None:
    limits = Limits(requests=100, requests_jitter=100)

    def bound(incarnation: int) -> int:
        return next(n for n in range(100, 202) if tired(member(incarnation, requests=n), 0.0, limits))

    bounds = [bound(incarnation) for incarnation in range(40)]
    assert bounds == [bound(incarnation) for incarnation in range(40)]
    assert len(set(bounds)) > 20
    assert min(bounds) < 120 < 180 < max(bounds) <= 200


def test_how_long_each_worker_lives_differs_by_a_jitter_of_its_own() -> None:
    limits = Limits(lifetime=100, lifetime_jitter=100)

    def bound(incarnation: int) -> int:
        return next(now for now in range(100, 202) if tired(member(incarnation), now, limits))

    bounds = [bound(incarnation) for incarnation in range(40)]
    assert len(set(bounds)) > 20
    assert min(bounds) < 120 < 180 < max(bounds) <= 200


def test_a_worker_that_its_zygote_tells_of_is_tired_by_what_it_lived_before_it_was_adopted() -> None:
    bench, worker = Bench(Policy(limits=Limits(lifetime=3600))), WorkerId(1, 0, 1_000_001)
    served = Recovered(JOURNAL, term=1, epoch=7, committed=snapshot(7))
    told = ZygoteReady(1, (Child(worker, 100, 1, age=3590.0),))
    bench.feed(events.Booted(served, 1, SECRET, 1, (ZygoteFound(1, 1),)), told)
    bench.greet(worker, 7)
    bench.hear(worker, messages.Activated, 7)
    bench.fire(HEARTBEAT)
    assert not bench.told(WorkerTired)
    bench.now = 10.0
    bench.fire(HEARTBEAT)
    assert [record.reason for record in bench.told(WorkerTired)] == ["it has lived 3600 s"]


def test_a_worker_whose_loop_hangs_is_killed_with_its_stacks_and_one_that_we_did_not_listen_to_is_not() -> None:
    bench = Bench(msgspec.structs.replace(Policy(), rhythm=Rhythm(hung=10.0)))
    bench.come_up()
    bench.now = 1000.0  # we were stopped for as long as that
    bench.fire(HEARTBEAT)
    assert not bench.told(WorkerSilent)
    for second in range(1, 12):
        bench.now = 1000.0 + second
        beat(bench, bench.workers[1], 0)
        bench.fire(HEARTBEAT)
    bench.feed(events.StacksDumped(bench.workers[0], "in a loop"))
    [killed] = bench.told(WorkerKilled)
    assert (killed.worker, killed.stacks) == (bench.workers[0], "in a loop")
    assert killed.reason == "its loop has not been heard for 11 s"


def hold(bench: Bench, worker: WorkerId, mib: int) -> None:
    bench.hear(worker, messages.Beat, 1, 0, None, {}, 0, 0, mib << 20)


@pytest.fixture
def bounded() -> Bench:
    """Two workers, a minute and a half old, that may hold 256 MiB each."""
    bench = Bench(Policy(limits=Limits(memory=256 << 20)))
    bench.come_up()
    bench.now = 90.0
    return bench


def test_a_worker_that_grew_beyond_its_memory_is_replaced_at_once(bounded: Bench) -> None:
    hold(bounded, bounded.workers[0], 255)
    bounded.fire(HEARTBEAT)
    assert not bounded.told(WorkerTired)
    hold(bounded, bounded.workers[0], 300)
    bounded.fire(HEARTBEAT)
    assert [record.reason for record in bounded.told(WorkerTired)] == ["it holds 300 MiB"]
    assert not bounded.told(MemoryLimitLow)


def test_a_limit_below_what_a_fresh_worker_holds_is_told_of_and_replaces_less_and_less_often(bounded: Bench) -> None:
    """Each worker that comes is as large as the one before; the first of them may have leaked, and goes at once."""
    largest, other = bounded.workers
    replaced: list[float] = []
    for second in range(100, 7300, 10):
        bounded.now = float(second)
        hold(bounded, largest, 300)
        hold(bounded, other, 100)
        bounded.fire(HEARTBEAT)
        if bounded.workers[-1] not in (largest, other):
            replaced.append(bounded.now)
            serve(bounded, bounded.workers[-1])
            bounded.fire(HEARTBEAT)
            bounded.feed(events.WorkerExited(largest, 0))
            largest = bounded.workers[-1]
    assert [later - one for one, later in pairwise(replaced)] == [10, 60, 120, 240, 480, 960, 1920]
    warned = bounded.told(MemoryLimitLow)
    assert len({record.worker for record in warned}) == len(warned) == 7, "each from the third on"
    assert (warned[0].rss, warned[0].limit, warned[0].lived) == (300 << 20, 256 << 20, 10.0)
    notes = [slot.note for slot in bounded.view.slots]
    assert "it holds 300 MiB soon after its birth, more than recycle.memory allows" in notes


def hasty(out: Outbox) -> tuple[Outgrown, Slot, Member]:
    """One worker that is beyond the limit, as the one before it was."""
    outgrown, large = Outgrown(256 << 20, out), member(2, rss=300 << 20)
    slot = Slot(0, 1, member=member(1, rss=300 << 20))
    outgrown.look([slot])
    assert slot.member is not None
    outgrown.replaced(slot.member)
    slot.member = large
    outgrown.look([slot])
    assert outgrown.due(large) is None
    return outgrown, slot, large


def test_once_a_fresh_worker_fits_growth_is_replaced_at_once_again() -> None:
    out = Outbox()
    outgrown, _, large = hasty(out)
    grown = member(3, rss=300 << 20)
    assert outgrown.due(grown) == "it holds 300 MiB"
    outgrown.replaced(grown)
    assert outgrown.due(large) == "it holds 300 MiB"


def test_a_worker_that_grows_fast_long_after_another_one_did_is_replaced_at_once() -> None:
    out = Outbox()
    outgrown, slot, large = hasty(out)
    out.now = 3 * SOON + 1
    large.since, slot.member = out.now, large
    outgrown.look([slot])
    assert outgrown.due(large) == "it holds 300 MiB"


def test_a_worker_that_gave_memory_back_is_as_any_other() -> None:
    outgrown, slot, large = hasty(Outbox())
    assert slot.note
    large.beat = member(2, rss=200 << 20).beat
    outgrown.look([slot])
    assert (slot.note, large.outgrew) == ("", 0)


def test_a_worker_that_was_beyond_the_limit_before_another_one_was_replaced_is_told_of_too() -> None:
    out = Outbox()
    outgrown, one, other = Outgrown(256 << 20, out), member(1, rss=300 << 20), member(2, rss=310 << 20)
    slots = [Slot(0, 1, member=one), Slot(1, 2, member=other)]
    outgrown.look(slots)
    outgrown.replaced(one)
    slots[0].member = None
    outgrown.look(slots)
    outgrown.look(slots)
    assert outgrown.due(other) is None
    assert slots[1].note == "it holds 310 MiB soon after its birth, more than recycle.memory allows"
    heard = [effect.record for effect in out.take() if isinstance(effect, effects.Tell)]
    assert [record.worker for record in heard if isinstance(record, MemoryLimitLow)] == [other.worker]
