"""What the plugins of a worker know goes to one of its successors: before the commit, after it, and at the end.

One successor has it all, because state that was split could not be merged again. What it took the last time is kept
here until this worker ends, so that it is given the difference from then on.
"""

import asyncio
import contextvars
import itertools
import math
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from changeover.workers.generation.workshop import Workshop
from changeover.workers.handover.errors import NotTaken
from changeover.workers.handover.giver import LOOK_AGAIN, Giver
from changeover.workers.handover.messages import State
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.refused import Refused
from changeover.workers.plugins.resources import PluginVersion
from changeover.workers.plugins.state import NOTHING, not_given, patience, ungiven
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey

T = TypeVar("T")

ON_THE_WAY = 5.0
"""Seconds that an answer may take beside the hook that it waits for, and that a successor may take to be reached."""
OWED = "it still owes an answer about what it was given before, and could merge that twice"


class Inheritance:
    """Gives state to an heir, and takes that of others.

    Args:
        loop: The worker's loop.
        workshop: Where its plugins are.
        hook_deadline: Seconds for one hook, here as there.
        on_degraded: Told of every failure that comes too late to refuse.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        workshop: Workshop,
        hook_deadline: float,
        on_degraded: Callable[[Refusal], None],
    ) -> None:
        self._loop = loop
        self._workshop = workshop
        self._deadline = hook_deadline + ON_THE_WAY
        self._on_degraded = on_degraded
        self._numbers = itertools.count(1)
        self._heir: WorkerId | None = None
        self._taken: dict[UnitKey, bytes] = {}
        self._given: dict[UnitKey, int] = {}
        self._withheld: set[UnitKey] = set()
        self._candidate = 0
        self._is_final = False
        self._giving = asyncio.Lock()
        self._work: set[asyncio.Task[Any]] = set()

    async def take(self, state: State, imported: bytes, latest: bytes) -> Refusal | None:
        """Give a plugin here what its like in a worker that leaves exported; what went wrong is told there."""
        return await self._workshop.inherit(PluginVersion(state.plugin, state.version, state.digest), imported, latest)

    async def promise(self, giver: Giver, successors: Sequence[WorkerId], candidate: Snapshot) -> Refusal | None:
        """Give all state that the candidate has a plugin for to the first of `successors` that takes any.

        Asked again, it goes on with the one that has it, as long as that lives and is among them.

        Args:
            giver: Reaches them.
            successors: Who is to serve the candidate.
            candidate: What is not committed yet.

        Returns:
            Why it was not taken; the worker cannot agree then.
        """
        return await self._begun(self._promise(giver, successors, candidate))

    async def hand_on(self, giver: Giver, successors: Callable[[], Sequence[WorkerId]]) -> None:
        """Give what came since, after the commit; what goes wrong is told, and made good by the next time."""
        await self._begun(self._give(giver, successors))

    def forget(self) -> None:
        """The worker stays: nobody has anything of it."""
        self._heir = None
        self._withheld.clear()
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._taken.clear()
        self._given.clear()

    async def _begun(self, work: Coroutine[Any, Any, T]) -> T:
        """Do it to its end, whoever waits for it: what is on its way must not be sent a second time."""
        task = self._loop.create_task(work, context=contextvars.Context())
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return await asyncio.shield(task)

    # ---- before the commit ----

    async def _promise(self, giver: Giver, successors: Sequence[WorkerId], candidate: Snapshot) -> Refusal | None:
        async with self._giving:
            if self._candidate != candidate.epoch:
                self._candidate = candidate.epoch
                self._withheld.clear()
            if self._heir not in successors or not self._has_heir(giver):
                self._begin_anew()
                self._heir = _first(giver, successors)
            if (heir := self._heir) is None:
                return None
            for plugin in self._workshop.exporting():
                refusal = await self._promise_one(giver, heir, plugin, candidate)
                if refusal is not None:
                    return refusal
            return None

    async def _promise_one(
        self, giver: Giver, heir: WorkerId, plugin: LoadedPlugin, candidate: Snapshot
    ) -> Refusal | None:
        key, successor = plugin.spec.key, _successor(plugin, candidate)
        if successor is None:
            self._withheld.add(key)
        if key in self._taken or key in self._withheld:
            return None
        try:
            return await self._give_one(giver, heir, plugin, Stage.INITIALISE, patience(candidate.afresh))
        except NotTaken as error:
            return _untaken(plugin, Stage.INITIALISE, str(error))
        except Refused as refused:
            if successor is None or not candidate.afresh:
                return ungiven(plugin, refused.refusal)
            self._withheld.add(key)
            plugin.witness.not_taken(successor, plugin.version, not_given(plugin, refused.refusal))
            return None

    # ---- after it ----

    async def _give(self, giver: Giver, successors: Callable[[], Sequence[WorkerId]]) -> None:
        async with self._giving:
            if not self._is_final and not self._has_heir(giver):
                self._begin_anew()  # whoever had it was gone before it served
            self._is_final = True
            for plugin in self._workshop.exporting():
                refusal = await self._give_on(giver, plugin, successors)
                if refusal is not None:
                    self._on_degraded(refusal)

    async def _give_on(
        self, giver: Giver, plugin: LoadedPlugin, successors: Callable[[], Sequence[WorkerId]]
    ) -> Refusal | None:
        """Give to the heir, or, once that is gone, to the next."""
        if plugin.spec.key in self._withheld:
            return None
        why = f"the state of plugin {plugin.version.id} was not taken: no worker that takes over takes any"
        while (heir := await self._find(giver, successors)) is not None:
            try:
                return await self._give_one(giver, heir, plugin, Stage.COMMIT)
            except Refused as refused:
                return refused.refusal
            except NotTaken as error:
                why = str(error)
                if giver.reaches(heir):
                    break  # it may still take it
        return _untaken(plugin, Stage.COMMIT, why)

    async def _find(self, giver: Giver, successors: Callable[[], Sequence[WorkerId]]) -> WorkerId | None:
        until = self._loop.time() + ON_THE_WAY
        while not self._has_heir(giver):
            self._heir = _first(giver, successors())
            if self._heir is None:
                if self._loop.time() >= until or all(map(giver.lacks, successors())):
                    return None
                await asyncio.sleep(LOOK_AGAIN)
        return self._heir

    # ---- inside ----

    def _has_heir(self, giver: Giver) -> bool:
        return self._heir is not None and giver.reaches(self._heir)

    async def _give_one(
        self, giver: Giver, heir: WorkerId, plugin: LoadedPlugin, stage: Stage, within: float = math.inf
    ) -> Refusal | None:
        """Give one plugin's state, unless nothing came since.

        Returns:
            Why it was refused there.

        Raises:
            NotTaken: Nobody said what became of it.
            Refused: There is none to give: the plugin failed.
        """
        key, version = plugin.spec.key, plugin.version
        if giver.owes(self._given.get(key, 0)):
            raise NotTaken(heir, version.id, OWED)
        latest = await self._workshop.exported(plugin, stage, within)
        imported = self._taken.get(key)
        if latest is None or latest == imported:
            self._taken.setdefault(key, NOTHING)
            return None
        before = imported or NOTHING
        state = State(next(self._numbers), version.id, version.version, version.digest, len(before), len(latest))
        self._given[key] = state.id
        late = partial(self._taken_late, key, state.id, latest)
        refusal = await giver.deliver(heir, state, before, latest, self._deadline, late)
        if refusal is None:
            self._taken[key] = latest
        return refusal

    def _taken_late(self, key: UnitKey, id: int, latest: bytes) -> None:
        if self._given.get(key) == id:
            self._taken[key] = latest


def _first(giver: Giver, successors: Sequence[WorkerId]) -> WorkerId | None:
    return next((each for each in successors if giver.reaches(each)), None)


def _successor(plugin: LoadedPlugin, candidate: Snapshot) -> PluginVersion | None:
    """What the candidate has in the plugin's place."""
    specs = (unit for unit in candidate.units if isinstance(unit, PluginSpec))
    found = next((each for each in specs if each.key.ref == plugin.spec.key.ref), None)
    return None if found is None else PluginVersion(found.key.ref.name, found.version, found.key.digest)


def _untaken(plugin: LoadedPlugin, stage: Stage, why: str) -> Refusal:
    return Refusal(stage, Fault.RESOURCE, why, unit=str(plugin.spec.key.ref))
