"""What a worker that stays takes, and when it may call it its own."""

from collections.abc import Sequence

import pytest

from changeover.workers.handover import effects, events
from changeover.workers.handover.effects import Effect
from changeover.workers.handover.events import Arrival, Event
from changeover.workers.handover.messages import (
    HANDOVER_VERSION,
    MOST_CREDIT,
    STATE_VERSION,
    Adopted,
    Credit,
    Declined,
    Denial,
    Denied,
    Fault,
    Introduction,
    Welcomed,
)
from changeover.workers.handover.receiver import INTRODUCTION, Receiver
from changeover.workers.protocol.epoch import Stamp
from tests.handover import JOURNAL, worker_id


class Bench:
    """A receiver, and what it wants.

    Attributes:
        sayable: What becomes of what is said: None when it gets through, otherwise whether the sender is gone.
    """

    def __init__(self) -> None:
        self.receiver = Receiver(JOURNAL)
        self.now = 100.0
        self.wanted: list[Effect] = []
        self.sayable: dict[type, bool] = {}

    def feed(self, *happened: Event) -> None:
        waiting = list(happened)
        while waiting:
            for effect in self.receiver.handle(waiting.pop(0), self.now):
                self.wanted.append(effect)
                if isinstance(effect, effects.Say):
                    waiting += self._said(effect)

    def _said(self, effect: effects.Say) -> list[Event]:
        gone = self.sayable.get(type(effect.message))
        if gone is not None:
            return [events.Unsaid(effect.link, gone)]
        if isinstance(effect.message, Adopted | Declined):
            return [events.Said(effect.link, effect.message)]
        return []

    def introduce(self, link: int, journal: str = JOURNAL, version: int = HANDOVER_VERSION) -> None:
        introduction = Introduction(version, worker_id(link), Stamp(journal, 1, 1))
        self.feed(events.LinkMade(link), events.Introduced(link, introduction))

    def arrive(self, link: int, *ids: int, bare: Sequence[int] = ()) -> None:
        self.feed(events.Arrived(link, tuple(Arrival(id, id not in bare) for id in ids)))

    def take(self) -> list[Effect]:
        """What was wanted since last asked, timers aside."""
        wanted, self.wanted = self.wanted, []
        return [effect for effect in wanted if not isinstance(effect, effects.Wake)]


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.feed(events.Standing(events.Room(1000, 1000), 0))
    return bench


def test_a_sender_is_welcomed_and_given_credit(bench: Bench) -> None:
    bench.introduce(1)
    assert bench.take() == [effects.Say(1, Welcomed(STATE_VERSION)), effects.Say(1, Credit(MOST_CREDIT, 0))]


def test_an_adoption_is_said_before_the_connection_is_registered(bench: Bench) -> None:
    bench.introduce(1)
    bench.take()
    bench.arrive(1, 7, 8)
    assert bench.take() == [effects.Say(1, Adopted((7, 8))), effects.Adopt(1, 7), effects.Adopt(1, 8)]


def test_credit_is_given_again_when_half_of_it_is_used(bench: Bench) -> None:
    bench.introduce(1)
    bench.arrive(1, *range(15))
    assert effects.Say(1, Credit(15, 15)) not in bench.take()
    bench.arrive(1, 15)
    assert bench.take()[-1] == effects.Say(1, Credit(16, 16))


def test_credit_never_exceeds_the_room_that_is_left_and_is_shared(bench: Bench) -> None:
    bench.feed(events.Standing(events.Room(20, 1000), 5))
    bench.introduce(1)
    assert bench.take()[-1] == effects.Say(1, Credit(20, 5))
    bench.introduce(2)
    assert bench.take() == [effects.Say(2, Welcomed(STATE_VERSION))]
    bench.feed(events.Standing(events.Room(40, 1000), 5))
    assert bench.take() == [effects.Say(2, Credit(20, 5))]


def test_nothing_is_granted_before_this_worker_serves(bench: Bench) -> None:
    bench.feed(events.Standing(events.Room(0, 1000), 0))
    bench.introduce(1)
    bench.introduce(2)
    assert bench.take() == [effects.Say(1, Welcomed(STATE_VERSION)), effects.Say(2, Welcomed(STATE_VERSION))]
    bench.feed(events.Standing(events.Room(10, 1000), 0))
    assert bench.take() == [effects.Say(1, Credit(5, 0)), effects.Say(2, Credit(5, 0))]


