"""A plugin as a unit of a worker."""

from pathlib import Path

from changeover.workers.generation.units import Others, Unit
from changeover.workers.plugins import state
from changeover.workers.plugins.hooks import Hooks
from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.modules import Remains
from changeover.workers.plugins.resources import LoadStage
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import PluginSpec
from changeover.workers.serving.attribution import UnitWork


class PluginUnit(Unit):
    """A plugin instance."""

    def __init__(self, spec: PluginSpec, store: Path, hooks: Hooks, stage: LoadStage) -> None:
        super().__init__(spec.key)
        self._requires = spec.requires
        self._plugin = LoadedPlugin(spec, store, hooks, stage)
        self.lifecycle = self._plugin.lifecycle
        self._old: LoadedPlugin | None = None

    @property
    def value(self) -> LoadedPlugin:
        return self._plugin

    async def prepare(self, others: Others) -> None:
        old = others.serving.get(self.key.ref.name)
        await self._plugin.prepare(others.epoch, old, others.keys(self._requires))
        if old is not None and not self._plugin.is_copy:
            self._old = old
            await state.take_over(self._plugin, old)

    async def end(self) -> Refusal | None:
        if self._old is not None and self.lifecycle.state is not State.DRAINING:
            self._old.exported = None
        self._old = None
        return await self._plugin.end()

    async def activate(self) -> Refusal | None:
        self._old = None
        return await self._plugin.activate()

    async def deactivate(self) -> Refusal | None:
        return await self._plugin.deactivate()

    async def hand_on(self, successor: Unit) -> Refusal | None:
        assert isinstance(successor, PluginUnit)
        return await state.merge(successor.value, self._plugin)

    def remains(self) -> tuple[UnitWork, Remains | None]:
        return self._plugin.left, self._plugin.remains
