"""Whom a worker that leaves offers its connections, and whose they are."""

from collections.abc import Sequence

import pytest

from changeover.workers.handover import effects, events, outbound
from changeover.workers.handover.effects import Effect
from changeover.workers.handover.events import Event, Hindrance
from changeover.workers.handover.messages import (
    Adopted,
    Credit,
    Declined,
    Denial,
    Denied,
    Fault,
    FromReceiver,
    Welcomed,
)
from changeover.workers.handover.sender import LONGEST_REST, SHORTEST_REST, Sender
from tests.handover import worker_id

ONE, TWO = worker_id(1), worker_id(2)
PATIENCE = 30.0


class Bench:
    """A sender, and what it wants; offers are sent at once unless they are hindered."""

    def __init__(self) -> None:
        self.sender = Sender(PATIENCE)
        self.now = 100.0
        self.hindered: dict[int, Hindrance] = {}
        self.wanted: list[Effect] = []

    def feed(self, *happened: Event) -> None:
        for event in happened:
            for effect in self.sender.handle(event, self.now):
                self.wanted.append(effect)
                if isinstance(effect, effects.Offer):
                    self._send(effect.ids)

    def _send(self, ids: Sequence[int]) -> None:
        """Send what is offered together, unless one of it is hindered."""
        hindrance = next((self.hindered[id] for id in ids if id in self.hindered), None)
        self.feed(events.Sent(tuple(ids)) if hindrance is None else events.NotSent(tuple(ids), hindrance))

    def hear(self, receiver: object, *messages: FromReceiver) -> None:
        assert receiver in (ONE, TWO)
        self.feed(*(events.Heard(ONE if receiver is ONE else TWO, message) for message in messages))

    def connect(self, credit: int = 10, *, one: int = 0, two: int = 0) -> None:
        for receiver, connections in ((ONE, one), (TWO, two)):
            self.feed(events.Connected(receiver))
            self.hear(receiver, Welcomed(), Credit(credit, connections))

    def rest(self, *ids: int) -> None:
        self.feed(events.Rested(ids))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.feed(events.Woken())

    def offers(self) -> list[tuple[int, int]]:
        """Which connection was offered to which incarnation, since last asked."""
        return [(id, incarnation) for ids, incarnation in self.packets() for id in ids]

    def packets(self) -> list[tuple[tuple[int, ...], int]]:
        """Which connections were offered together to which incarnation, since last asked."""
        found = [(each.ids, each.receiver.incarnation) for each in self.wanted if isinstance(each, effects.Offer)]
        self.wanted = [each for each in self.wanted if not isinstance(each, effects.Offer)]
        return found

    def all(self, kind: type[Effect]) -> Sequence[Effect]:
        return [each for each in self.wanted if isinstance(each, kind)]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_connections_go_to_the_receiver_with_the_fewest(bench: Bench) -> None:
    bench.connect(one=2)
    bench.rest(1, 2, 3, 4, 5)
    assert bench.packets() == [((1, 2, 4), 2), ((3, 5), 1)]


def test_nothing_is_offered_without_credit(bench: Bench) -> None:
    bench.feed(events.Connected(ONE))
    bench.rest(1, 2)
    assert bench.offers() == []
    bench.hear(ONE, Welcomed())
    assert bench.offers() == []
    bench.hear(ONE, Credit(1, 0))
    assert bench.offers() == [(1, 1)]
    bench.hear(ONE, Adopted((1,)), Credit(1, 1))
    assert bench.offers() == [(2, 1)]


def test_what_is_kept_is_let_go_of_only_when_it_was_adopted(bench: Bench) -> None:
    bench.connect()
    bench.rest(1, 2)
    assert bench.all(effects.LetGo) == []
    bench.hear(ONE, Adopted((1,)))
    assert bench.all(effects.LetGo) == [effects.LetGo(1)]
    assert bench.sender.held == 1


def test_what_a_lost_receiver_did_not_adopt_goes_to_another(bench: Bench) -> None:
    bench.connect(one=0, two=100)
    bench.rest(1, 2, 3)
    assert bench.offers() == [(1, 1), (2, 1), (3, 1)]
    bench.hear(ONE, Adopted((2,)))
    bench.feed(events.LinkEnded(ONE))
    assert bench.offers() == [(1, 2), (3, 2)]
    bench.hear(TWO, Adopted((1, 3)))
    assert bench.sender.held == 0


def test_what_does_not_get_through_is_tried_with_another_receiver_first(bench: Bench) -> None:
    bench.connect(two=100)
    bench.hindered = {1: Hindrance.LINK}
    bench.rest(1)
    assert bench.offers() == [(1, 1), (1, 2)]
    assert bench.sender.link(ONE) is bench.sender.link(TWO) is outbound.State.RESTING
    bench.hindered = {}
    bench.wait(SHORTEST_REST)
    assert bench.offers() == [(1, 1)]


