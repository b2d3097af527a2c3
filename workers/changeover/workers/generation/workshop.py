"""Where a worker's generations are made and unmade: the one thing that the runtime drives.

The life of a generation here: `build`, then either `discard`, or `activated` (right after the
switch, no user code) and `after_activation` (the hooks that cannot refuse); each of its units ends
with `release`, once the generation that serves lacks it and no lease holds it.
"""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Collection, Iterable
from functools import partial
from pathlib import Path

from changeover.workers.errors import ChangeoverError
from changeover.workers.generation import inheriting
from changeover.workers.generation.build import assemble, prepare
from changeover.workers.generation.drain import Drains, OnDrained, noted
from changeover.workers.generation.exclusive import Exclusive
from changeover.workers.generation.making import unit_of
from changeover.workers.generation.migrations import Migrations
from changeover.workers.generation.pinning import pin_application
from changeover.workers.generation.plugin_unit import PluginUnit
from changeover.workers.generation.ready_made import ReadyMadeHandlers
from changeover.workers.generation.release import OnDegraded, end
from changeover.workers.generation.remnants import Leak, Remnants
from changeover.workers.generation.switch import NOTHING, Generation
from changeover.workers.generation.units import Unit
from changeover.workers.plugins import state
from changeover.workers.plugins.hooks import Hooks
from changeover.workers.plugins.lifecycle import State, Step
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.refused import Origin, Refused, Site
from changeover.workers.plugins.resources import LoadStage, PluginVersion
from changeover.workers.plugins.witness import DEAF, Witness
from changeover.workers.protocol.plugin_messages import PluginEntry
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.snapshot import ApplicationSpec, Snapshot, UnitKey, UnitSpec
from changeover.workers.serving.attribution import UnitWork
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.lease import Lease, UnitSet


class StillServing(ChangeoverError):
    """Units were to be released that the serving or a prepared generation contains; nothing was released.

    Attributes:
        units: Those units.
    """

    def __init__(self, units: tuple[UnitKey, ...]) -> None:
        self.units = units
        super().__init__(f"not released, because they serve or are prepared: {', '.join(map(str, units))}")


