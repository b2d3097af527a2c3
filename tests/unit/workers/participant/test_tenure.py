import pytest

from changeover.workers.participant import effects, events
from changeover.workers.participant.tenure import State
from changeover.workers.protocol import messages
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from tests.participants import Bench, snapshot

NEXT, OTHER = WorkerId(2, 3, 1_000_010), WorkerId(2, 4, 1_000_011)
NOBODY = Refusal(Stage.PREPARE, Fault.RESOURCE, "slot 3 cannot be reached")


@pytest.fixture
def old() -> Bench:
    """A worker that serves epoch 7, and that epoch 8 would replace."""
    bench = Bench()
    bench.serve(7)
    return bench


def test_asked_for_what_other_processes_serve_it_connects_to_them_and_so_agrees(old: Bench) -> None:
    old.prepare(8, rolled=8, successors=(NEXT,))
    assert old.all(effects.Connect) == [effects.Connect(snapshot(8, 8), (NEXT,))]
    assert not old.building()
    assert not old.said(messages.Prepared)
    old.feed(events.Connected(8))
    assert [report.stamp.epoch for report in old.said(messages.Prepared)] == [8]
    assert old.machine.prepared == 8


def test_asked_again_it_answers_again_and_connects_to_those_who_came_since(old: Bench) -> None:
    old.agree(8, NEXT)
    old.prepare(8, rolled=8, successors=(NEXT,))
    assert len(old.said(messages.Prepared)) == 1
    old.prepare(8, rolled=8, successors=(NEXT, OTHER))
    assert old.all(effects.Connect) == [effects.Connect(snapshot(8, 8), (NEXT, OTHER))]
    old.feed(events.Connected(8))
    assert len(old.said(messages.Prepared)) == 2


def test_a_successor_that_cannot_be_reached_is_a_refusal(old: Bench) -> None:
    old.prepare(8, rolled=8, successors=(NEXT,))
    old.feed(events.ConnectFailed(8, NOBODY))
    old.prepare(8, rolled=8, successors=(NEXT,))
    assert [report.refusal for report in old.said(messages.Refused)] == [NOBODY, NOBODY]
    assert old.all(effects.Disconnect)


def test_an_abort_lets_it_keep_its_place(old: Bench) -> None:
    old.agree(8, NEXT)
    old.abort(8)
    assert old.all(effects.Disconnect) == [effects.Disconnect()]
    assert not old.all(effects.HandOver)
    old.prepare(9)
    assert old.building() == [9]


def test_once_committed_it_hands_over_and_says_so_whenever_it_is_told(old: Bench) -> None:
    old.agree(8, NEXT)
    old.commit(8, NEXT)
    old.commit(8, NEXT)
    assert old.all(effects.HandOver) == [effects.HandOver((NEXT,))]
    assert len(old.said(messages.Yielding)) == 2
    assert not old.all(effects.Activate)


def test_a_successor_that_comes_later_is_handed_over_to_as_well(old: Bench) -> None:
    old.agree(8, NEXT)
    old.commit(8, NEXT)
    old.commit(8, OTHER)
    assert old.all(effects.HandOver)[-1] == effects.HandOver((NEXT, OTHER))


def test_a_dispatch_that_finds_the_cell_moved_hands_over_before_anybody_told_the_worker(old: Bench) -> None:
    old.agree(8, NEXT)
    old.feed(events.Stranded(8))
    assert old.all(effects.HandOver) == [effects.HandOver((NEXT,))]


def test_one_that_slept_through_a_roll_asks_and_hands_over(old: Bench) -> None:
    old.feed(events.Stranded(8))
    assert old.said(messages.Hello)
    old.welcome(8, rolled=8, successors=(NEXT,))
    assert old.all(effects.HandOver) == [effects.HandOver((NEXT,))]


def test_one_that_yields_prepares_nothing_any_more(old: Bench) -> None:
    old.prepare(8)
    old.built(8)
    old.hand_over(NEXT)
    assert old.all(effects.Discard) == [effects.Discard(8)]
    old.forget()
    old.prepare(9)
    assert not old.building()
    assert len(old.said(messages.Yielding)) == 1


def test_an_old_order_to_agree_to_what_is_decided_is_without_effect(old: Bench) -> None:
    old.abort(8)
    old.prepare(8, rolled=8, successors=(NEXT,))
    assert not old.all(effects.Connect)


def test_a_joiner_accepts_nothing_before_it_agreed_to_a_candidate_that_would_replace_it() -> None:
    bench = Bench()
    bench.welcome(7, candidate=8, candidate_rolled=8, successors=(NEXT,))
    bench.built(7)
    bench.activated(7)
    assert not bench.all(effects.Accept)
    bench.feed(events.Connected(8))
    assert bench.all(effects.Accept)


def test_a_successor_builds_its_candidate_only_and_accepts_once_it_is_committed() -> None:
    bench = Bench(rolled=8)
    bench.welcome(7, candidate=8, candidate_rolled=8)
    bench.pulse(7)
    assert bench.building() == [8]
    assert len(bench.said(messages.Hello)) == 1
    assert not bench.all(effects.Expect)
    bench.built(8)
    assert not bench.all(effects.Accept)
    bench.commit(8, NEXT)
    bench.activated(8)
    assert bench.all(effects.Accept)
    assert bench.tenure is State.HOLDING


def test_a_successor_takes_connections_over_as_soon_as_it_is_prepared_and_the_first_request_activates_it() -> None:
    bench = Bench(rolled=8)
    bench.welcome(7, candidate=8, candidate_rolled=8)
    bench.built(8)
    assert bench.all(effects.Expect) == [effects.Expect(relieves=True)]
    bench.activated(8)
    assert bench.said(messages.Activated)[0].stamp.epoch == 8
    assert bench.all(effects.Accept)


def test_the_first_workers_relieve_nobody() -> None:
    bench = Bench(rolled=1)
    bench.welcome(None, candidate=1, candidate_rolled=1)
    bench.built(1)
    assert bench.all(effects.Expect) == [effects.Expect(relieves=False)]


def test_who_is_relieved_while_it_agreed_to_a_candidate_hands_nothing_to_those_who_may_never_serve(old: Bench) -> None:
    old.prepare(8, rolled=8, successors=(NEXT,))
    old.feed(events.Connected(8))
    old.hand_over(OTHER)
    assert old.all(effects.Disconnect)
    assert old.all(effects.HandOver) == [effects.HandOver((OTHER,))]
    old.commit(8, NEXT)
    assert old.all(effects.HandOver)[-1] == effects.HandOver((OTHER, NEXT))


def test_a_worker_that_serves_expects_nobody_before_it_accepts(bench: Bench) -> None:
    bench.welcome(7, candidate=8)
    bench.built(7)
    bench.activated(7)
    bench.built(8)
    assert not bench.all(effects.Expect)


def test_successors_of_a_candidate_that_it_refused_take_nothing(old: Bench) -> None:
    old.prepare(8, rolled=8, successors=(NEXT,))
    old.feed(events.ConnectFailed(8, NOBODY))
    old.hand_over(OTHER)
    assert old.all(effects.HandOver) == [effects.HandOver((OTHER,))]
