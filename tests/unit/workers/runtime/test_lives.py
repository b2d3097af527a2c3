"""A worker reports what happens in the lives of its plugins: moves together, the rest at once."""

import asyncio

from changeover.workers.participant import events
from changeover.workers.participant.events import Event
from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.resources import PluginVersion
from changeover.workers.protocol.plugin_messages import PluginMove
from changeover.workers.protocol.snapshot import UnitKey, UnitKind, UnitRef
from changeover.workers.runtime.lives import Lives
from tests.waits import until

KEY = UnitKey(UnitRef(UnitKind.PLUGIN, "pricing"), "9c41ab", 6)


async def test_moves_that_follow_each_other_are_one_report() -> None:
    told: list[Event] = []
    lives = Lives(asyncio.get_running_loop(), told.append, lambda: True)
    for state in (State.LOADED, State.LINKED, State.INITIALIZED):
        lives.moved(KEY, state)
    await until(lambda: told, "the moves to be told")
    lives.moved(KEY, State.ACTIVE)
    await until(lambda: len(told) == 2, "the next move to be told")
    assert told == [
        events.PluginsMoved(tuple(PluginMove(KEY, state) for state in ("Loaded", "Linked", "Initialized"))),
        events.PluginsMoved((PluginMove(KEY, "Active"),)),
    ]


async def test_what_stalls_and_what_begins_afresh_is_told_at_once() -> None:
    told: list[Event] = []
    lives = Lives(asyncio.get_running_loop(), told.append, lambda: True)
    lives.stalled("plugin pricing", "on_activate", 0.07)
    lives.not_taken(
        PluginVersion("pricing", "2.0", "b"), PluginVersion("pricing", "1.0", "a"), "it has no import_state"
    )
    assert told == [
        events.HookStalled("plugin pricing", "on_activate", 0.07),
        events.StateNotTaken("pricing", "2.0", "1.0", "it has no import_state"),
    ]


async def test_what_stalls_a_worker_that_serves_nothing_yet_is_no_news() -> None:
    told: list[Event] = []
    Lives(asyncio.get_running_loop(), told.append, lambda: False).stalled("application app", "lifespan startup", 2.0)
    assert told == []