def test_one_packet_that_does_not_get_through_holds_up_no_other(bench: Bench) -> None:
    bench.connect()
    bench.hindered = {1: Hindrance.PACKET}
    bench.rest(1)
    bench.rest(2, 3)
    assert bench.offers() == [(1, 1), (2, 1), (3, 2)]
    bench.hindered = {}
    bench.wait(SHORTEST_REST)
    assert bench.offers() == [(1, 2)]


def test_of_what_does_not_get_through_together_each_is_tried_alone(bench: Bench) -> None:
    bench.feed(events.Connected(ONE))
    bench.hear(ONE, Welcomed(), Credit(10, 0))
    bench.hindered = {2: Hindrance.PACKET}
    bench.rest(1, 2, 3)
    bench.wait(SHORTEST_REST)
    assert bench.packets() == [((1, 2, 3), 1), ((1,), 1), ((2,), 1), ((3,), 1)]
    bench.hear(ONE, Adopted((1, 3)))
    assert bench.sender.held == 1


def test_pauses_grow_up_to_a_bound_and_shrink_when_something_gets_through(bench: Bench) -> None:
    bench.feed(events.Connected(ONE))
    bench.hear(ONE, Welcomed(), Credit(1, 0))
    bench.hindered = {1: Hindrance.LINK}
    bench.rest(1)
    pauses = []
    for _ in range(10):
        alarm = bench.all(effects.Wake)[-1]
        assert isinstance(alarm, effects.Wake)
        assert alarm.at is not None
        pauses.append(round(alarm.at - bench.now, 6))
        bench.wait(alarm.at - bench.now)
    assert pauses[:3] == [SHORTEST_REST, 2 * SHORTEST_REST, 4 * SHORTEST_REST]
    assert pauses[-1] == LONGEST_REST


def test_a_declined_connection_is_ours_again_and_credit_alone_does_not_end_the_pause(bench: Bench) -> None:
    bench.feed(events.Connected(ONE))
    bench.hear(ONE, Welcomed(), Credit(1, 0))
    bench.rest(1)
    bench.hear(ONE, Declined(1, Fault.BARE), Credit(1, 0))
    assert bench.offers() == [(1, 1)]
    bench.wait(SHORTEST_REST)
    assert bench.offers() == [(1, 1)]


def test_what_nobody_takes_in_time_is_ended_and_never_what_was_offered(bench: Bench) -> None:
    bench.feed(events.Connected(ONE))
    bench.hear(ONE, Welcomed(), Credit(1, 0))
    bench.rest(1, 2)
    bench.wait(PATIENCE)
    assert bench.all(effects.End) == [effects.End(2)]
    bench.feed(events.LinkEnded(ONE))
    assert bench.all(effects.End) == [effects.End(2), effects.End(1)]
    assert bench.sender.held == 0


def test_a_receiver_that_denies_is_remembered_with_its_reason(bench: Bench) -> None:
    bench.feed(events.Connected(ONE))
    bench.hear(ONE, Denied(Denial.FOREIGN))
    assert bench.sender.denials == {ONE: Denial.FOREIGN}
    assert bench.all(effects.Disconnect) == [effects.Disconnect(ONE)]


def test_a_receiver_that_speaks_out_of_turn_is_left_with_what_it_was_offered(bench: Bench) -> None:
    bench.connect(two=100)
    bench.rest(1)
    bench.hear(ONE, Welcomed())
    assert bench.all(effects.LetGo) == [effects.LetGo(1)]
    assert bench.all(effects.Disconnect) == [effects.Disconnect(ONE)]


def test_answers_about_what_was_never_offered_are_counted(bench: Bench) -> None:
    bench.connect()
    bench.hear(ONE, Adopted((7,)), Declined(8, Fault.BARE))
    assert bench.sender.strays == 2


def test_the_end_of_a_departure_ends_what_waits_and_gives_up_what_is_on_its_way(bench: Bench) -> None:
    bench.feed(events.Connected(ONE))
    bench.hear(ONE, Welcomed(), Credit(1, 0))
    bench.rest(1, 2)
    bench.feed(events.Closed())
    assert (bench.all(effects.LetGo), bench.all(effects.End)) == ([effects.LetGo(1)], [effects.End(2)])
    bench.rest(3)
    assert bench.all(effects.End) == [effects.End(2), effects.End(3)]
    assert bench.sender.held == 0


def test_the_ends_of_what_nobody_takes_are_spread() -> None:
    sender = Sender(PATIENCE, window=10.0)
    sender.handle(events.Rested(tuple(range(100))), 0.0)
    ended: dict[int, int] = {}
    for second in range(int(PATIENCE), int(PATIENCE) + 11):
        wanted = sender.handle(events.Woken(), float(second))
        ended[second] = sum(isinstance(effect, effects.End) for effect in wanted)
    assert sum(ended.values()) == 100
    assert ended[30] == 1
    assert max(ended.values()) <= 12
    assert sender.held == 0
