"""A plugin as a unit of a worker."""

import enum
from pathlib import Path
from typing import Any

from changeover.workers.generation.units import Others, Unit
from changeover.workers.plugins import state
from changeover.workers.plugins.api import Plugin, overrides
from changeover.workers.plugins.hooks import Hooks
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.refused import Refused
from changeover.workers.plugins.remains import Remains
from changeover.workers.plugins.resources import LoadStage, PluginVersion
from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.snapshot import PluginBefore, PluginSpec
from changeover.workers.serving.attribution import UnitWork


class Duty(enum.Enum):
    """How far exclusive work has come here."""

    OFF = "off"
    ON = "on"
    ENDED = "ended"
    """It was told to end, and may have left a thread."""


class PluginUnit(Unit):
    """A plugin instance.

    Attributes:
        migrates_from: What it migrates from before it serves; None where it migrates nothing, or serves.
    """

    def __init__(self, spec: PluginSpec, store: Path, hooks: Hooks, stage: LoadStage) -> None:
        super().__init__(spec.key)
        self._requires = spec.requires
        self._plugin = LoadedPlugin(spec, store, hooks, stage)
        self.lifecycle = self._plugin.lifecycle
        self.migrates_from: PluginVersion | None = None
        self._old: LoadedPlugin | None = None
        self._duty = Duty.OFF

    @property
    def value(self) -> LoadedPlugin:
        return self._plugin

    async def prepare(self, others: Others) -> None:
        old = others.serving.get(self.key.ref.name)
        await self._plugin.prepare(others.epoch, old, others.keys(self._requires))
        if self._plugin.is_copy:
            return
        if old is not None:
            self._old = old
            await state.take_over(self._plugin, old, others.afresh)
        before, instance = others.before(self.key.ref.name), self._plugin.instance
        if before is not None and self._has_other_files(before) and _migrates(instance):
            self.migrates_from = PluginVersion(before.id, before.version, before.digest)

    def _has_other_files(self, before: PluginBefore) -> bool:
        if not before.artifact:
            return before.digest != self.key.digest
        return before.artifact != self._plugin.spec.artifact

    async def migrate(self) -> None:
        """Let it migrate what all workers share.

        Raises:
            Refused: It could not.
        """
        await self._plugin.run("migrate", self.migrates_from, stage=Stage.PREPARE)

    async def unmigrate(self) -> Refusal | None:
        """Let it undo that; what went wrong is told."""
        try:
            await self._plugin.run("unmigrate", self.migrates_from, stage=Stage.PREPARE)
        except Refused as refused:
            return refused.refusal
        return None

    async def end(self) -> Refusal | None:
        if self._old is not None:
            self._old.exported = None
        self._old = None
        return await self._plugin.end()

    def serves(self) -> None:
        super().serves()
        self._old = self.migrates_from = None

    async def activate(self) -> Refusal | None:
        self._duty = Duty.ON
        return await self._plugin.activate()

    async def deactivate(self) -> Refusal | None:
        if not self.exclusive:
            return await self._plugin.deactivate()
        if self._duty is not Duty.ON:
            return None
        told = await self._plugin.deactivate()
        await self._plugin.stop_serving()
        self._duty = Duty.ENDED
        return told

    @property
    def exclusive(self) -> bool:
        return self._plugin.exclusive

    @property
    def leads(self) -> bool:
        if not self.exclusive or self._duty is Duty.OFF:
            return False
        return self._duty is Duty.ON or bool(self._plugin.serving.alive())

    @property
    def exclusive_work(self) -> UnitWork | None:
        return self._plugin.serving if self.leads else None

    async def hand_on(self, successor: Unit) -> Refusal | None:
        assert isinstance(successor, PluginUnit)
        return await state.merge(successor.value, self._plugin)

    def remains(self) -> tuple[UnitWork, Remains | None]:
        return self._plugin.left, self._plugin.remains


def _migrates(instance: Plugin[Any] | None) -> bool:
    return instance is not None and overrides(instance, "migrate")
