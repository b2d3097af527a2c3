"""Reports what happens in the lives of plugins."""

import asyncio
from collections.abc import Callable

from changeover.workers.participant import events
from changeover.workers.participant.events import Event
from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.resources import PluginVersion
from changeover.workers.plugins.witness import Witness
from changeover.workers.protocol.plugin_messages import PluginMove
from changeover.workers.protocol.snapshot import UnitKey

GATHER = 0.05
"""Seconds in which moves gather before they are told: a whole swap is one report."""


class Lives(Witness):
    """The witness of one worker.

    Args:
        loop: The worker's loop.
        feed: Takes what is to be reported.
        serves: Whether anything is served yet: in a worker that boots nobody waits for the loop.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, feed: Callable[[Event], None], serves: Callable[[], bool]
    ) -> None:
        self._loop = loop
        self._feed = feed
        self._serves = serves
        self._moves: list[PluginMove] = []

    def moved(self, key: UnitKey, state: State) -> None:
        if not self._moves:
            self._loop.call_later(GATHER, self._tell)
        self._moves.append(PluginMove(key, state.value))

    def _tell(self) -> None:
        moves, self._moves = tuple(self._moves), []
        self._feed(events.PluginsMoved(moves))

    def not_taken(self, plugin: PluginVersion, old: PluginVersion, why: str) -> None:
        self._feed(events.StateNotTaken(plugin.id, plugin.version, old.version, why))

    def stalled(self, unit: str, hook: str, seconds: float) -> None:
        if self._serves():
            self._feed(events.HookStalled(unit, hook, seconds))
