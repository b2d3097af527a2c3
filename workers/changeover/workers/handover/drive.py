"""Drives one machine of a handover: feeds it, performs what it wants, and wakes it."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from changeover.workers.handover.effects import Effect, Wake
from changeover.workers.handover.events import Event


class Machine(Protocol):
    """What decides."""

    def handle(self, event: Event, now: float) -> Sequence[Effect]:
        """Take in what happened, and say what is to be done, in order."""


class Drive:
    """Feeds one machine, in order, and performs its effects in the order given.

    Args:
        loop: Its clock counts.
        machine: Decides.
        perform: What to do for each kind of effect, `Wake` aside.
        on_time: Called at the time that `Wake` asked for.
    """

    __slots__ = ("_events", "_feeding", "_loop", "_machine", "_on_time", "_perform", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        machine: Machine,
        perform: Mapping[type[Effect], Callable[[Any], None]],
        on_time: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._machine = machine
        self._perform: dict[type[Effect], Callable[[Any], None]] = {**perform, Wake: self._set_timer}
        self._on_time = on_time
        self._events: deque[Event] = deque()
        self._feeding = False
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, event: Event) -> None:
        """Let the machine handle an event; one that an effect causes waits until the effects before it are done."""
        self._events.append(event)
        if self._feeding:
            return
        self._feeding = True
        try:
            while self._events:
                for effect in self._machine.handle(self._events.popleft(), self._loop.time()):
                    self._perform[type(effect)](effect)
        finally:
            self._feeding = False

    def stop(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, effect: Wake) -> None:
        self.stop()
        if effect.at is not None:
            self._timer = self._loop.call_at(effect.at, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._on_time()
