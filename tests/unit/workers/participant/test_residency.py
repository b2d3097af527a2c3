from changeover.workers.participant import effects, events
from changeover.workers.participant.residency import Residency
from changeover.workers.protocol import messages
from tests.machines import unit
from tests.participants import Bench

OLD, OLDER = unit("pricing", 7), unit("geo", 3)


def serve_8(bench: Bench) -> None:
    bench.serve(7)
    bench.prepare(8)
    bench.built(8)
    bench.commit(8)
    bench.activated(8)
    bench.forget()


def test_what_is_in_use_is_not_released_whoever_says_so(bench: Bench) -> None:
    serve_8(bench)
    bench.retire(OLD)
    assert bench.wanted == []


def test_what_is_unused_is_reported_released_on_order_and_reported_gone(bench: Bench) -> None:
    serve_8(bench)
    bench.feed(events.UnitsDrained((OLD,)))
    assert bench.said(messages.Drained)[0].units == (OLD,)
    bench.retire(OLD)
    assert bench.all(effects.Release) == [effects.Release((OLD,))]
    assert not bench.said(messages.Retired)
    bench.feed(events.UnitsReleased((OLD,)))
    assert bench.said(messages.Retired)[0].units == (OLD,)


def test_a_repeated_order_releases_nothing_twice_and_is_answered_when_it_is_done(bench: Bench) -> None:
    serve_8(bench)
    bench.feed(events.UnitsDrained((OLD,)))
    bench.retire(OLD)
    bench.retire(OLD)
    assert len(bench.all(effects.Release)) == 1
    bench.feed(events.UnitsReleased((OLD,)))
    bench.retire(OLD)
    assert len(bench.all(effects.Release)) == 1
    assert len(bench.said(messages.Retired)) == 2


def test_a_report_that_may_be_lost_is_made_good_by_the_heartbeat(bench: Bench) -> None:
    serve_8(bench)
    bench.feed(events.UnitsDrained((OLD,)))
    bench.feed(events.BeatDue(connections=3))
    assert [beat.connections for beat in bench.said(messages.Beat)] == [3]
    assert len(bench.said(messages.Drained)) == 2


def test_a_unit_that_drained_before_its_activation_was_reported_stays_drained() -> None:
    residency = Residency()
    residency.unused((OLD,))
    residency.superseded((OLD, OLDER))
    assert (residency.drained, residency.all()) == ((OLD,), (OLD, OLDER))