class Workshop:
    """Builds, discards and releases, and knows every unit that is resident in this worker.

    All methods belong to the loop's thread. Builds and discards follow each other; releases and the hooks
    after an activation follow each other; the two sequences do not wait for one another.

    Args:
        store: The artifact store.
        hook_deadline: Seconds for one hook, one import, or one lifespan's startup or shutdown.
        on_drained: Told once of every unit that the serving generation lacks and that no lease holds any more;
            never before `activated` returned.
        on_degraded: Told of every failure that comes too late to refuse: the epoch stays.
        aftermath: Seconds after an activation until anything is told as drained.
        counters: Of the worker: pipelines count there, and their observer hears of what happens.
        stage: What plugins are loaded for; in a preflight no `on_activate` and no `on_deactivate` runs.
        witness: Hears what happens in the lives of plugins.
        leads: Whether exclusive work of plugins runs here from the start: nobody else is there who could lead.

    Attributes:
        exclusive: Begins and ends that work.
        migrations: What is migrated for candidates.
        remnants: What ended here, until it is seen to be gone.
    """

    def __init__(
        self,
        store: Path,
        *,
        hook_deadline: float,
        on_drained: OnDrained,
        on_degraded: OnDegraded,
        aftermath: float = 0.0,
        counters: Counters | None = None,
        stage: LoadStage = "worker",
        witness: Witness = DEAF,
        leads: bool = True,
    ) -> None:
        self._counters = counters or Counters()
        self._store = store
        self._stage: LoadStage = stage
        self._aftermath = aftermath
        self._hooks = Hooks(hook_deadline, witness, rehearses=stage == "preflight")
        self._ready_made = ReadyMadeHandlers()
        self._on_degraded = on_degraded
        self._resident: dict[UnitKey, Unit] = {}
        self._drains = Drains(noted(self._resident, on_drained))
        self.remnants = Remnants()
        self._serving = NOTHING
        self._prepared: dict[int, Generation] = {}
        self._to_deactivate: dict[UnitKey, Unit] = {}
        self._to_activate: dict[UnitKey, Unit] = {}
        self._stood_down: set[UnitKey] = set()
        self._moves: deque[tuple[Generation, Generation]] = deque()
        self._preparing = asyncio.Lock()
        self._following = asyncio.Lock()
        self.migrations = Migrations(self._preparing, self._prepared, self._resident, on_degraded)
        self.exclusive = Exclusive(
            leads, self._following, self._resident, lambda: self._serving.units, self._to_activate, on_degraded
        )

    async def build(self, snapshot: Snapshot) -> Generation | Refusal:
        """Build a generation beside what serves, sharing every unit that is resident already.

        A refusal, an error or a cancellation leaves nothing behind: what was begun for it is ended in reverse.
        """
        async with self._preparing:
            self._catch_up()
            begun: list[Unit] = []
            try:
                await self._pin(snapshot.application)
                units = await prepare(snapshot, self._resident, self._plugins(), self._make, begun)
                generation = assemble(snapshot, units, self._unit_sets())
            except Refused as refused:
                await self._unwind(begun)
                return refused.refusal
            except BaseException:
                await self._unwind(begun)
                raise
            self._resident |= {unit.key: unit for unit in begun}
            self._prepared[snapshot.epoch] = generation
            return generation

    async def _pin(self, application: ApplicationSpec | None) -> None:
        """Pin the application's modules, before the first plugin that may import some of them."""
        if application is None or application.key in self._resident:
            return
        key, directory = application.key, Path(application.directory)
        site = Site(Stage.LOAD, str(key.ref), origin=Origin(directory))
        pinned = (application.artifact, application.distributions, key.since)
        pinning = partial(pin_application, self._store, directory, *pinned)
        await self._hooks.beside(pinning, site, UnitWork(str(key.ref)))

    def _make(self, spec: UnitSpec) -> Unit:
        return unit_of(spec, self._store, self._hooks, self._counters, self._ready_made, self._stage)

    async def _unwind(self, gone: list[Unit]) -> None:
        """End units; once begun it goes on to its end, also when whoever waits for it is cancelled."""
        self.exclusive.ending(gone)
        await asyncio.shield(asyncio.ensure_future(end(gone, self._on_degraded)))
        self.remnants.remember(gone)

    def _live(self) -> list[Generation]:
        """The generations that serve or may serve, the latest last."""
        return [self._serving, *self._prepared.values()]

    def _plugins(self) -> dict[str, LoadedPlugin]:
        """What a candidate replaces, by plugin id."""
        units = (unit for generation in self._live() for unit in generation.units.values())
        return {unit.version.id: unit for unit in units if isinstance(unit, LoadedPlugin)}

    def _unit_sets(self) -> dict[frozenset[UnitKey], UnitSet]:
        return {unit_set.keys: unit_set for generation in self._live() for unit_set in generation.unit_sets}

    async def discard(self, generation: Generation) -> None:
        """Unwind a generation that was built and never activated; one that was discarded before is passed over."""
        async with self._preparing:
            if self._prepared.get(generation.epoch) is not generation:
                return
            del self._prepared[generation.epoch]
            kept = self._kept() | set(self._drains.draining)
            gone = [self._resident.pop(key) for key in generation.units if key not in kept]
            await self._unwind(gone)

    def _kept(self) -> set[UnitKey]:
        return {key for generation in self._live() for key in generation.units}

    def activated(self, old: Generation, new: Generation) -> None:
        """Take note that the pointer moved; runs no user code, does not fail, and leaves what can wait for later."""
        self._prepared.pop(new.epoch, None)
        self._serving = new
        self._moves.append((old, new))
        asyncio.get_running_loop().call_later(self._aftermath, self._catch_up)
        self._drains.begin((key for key in old.units if key not in new.units), old.unit_sets - new.unit_sets)

    def _catch_up(self) -> None:
        """Do for every move of the pointer what could wait."""
        while self._moves:
            old, new = self._moves.popleft()
            for key in new.units:
                if key not in old.units:
                    self._resident[key].serves()
                    self._to_activate[key] = self._resident[key]
            for key in old.units:
                if key not in new.units:
                    self._resident[key].lifecycle.advance(Step.DRAIN)
                    self._to_deactivate[key] = self._resident[key]
        self._drains.sweep()

    async def after_activation(self, old: Generation, new: Generation) -> None:
        """Run the hooks that cannot refuse; failures go to `on_degraded`.

        What was replaced stops its consumers, gives what came to it since it was exported, and what is new starts.
        """
        self._catch_up()
        async with self._following:
            dropped = [key for key in old.units if key not in new.units]
            await self._deactivate(reversed(dropped))
            await self._hand_on(dropped, new)
            for key in new.units:
                unit = self._to_activate.pop(key, None)
                if unit is not None and unit.lifecycle.state is State.ACTIVE and self.exclusive.admits(unit):
                    self._tell(await unit.activate())

    async def _deactivate(self, keys: Iterable[UnitKey]) -> None:
        for key in keys:
            unit = self._to_deactivate.pop(key, None)
            if unit is not None and self._to_activate.pop(key, None) is None and key not in self._stood_down:
                self._tell(await unit.deactivate())

    async def _hand_on(self, keys: Iterable[UnitKey], new: Generation) -> None:
        """Let what was replaced give its successors in `new` what came to it since they were prepared."""
        successors = {key.ref: self._resident.get(key) for key in new.units}
        for key in keys:
            unit, successor = self._resident.get(key), successors.get(key.ref)
            if unit is not None and successor is not None:
                self._tell(await unit.hand_on(successor))

    # ---- from process to process ----

    def exporting(self) -> list[LoadedPlugin]:
        """The plugins that serve and have state to give, in build order."""
        return inheriting.exporting(self._serving)

    async def exported(self, plugin: LoadedPlugin, stage: Stage, within: float) -> bytes | None:
        """What a plugin gives to the process that replaces this one; None for nothing.

        Raises:
            Refused: Its hook failed, gave what is no state, or gave too much.
        """
        async with self._following:
            return await state.exported(plugin, stage, within)

    async def inherit(self, old: PluginVersion, imported: bytes, latest: bytes) -> Refusal | None:
        """See `inheriting.inherit`."""
        if self._serving is not NOTHING:
            return await self._inherit(old, imported, latest)
        async with self._preparing:
            return await self._inherit(old, imported, latest)

    async def _inherit(self, old: PluginVersion, imported: bytes, latest: bytes) -> Refusal | None:
        async with self._following:
            self._catch_up()
            return await inheriting.inherit(self._live(), old, imported, latest)

    async def stand_down(self) -> None:
        """Run `on_deactivate` of what serves, in reverse: other processes serve from now on.

        It runs only once, and so to its end, also when whoever waits for it is cancelled.
        """
        await asyncio.shield(asyncio.ensure_future(self._stand_down()))

    async def _stand_down(self) -> None:
        self._catch_up()
        async with self._following:
            for key in reversed(list(self._serving.units)):
                if key not in self._stood_down:
                    self._stood_down.add(key)
                    if self._to_activate.pop(key, None) is None:
                        self._tell(await self._resident[key].deactivate())

    async def settle(self, patience: float) -> None:
        """Wait until no lease is held, and let what drains give what serves its last state.

        Args:
            patience: Seconds after which what is still written goes to nobody.
        """
        self._drains.begin((), self._serving.unit_sets)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._drains.free(tuple(self._resident))
        async with self._following:
            await self._hand_on(self._drains.draining, self._serving)

    def _tell(self, refusal: Refusal | None) -> None:
        if refusal is not None:
            self._on_degraded(refusal)

    async def release(self, units: Iterable[UnitKey]) -> tuple[UnitKey, ...]:
        """Release drained units in reverse build order: last state, hooks, lifespans, modules, references.

        A unit that is leased again since it was told as drained is waited for, without keeping others waiting; one
        that was leased while it gave its last state gives it once more.

        Returns:
            What was released now; a unit that was released before is passed over.

        Raises:
            StillServing: A unit serves or is prepared. Nothing is released.
        """
        wanted = frozenset(units)
        while True:
            await self._drains.free(self._releasable(wanted))
            async with self._following:
                keys = self._releasable(wanted)
                if any(map(self._drains.held, keys)):
                    continue
                await self._deactivate(reversed(keys))
                freed = self._drains.freed(keys)
                await self._hand_on(keys, self._serving)
                if self._drains.freed(keys) == freed and not any(map(self._drains.held, keys)):
                    self._drains.finish(keys)
                    await self._unwind([self._resident.pop(key) for key in keys])
                    return tuple(keys)

    def _releasable(self, wanted: Collection[UnitKey]) -> list[UnitKey]:
        self._catch_up()  # the last lease may go, and be told, before what could wait was done
        keys = [key for key in self._resident if key in wanted]
        serving = tuple(key for key in keys if self._resident[key].lifecycle.state is not State.DRAINING)
        if serving:
            raise StillServing(serving)
        return keys

    def resident(self) -> tuple[UnitKey, ...]:
        """Every unit whose instance lives here: serving, prepared, or draining."""
        return tuple(self._resident)

    def plugins(self) -> tuple[PluginEntry, ...]:
        """Every plugin instance that lives here, in build order."""
        plugins = (unit for unit in self._resident.values() if isinstance(unit, PluginUnit))
        return tuple(
            PluginEntry(each.key, each.lifecycle.state.value, each.value.loaded_at, each.leads) for each in plugins
        )

    def draining(self) -> tuple[UnitKey, ...]:
        """Every resident unit that the serving generation lacks, oldest cutover first."""
        return self._drains.draining

    def leases(self) -> list[Lease]:
        """Every lease that is held here, on whatever generation."""
        unit_sets = self._serving.unit_sets | self._drains.unit_sets
        return [lease for unit_set in unit_sets for lease in unit_set.live_leases()]

    @property
    def left_behind(self) -> int:
        """How many threads hang in what was to be built or unloaded, past its deadline."""
        return self._hooks.left_behind

    def leases_over(self, bound: int) -> list[Lease]:
        """The leases, oldest first, that must end so that no unit has more than `bound` resident copies."""
        return self._drains.leases_over(bound, self._resident)

    def leaks(self) -> list[Leak]:
        """What is alive of released units. Collects garbage first, so it takes as long as that does."""
        return self.remnants.leaks()

    def copies(self) -> dict[str, int]:
        """Unit, as its `UnitRef` reads -> copies that are alive, those included that were released and are not gone."""
        alive = Counter(key.ref for key in self._resident) + self.remnants.copies()
        return {str(ref): count for ref, count in alive.items()}

    async def close(self, patience: float = 0.0) -> list[Lease]:
        """End everything, in reverse: the worker leaves.

        Args:
            patience: Seconds that tasks which requests left behind have until their units end under them.

        Returns:
            The leases that were still held then, and asked to end.
        """
        held: list[Lease] = []
        for generation in list(self._prepared.values()):
            await self.discard(generation)
        if self._serving is not NOTHING:
            last, empty = self._serving, NOTHING
            self.activated(last, empty)
            await self.after_activation(last, empty)
            held = await self._let_go(patience)
        async with self._following:
            gone = list(self._resident.values())
            self._drains.finish(self._resident)
            self._resident.clear()
            await self._unwind(gone)
        self._hooks.close()
        return held

    async def _let_go(self, patience: float) -> list[Lease]:
        try:
            async with asyncio.timeout(patience):
                await self._drains.free(tuple(self._resident))
        except TimeoutError:
            held = self.leases()
            for lease in held:
                lease.end("the worker leaves")
            return held
        return []
