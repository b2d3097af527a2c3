import pytest

from changeover.workers.participant import effects, events
from changeover.workers.protocol import messages
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.table import BugFound
from tests.participants import Bench

NO = Refusal(Stage.LOAD, Fault.CONTRACT, "does not load")


def test_a_joiner_builds_what_is_committed_activates_it_and_accepts(bench: Bench) -> None:
    bench.welcome(7)
    bench.built(7)
    assert bench.all(effects.Activate) == [effects.Activate(7)]
    assert not bench.all(effects.Accept)
    bench.activated(7)
    assert bench.said(messages.Activated)[0].stamp.epoch == 7
    assert len(bench.all(effects.Accept)) == 1


def test_a_worker_of_the_first_start_prepares_and_accepts_nothing_before_the_commit(bench: Bench) -> None:
    bench.welcome(None, candidate=1)
    bench.built(1)
    assert bench.said(messages.Prepared)[0].stamp.epoch == 1
    assert not bench.all(effects.Accept)
    bench.commit(1)
    bench.activated(1)
    assert bench.all(effects.Accept)


def test_a_joiner_during_a_cutover_builds_what_is_committed_then_the_candidate_then_accepts(bench: Bench) -> None:
    bench.welcome(7, candidate=8)
    bench.built(7)
    bench.activated(7)
    assert bench.building() == [7, 8]
    assert not bench.all(effects.Accept)
    bench.built(8)
    assert bench.said(messages.Prepared)[0].stamp.epoch == 8
    assert bench.all(effects.Accept)


def test_a_joiner_that_refuses_the_candidate_accepts_when_it_is_aborted(bench: Bench) -> None:
    bench.welcome(7, candidate=8)
    bench.built(7)
    bench.activated(7)
    bench.feed(events.BuildFailed(8, NO))
    assert not bench.all(effects.Accept)
    bench.abort(8)
    assert bench.all(effects.Accept)


def test_a_joiner_that_hears_of_a_commit_while_it_builds_the_old_epoch_builds_the_new_one(bench: Bench) -> None:
    bench.welcome(7, candidate=8)
    bench.commit(8)
    assert bench.all(effects.Discard) == [effects.Discard(7)]
    assert bench.building() == [7, 8]
    bench.built(8)
    assert bench.all(effects.Activate) == [effects.Activate(8)]


def test_a_worker_prepares_follows_and_reports(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.built(8)
    bench.commit(8)
    assert bench.all(effects.Activate) == [effects.Activate(8)]
    bench.activated(8)
    assert [report.stamp.epoch for report in bench.said(messages.Activated)] == [8]


def test_a_dispatch_may_follow_the_cell_before_anybody_told_the_worker(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.built(8)
    bench.activated(8)
    bench.commit(8)
    assert not bench.all(effects.Activate)
    assert bench.machine.serving == 8


def test_a_heartbeat_that_names_the_prepared_epoch_is_a_commit(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.built(8)
    bench.pulse(8)
    assert bench.all(effects.Activate) == [effects.Activate(8)]


def test_a_commit_while_the_candidate_is_being_built_is_followed_as_soon_as_it_is(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.feed(events.Stranded(8))
    bench.built(8)
    assert bench.all(effects.Activate) == [effects.Activate(8)]


def test_an_abort_discards_what_is_built_and_what_is_being_built(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.abort(8)
    bench.prepare(9)
    bench.built(9)
    bench.abort(9)
    assert bench.all(effects.Discard) == [effects.Discard(8), effects.Discard(9)]
    assert bench.machine.prepared is None


def test_a_build_that_ends_after_it_was_discarded_means_nothing(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.abort(8)
    bench.forget()
    bench.built(8)
    assert bench.wanted == []


def test_an_old_prepare_that_comes_after_its_abort_is_not_obeyed(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.abort(8)
    bench.forget()
    bench.prepare(8)
    assert bench.building() == []


def test_a_repeated_prepare_is_answered_again(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.built(8)
    bench.prepare(8)
    assert len(bench.said(messages.Prepared)) == 2
    assert bench.building() == [8]


def test_a_refusal_is_repeated_when_asked_again(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.feed(events.BuildFailed(8, NO))
    bench.prepare(8)
    assert [refused.refusal for refused in bench.said(messages.Refused)] == [NO, NO]


def test_a_stranded_worker_is_told_builds_and_follows(bench: Bench) -> None:
    bench.serve(7)
    bench.feed(events.Stranded(8))
    assert len(bench.said(messages.Hello)) == 1
    bench.welcome(8)
    bench.built(8)
    assert bench.all(effects.Activate) == [effects.Activate(8)]


def test_a_pointer_that_moves_to_what_was_never_prepared_is_a_bug(bench: Bench) -> None:
    bench.serve(7)
    with pytest.raises(BugFound, match="epoch 9 serves"):
        bench.activated(9)


def test_a_new_worker_of_a_part_does_not_ask_what_is_committed_before_its_candidate() -> None:
    bench = Bench(rolled=8)
    bench.welcome(None, 9, candidate_rolled=8)
    bench.feed(events.Built(9))
    bench.forget()
    bench.pulse(8)
    assert not bench.said(messages.Hello)
    assert not bench.all(effects.Activate)
    bench.pulse(10)
    assert bench.said(messages.Hello)


@pytest.mark.parametrize("part", [0, 1])
def test_a_heartbeat_tells_each_worker_what_is_committed_in_its_part(part: int) -> None:
    bench = Bench(part=part)
    bench.serve(7)
    bench.prepare(8)
    bench.feed(events.Built(8))
    bench.forget()
    bench.pulse(8, parts=(7, 8))
    assert [effect.epoch for effect in bench.all(effects.Activate)] == ([8] if part else [])
