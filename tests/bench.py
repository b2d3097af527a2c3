"""A workshop on a bench: plugins are written as text, generations are built, switched and released by hand."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from changeover.workers.generation.solo import Application, SoloSnapshot, Stored, store_plugin
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.generation.workshop import Workshop
from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.resources import LoadStage, PluginVersion
from changeover.workers.plugins.witness import Witness
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import Snapshot, UnitKey
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.lease import Lease, LeaseKind, UnitSet
from changeover.workers.serving.observation import PipelineEvent
from tests.waits import until

LOG: list[str] = []
"""What the hooks of plugins write down."""

HEAD = "from changeover.plugin import *\nfrom tests.bench import LOG\nimport asyncio, os, sys, threading, time\n"

NOISY = """
class Own(Plugin[None]):
    NAME = "{0}"
    def on_load(self, ctx): LOG.append(f"{0} on_load at {{ctx.epoch}}")
    def on_reload(self, ctx, old): LOG.append(f"{0} on_reload from {{old.digest[:4]}}")
    async def on_activate(self): LOG.append("{0} on_activate")
    def on_deactivate(self): LOG.append("{0} on_deactivate")
    async def on_unload(self): LOG.append("{0} on_unload")
"""
"""A plugin that writes down its hooks; `.format(name)`."""


class Cell:
    """A commit cell in memory."""

    def __init__(self) -> None:
        self.epoch = 0

    def read(self) -> int:
        return self.epoch


class Memory(Witness):
    """Remembers what happens in the lives of plugins.

    Attributes:
        moves: Plugin and state.
        fresh: New version, old version, and why nothing was taken over.
        stalls: Unit and hook.
    """

    def __init__(self) -> None:
        self.moves: list[tuple[str, str]] = []
        self.fresh: list[tuple[str, str, str]] = []
        self.stalls: list[tuple[str, str]] = []

    def moved(self, key: UnitKey, state: State) -> None:
        self.moves.append((key.ref.name, state.value))

    def not_taken(self, plugin: PluginVersion, old: PluginVersion, why: str) -> None:
        self.fresh.append((plugin.version, old.version, why))

    def stalled(self, unit: str, hook: str, seconds: float) -> None:
        self.stalls.append((unit, hook))


class Bench:
    """Drives one workshop.

    Attributes:
        drained: Every report of drained units.
        degraded: Every failure that came too late.
        events: What its pipelines and channels told.
        witness: What happened beside that.
        switch: As in a worker.
    """

    def __init__(self, folder: Path, hook_deadline: float = 5.0) -> None:
        LOG.clear()
        self.folder = folder
        self.store = folder / "store"
        self.drained: list[tuple[UnitKey, ...]] = []
        self.degraded: list[Refusal] = []
        self.events: list[PipelineEvent] = []
        self.witness = Memory()
        self.workshop = self.make(hook_deadline)
        self.cell = Cell()
        self.switch = Switch(self.cell, self._activated)
        self._numbers = itertools.count(1)

    def make(self, hook_deadline: float, aftermath: float = 0.0, stage: LoadStage = "worker") -> Workshop:
        return Workshop(
            self.store,
            hook_deadline=hook_deadline,
            aftermath=aftermath,
            on_drained=self.drained.append,
            on_degraded=self.degraded.append,
            counters=Counters(self),
            stage=stage,
            witness=self.witness,
        )

    def note(self, event: PipelineEvent) -> None:
        """See `Observer`."""
        self.events.append(event)

    def _activated(self, old: Generation, new: Generation) -> None:
        self.workshop.activated(old, new)

    def plugin(
        self,
        code: str,
        *,
        id: str = "pricing",
        version: str = "1.0.0",
        manifest: str = "",
        files: Mapping[str, str] | None = None,
        config: Mapping[str, object] | None = None,
    ) -> Stored:
        """Store a plugin whose module is named like it; without a manifest it has the class `Own` with hooks."""
        root = self.folder / f"{id}-{next(self._numbers)}"
        root.mkdir()
        text = manifest or f'plugin = "{id}:Own"\n'
        (root / "plugin.toml").write_text(f'id = "{id}"\nversion = "{version}"\n{text}')
        for name, content in {f"{id}.py": HEAD + code, **(files or {})}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        return store_plugin(root, self.store, config or {})

    def snapshot(self, epoch: int, *plugins: Stored, app: Application | None = None) -> Snapshot:
        """A generation of these plugins, their services, and an application behind the first one's handlers."""
        solo = SoloSnapshot(epoch, self.switch.current.snapshot)
        solo.add_plugins({stored.manifest.id: stored for stored in plugins})
        for stored in plugins:
            solo.add_services(stored.manifest)
        if app is not None:
            solo.add_application(plugins[0].manifest, app)
        return solo.snapshot()

    async def built(self, epoch: int, *plugins: Stored, app: Application | None = None) -> Generation:
        """Build and insist that it is not refused."""
        generation = await self.workshop.build(self.snapshot(epoch, *plugins, app=app))
        assert isinstance(generation, Generation), generation.traceback or generation
        return generation

    async def refused(self, epoch: int, *plugins: Stored, app: Application | None = None) -> Refusal:
        """Build and insist that it is refused."""
        refusal = await self.workshop.build(self.snapshot(epoch, *plugins, app=app))
        assert isinstance(refusal, Refusal), "built, where a refusal was expected"
        return refusal

    async def serve(self, epoch: int, *plugins: Stored, app: Application | None = None) -> Generation:
        """Build, commit, activate, and run the hooks that follow."""
        generation = await self.built(epoch, *plugins, app=app)
        await self.activate(generation)
        return generation

    async def activate(self, generation: Generation) -> None:
        """Commit and activate what was built."""
        old = self.switch.current
        self.switch.prepared = generation
        self.cell.epoch = generation.epoch
        assert self.switch.admit() is generation
        await self.workshop.after_activation(old, generation)

    async def retire(self) -> Sequence[UnitKey]:
        """Wait until everything that drains is told as drained, and release it."""
        await until(lambda: set(self.workshop.draining()) <= set(itertools.chain(*self.drained)), "drained")
        return await self.workshop.release(self.workshop.draining())


def unit_set(generation: Generation, pipeline: str) -> UnitSet:
    """What a request on a pipeline leases."""
    return next(each.unit_set for each in generation.router.targets if each.route.pipeline == pipeline)


def lease(generation: Generation, pipeline: str) -> Lease:
    """A request in flight."""
    return unit_set(generation, pipeline).lease(LeaseKind.HTTP, generation.epoch, "/", since=generation.epoch)


def loaded(generation: Generation, id: str = "pricing") -> LoadedPlugin:
    """A plugin of a generation."""
    return next(unit for unit in generation.units.values() if isinstance(unit, LoadedPlugin) and unit.version.id == id)
