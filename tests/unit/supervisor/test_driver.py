"""The driver outlives what goes wrong around it, and leaves when it cannot know what was done."""

import asyncio
from typing import Any, cast

from changeover.supervisor.core import effects, events
from changeover.supervisor.core.effects import Effect
from changeover.supervisor.core.entries import TermBegun
from changeover.supervisor.core.events import Event
from changeover.supervisor.core.machine import Machine
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.retirement import EpochRetired
from changeover.supervisor.driver import Driver, Hands
from tests.waits import until

STOP = events.StopRequested()


class Scripted:
    """A machine that answers its first event with what it was given, and every other with nothing."""

    def __init__(self, *answers: Effect) -> None:
        self.answers = answers
        self.handled: list[Event] = []

    def handle(self, event: Event, now: float) -> tuple[Effect, ...]:
        self.handled.append(event)
        return self.answers if len(self.handled) == 1 else ()


class World:
    """A driver with hands of which most are missing, so that what needs them fails."""

    def __init__(self, *answers: Effect) -> None:
        self.machine = Scripted(*answers)
        self.told: list[Record] = []
        self.broken: list[Exception] = []
        self.driver = Driver(asyncio.get_running_loop(), cast(Machine, self.machine))
        missing = cast(Any, None)
        self.driver.attach(
            Hands(
                cell=missing,
                link=missing,
                cohorts=missing,
                preflights=missing,
                addresses=missing,
                journal=missing,
                scanner=missing,
                scan_thread=missing,
                serving=missing,
                held=frozenset,
                quarantine=tuple,
                birth=missing,
                replacement=missing,
                upgraded=missing,
                tell=self.tell,
                resolve=missing,
                answer=missing,
                counted=missing,
                exit=missing,
                broken=self.broken.append,
            )
        )

    def tell(self, record: Record) -> None:
        if record == EpochRetired(6):
            raise ValueError("no words for 6")
        self.told.append(record)


async def test_a_record_that_cannot_be_told_keeps_no_other_from_being_told() -> None:
    world = World(effects.Tell(EpochRetired(6)), effects.Tell(EpochRetired(7)))
    world.driver.feed(STOP)
    await until(lambda: world.told == [EpochRetired(7)])
    world.driver.tell(EpochRetired(8))
    await until(lambda: world.told == [EpochRetired(7), EpochRetired(8)])


async def test_after_an_effect_that_failed_nothing_more_is_decided() -> None:
    world = World(effects.StoreCell(7), effects.Tell(EpochRetired(7)))
    world.driver.feed(STOP)
    world.driver.feed(STOP)
    assert [type(error) for error in world.broken] == [AttributeError]
    assert world.machine.handled == [STOP]


async def test_an_entry_that_cannot_be_written_for_whatever_reason_is_answered() -> None:
    world = World(effects.Persist(1, TermBegun(2)))
    world.driver.feed(STOP)
    await until(lambda: len(world.machine.handled) == 2)
    answer = world.machine.handled[1]
    assert isinstance(answer, events.PersistFailed)
    assert "a bug in changeover" in answer.reason
