"""Feeds a machine and has its effects performed: in order, whatever performing them causes."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

Event = TypeVar("Event", contravariant=True)
Effect = TypeVar("Effect", covariant=True)
E = TypeVar("E")
F = TypeVar("F")


class Machine(Protocol[Event, Effect]):
    """What decides."""

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take in what happened, and say what is to be done, in order."""


def _nothing() -> None:
    """Nothing waits for it."""


class Feeder(Generic[E, F]):
    """Feeds one machine, in order, and performs its effects in the order given.

    Args:
        machine: Decides.
        perform: What to do for each kind of effect.
        clock: Says what time it is for the machine.
        settled: Called each time that feeding ends, with nothing left to be fed or by an error.

    Attributes:
        perform: What to do for each kind of effect.
    """

    __slots__ = ("_clock", "_events", "_feeding", "_machine", "_settled", "perform")

    def __init__(
        self,
        machine: Machine[E, F],
        perform: Mapping[type[F], Callable[[Any], None]],
        clock: Callable[[], float],
        settled: Callable[[], None] = _nothing,
    ) -> None:
        self._machine = machine
        self.perform = perform
        self._clock = clock
        self._settled = settled
        self._events: deque[E] = deque()
        self._feeding = False

    def feed(self, event: E) -> None:
        """Let the machine handle an event; one that an effect causes waits until the effects before it are done.

        Raises:
            Exception: Whatever the machine or an effect raises. The effects that were to follow are not performed.
        """
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                for effect in self._machine.handle(self._events.popleft(), self._clock()):
                    self.perform[type(effect)](effect)
        finally:
            self._feeding = False
            self._settled()
