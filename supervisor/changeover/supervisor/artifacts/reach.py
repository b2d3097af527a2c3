"""How far a request reaches: which plugins and pipelines it takes from disk. Pure."""

from collections.abc import Mapping

from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.outcome import CutoverRequest, Strategy
from changeover.workers.plugins.globs import compiled
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.protocol.reload import DISABLED, Reload, read_reload
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot

Files = Mapping[str, bytes]


class Reach:
    """What one request takes from disk; what it does not take stays as it serves.

    Somebody who asks gets what they name, or everything that is not disabled. A trigger that asks by itself gets
    what is to be taken so.

    Args:
        request: What is wished for.
        settings: Checked settings.
        current: What is served; None when nothing is, and then everything is taken.

    Attributes:
        names: What was asked for by name; empty for everything.
        policy: What a trigger that asks by itself takes; None when somebody asks.
        swaps: Whether it keeps to the processes that live.
    """

    def __init__(self, request: CutoverRequest, settings: Settings, current: Snapshot | None) -> None:
        self.names = frozenset(request.only)
        self.policy = request.policy
        self.swaps = request.strategy is Strategy.SWAP and current is not None
        self._settings = settings
        units = () if current is None else current.units
        self._serving = {unit.key.ref.name for unit in units if isinstance(unit, PluginSpec)}
        self._everything = current is None

    @property
    def limited(self) -> bool:
        """Whether anything may be left out."""
        return not self._everything and (bool(self.names) or self.policy is not None)

    def plugin(self, name: str) -> bool:
        """Whether a plugin is taken from disk."""
        if self._everything:
            return True
        if self.policy is not None:
            return self._settings.policy(name) == self.policy
        return not self.disabled(name) and (not self.names or name in self.names)

    def disabled(self, name: str) -> bool:
        """Whether a plugin that serves stays as it is, whoever asks."""
        return name in self._serving and self._settings.policy(name) == DISABLED

    def pipeline(self, name: str, owner: str) -> bool:
        """Whether a pipeline is taken from the settings.

        Args:
            name: Its name.
            owner: The plugin whose mount it is; empty when it is none.
        """
        if not self.limited:
            return True
        if self.policy is not None:
            return self.plugin(owner) if owner else self.configuration
        return owner in self.names or name in self.names

    @property
    def configuration(self) -> bool:
        """Whether what the settings say of all is taken."""
        return self.policy is None or read_reload(self._settings.plugins.reload) == self.policy

    @property
    def application(self) -> bool:
        """Whether it matters that the application's files changed."""
        app = self._settings.app
        return self.policy is None or (app is not None and read_reload(app.reload) == self.policy)

    def by_files(self, manifest: Manifest, old: Files, new: Files) -> bool:
        """Whether a plugin is taken from disk, as its changed resources have it: each is to be taken so.

        Args:
            manifest: What it says of itself on disk.
            old: Its files as they serve.
            new: Its files on disk.
        """
        if self.policy is None or self.disabled(manifest.id):
            return self.plugin(manifest.id)
        changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
        if not changed:
            return self.plugin(manifest.id)
        return all(self._of_file(name, manifest) == self.policy for name in changed)

    def _of_file(self, name: str, manifest: Manifest) -> Reload:
        named = (each for each in manifest.resources.values() if compiled([each.path]).fullmatch(name))
        written = (each.reload for each in named if each.reload)
        return next(map(read_reload, written), self._settings.policy(manifest.id))
