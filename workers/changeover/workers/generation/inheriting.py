"""State that plugins give to those of another process, and take from there."""

from collections.abc import Sequence

from changeover.workers.generation.switch import NOTHING, Generation
from changeover.workers.plugins import state
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.refused import Site, refusal_of
from changeover.workers.plugins.resources import PluginVersion
from changeover.workers.protocol.refusal import Fault, Refusal, Stage


def exporting(generation: Generation) -> list[LoadedPlugin]:
    """The plugins of a generation that have state to give, in build order."""
    return [plugin for plugin in _plugins(generation) if state.exports(plugin)]


async def inherit(live: Sequence[Generation], old: PluginVersion, imported: bytes, latest: bytes) -> Refusal | None:
    """Give the plugin that serves, or is the first to serve, what `old` exported in another process.

    Args:
        live: The generations that serve or may serve, the latest last.
        old: The plugin there.
        imported: What of it was taken the last time; empty where nothing was.
        latest: What it exports now.

    Returns:
        What went wrong; None when it was taken, or is not wanted here.
    """
    generation = next((each for each in live if each is not NOTHING), None)
    if generation is None:
        return Refusal(Stage.PREPARE, Fault.RESOURCE, "nothing serves there or is prepared that could take it")
    heir = next((each for each in _plugins(generation) if each.version.id == old.id), None)
    try:
        return None if heir is None else await state.inherit(heir, old, imported, latest)
    except Exception as error:  # noqa: BLE001 - whoever gave it is told whatever was overlooked
        return refusal_of(error, Site(Stage.PREPARE, f"plugin {old.id}"))


def _plugins(generation: Generation) -> list[LoadedPlugin]:
    return [each for each in generation.units.values() if isinstance(each, LoadedPlugin)]