@pytest.mark.parametrize(
    ("journal", "version", "denial"),
    [("another", HANDOVER_VERSION, Denial.FOREIGN), (JOURNAL, HANDOVER_VERSION + 1, Denial.VERSION)],
)
def test_a_stranger_is_denied_and_counted(bench: Bench, journal: str, version: int, denial: Denial) -> None:
    bench.introduce(1, journal, version)
    assert bench.take() == [effects.Say(1, Denied(denial)), effects.HangUp(1)]
    assert bench.receiver.denials == {denial: 1}


def test_offers_of_somebody_unknown_are_dropped(bench: Bench) -> None:
    bench.feed(events.LinkMade(1))
    bench.arrive(1, 7)
    assert bench.take() == [effects.Drop(1, 7), effects.HangUp(1)]


def test_who_never_says_who_it_is_is_cut_off(bench: Bench) -> None:
    bench.feed(events.LinkMade(1))
    bench.now += INTRODUCTION
    bench.feed(events.Woken())
    assert bench.take() == [effects.HangUp(1)]


def test_what_came_without_its_descriptor_is_declined_and_the_rest_adopted(bench: Bench) -> None:
    bench.introduce(1)
    bench.take()
    bench.arrive(1, 7, 8, 9, bare=[8])
    assert bench.take() == [
        effects.Say(1, Adopted((7, 9))),
        effects.Say(1, Declined(8, Fault.BARE)),
        effects.Adopt(1, 7),
        effects.Adopt(1, 9),
    ]
    assert bench.receiver.faults == {Fault.BARE: 1}


def test_what_exceeds_the_credit_is_declined_and_dropped(bench: Bench) -> None:
    bench.feed(events.Standing(events.Room(1, 1000), 0))
    bench.introduce(1)
    bench.take()
    bench.arrive(1, 7, 8)
    assert bench.take() == [
        effects.Say(1, Adopted((7,))),
        effects.Say(1, Declined(8, Fault.OVERDRAWN)),
        effects.Adopt(1, 7),
        effects.Drop(1, 8),
    ]


def test_what_there_is_no_descriptor_for_any_more_is_declined_though_it_was_promised(bench: Bench) -> None:
    """This worker has accepted connections itself since it gave credit."""
    bench.introduce(1)
    bench.take()
    bench.feed(events.Standing(events.Room(0, 1), 999))
    bench.arrive(1, 7, 8)
    assert bench.take() == [
        effects.Say(1, Adopted((7,))),
        effects.Say(1, Declined(8, Fault.FULL)),
        effects.Adopt(1, 7),
        effects.Drop(1, 8),
    ]


def test_what_a_dead_sender_had_sent_is_ours(bench: Bench) -> None:
    bench.introduce(1)
    bench.take()
    bench.sayable = {Adopted: True}
    bench.arrive(1, 7, 8)
    assert bench.take()[1:] == [effects.Adopt(1, 7), effects.Adopt(1, 8)]
    bench.arrive(1, *range(100, 150))
    assert bench.take() == [effects.Adopt(1, id) for id in range(100, 150)]
    bench.feed(events.SenderEnded(1))
    assert bench.take() == [effects.HangUp(1)]


def test_what_a_living_sender_cannot_be_told_stays_its_own(bench: Bench) -> None:
    bench.introduce(1)
    bench.take()
    bench.sayable = {Adopted: False}
    bench.arrive(1, 7, 8, 9, bare=[8])
    assert bench.take() == [
        effects.Say(1, Adopted((7, 9))),
        effects.Say(1, Declined(8, Fault.BARE)),
        effects.Drop(1, 7),
        effects.Drop(1, 9),
        effects.HangUp(1),
    ]


def test_nonsense_ends_the_link_and_what_comes_after_it_is_dropped(bench: Bench) -> None:
    bench.introduce(1)
    bench.take()
    bench.feed(events.Nonsense(1))
    bench.arrive(1, 7)
    assert bench.take() == [effects.HangUp(1), effects.Drop(1, 7)]
