"""Drives one machine of a handover: feeds it, performs what it wants, and wakes it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from changeover.workers.handover.effects import Effect, Wake
from changeover.workers.handover.events import Event
from changeover.workers.protocol.feeder import Feeder, Machine


class Drive:
    """Feeds one machine and wakes it.

    Args:
        loop: Its clock counts.
        machine: Decides.
        perform: What to do for each kind of effect, `Wake` aside.
        on_time: Called at the time that `Wake` asked for.
    """

    __slots__ = ("_feeder", "_loop", "_on_time", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        machine: Machine[Event, Effect],
        perform: Mapping[type[Effect], Callable[[Any], None]],
        on_time: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._feeder = Feeder(machine, {**perform, Wake: self._set_timer}, loop.time)
        self._on_time = on_time
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, event: Event) -> None:
        """Let the machine handle an event; one that an effect causes waits until the effects before it are done."""
        self._feeder.feed(event)

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
