"""Who hears what happens in the lives of plugins, beside what is refused or fails."""

from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.resources import PluginVersion
from changeover.workers.protocol.snapshot import UnitKey


class Witness:
    """Hears on the loop's thread, and changes nothing; this one forgets what it hears."""

    def begins(self, unit: str, hook: str) -> None:
        """Code of a unit is about to run: its hook, or what brings it to the next stage. Called on the loop."""

    def moved(self, key: UnitKey, state: State) -> None:
        """A plugin instance came to `state`."""

    def not_taken(self, plugin: PluginVersion, old: PluginVersion, why: str) -> None:
        """What is loaded begins without the state of what serves."""

    def stalled(self, unit: str, hook: str, seconds: float) -> None:
        """A hook kept the loop from running, at one stretch."""

    def hung(self, unit: str, hook: str) -> None:
        """A hook did not end within its deadline: it was left behind, or returned when that was over."""


DEAF = Witness()
