"""Which unit a spec describes."""

from pathlib import Path

from changeover.workers.generation.answering_units import ApplicationUnit, ServiceUnit
from changeover.workers.generation.assembled_units import ChannelUnit, PipelineUnit
from changeover.workers.generation.plugin_unit import PluginUnit
from changeover.workers.generation.ready_made import ReadyMadeHandlers
from changeover.workers.generation.units import Unit
from changeover.workers.plugins.hooks import Hooks
from changeover.workers.plugins.resources import LoadStage
from changeover.workers.protocol.snapshot import ApplicationSpec, ChannelSpec, PluginSpec, ServiceSpec, UnitSpec
from changeover.workers.serving.counters import Counters


def unit_of(
    spec: UnitSpec, store: Path, hooks: Hooks, counters: Counters, ready_made: ReadyMadeHandlers, stage: LoadStage
) -> Unit:
    """Make the unit that `spec` describes; nothing is begun yet."""
    if isinstance(spec, PluginSpec):
        return PluginUnit(spec, store, hooks, stage)
    if isinstance(spec, ApplicationSpec):
        return ApplicationUnit(spec, hooks)
    if isinstance(spec, ServiceSpec):
        return ServiceUnit(spec, hooks)
    if isinstance(spec, ChannelSpec):
        return ChannelUnit(spec, store, hooks, counters)
    return PipelineUnit(spec, counters, ready_made)
