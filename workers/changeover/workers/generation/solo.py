"""A snapshot for a worker on its own: a plugin, what it needs, and something behind its handlers.

A supervisor makes snapshots out of a whole configuration. Here, for tests of plugins, the
proposals in the manifest are taken as they are.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.plugins import artifact, manifest_reading
from changeover.workers.plugins.artifact import SIGNATURE
from changeover.workers.plugins.manifest import MANIFEST, Manifest
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.plugins.order import arranged
from changeover.workers.plugins.partial import code_of
from changeover.workers.plugins.wheel import SUFFIX, read_wheel
from changeover.workers.protocol.document import Mistake
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    HandlerRef,
    PipelineSpec,
    PluginSpec,
    Route,
    ServiceSpec,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
    UnitSpec,
)


class RequirementUnmet(ChangeoverError):
    """A plugin requires another that was not given, or plugins or handlers require each other in a circle.

    Attributes:
        plugin: The plugin or handler that requires.
        required: What it requires.
    """

    def __init__(self, plugin: str, required: str) -> None:
        self.plugin = plugin
        self.required = required
        super().__init__(f"{plugin} requires {required}, which is not there or requires it too; give it with `beside`")


def _in_order(plugin: Manifest) -> tuple[HandlerRef, ...]:
    try:
        return arranged({HandlerRef(plugin.id, name): declared for name, declared in plugin.handlers.items()})
    except CycleError as error:
        raise RequirementUnmet(str(error.args[1][0]), str(error.args[1][1])) from None


@dataclass(frozen=True, slots=True)
class Stored:
    """A plugin that was copied to the store.

    Attributes:
        manifest: What it says about itself.
        artifact: Its digest.
        config: Its configuration, MessagePack.
        store: The artifact store.
        distribution: `name==version` of the installed distribution that it is part of; empty for none.
        granted: Capabilities that it has, sorted.
    """

    manifest: Manifest
    artifact: str
    config: bytes
    store: Path
    distribution: str = ""
    granted: tuple[str, ...] = ()


def store_plugin(path: Path, store: Path, config: Mapping[str, Any], distribution: str = "") -> Stored:
    """Copy a plugin's folder, wheel or file to the store and read its manifest.

    Raises:
        UnreadableArtifact: `path` cannot be read.
        ManifestInvalid: It is no plugin.
    """
    files = artifact.read_files(path)
    if path.suffix == SUFFIX and path.name in files:
        files = read_wheel(files[path.name], str(path))
    files.pop(SIGNATURE, None)
    manifest = _manifest_of(path, files)
    digest = artifact.put(store, files)
    return Stored(manifest, digest, msgspec.msgpack.encode(config), store, distribution)


def _manifest_of(path: Path, files: artifact.Files) -> Manifest:
    """The manifest, with mistakes in it told of the file that was given and not of its copy."""
    if path.is_dir():
        return manifest_reading.load(path)
    if path.suffix == SUFFIX:
        return manifest_reading.read_toml(files[MANIFEST].decode("utf-8", "replace"), f"{path}/{MANIFEST}")
    single = manifest_reading.read_script(files[path.name].decode("utf-8", "replace"), str(path))
    if single is None:
        raise ManifestInvalid(str(path), [Mistake("$", "no `# /// script` block with a [tool.changeover] table")])
    return single


@dataclass(frozen=True, slots=True)
class Application:
    """What answers behind the handlers where no service of the plugin does: `module:attribute` in a folder."""

    target: str
    directory: str


class SoloSnapshot:
    """Collects the units of one generation.

    Args:
        epoch: Its epoch.
        before: The generation before it, whose equal units are the same instances.
    """

    def __init__(self, epoch: int, before: Snapshot) -> None:
        self._epoch = epoch
        self._before = {unit.key.ref: unit for unit in before.units}
        self._units: dict[UnitRef, UnitSpec] = {}
        self._routes: list[Route] = []

    def _key(self, kind: UnitKind, name: str, requires: Iterable[UnitRef], *content: object) -> UnitKey:
        ref = UnitRef(kind, name)
        below = [self._units[each].key.digest for each in requires]
        digest = hashlib.sha256(msgspec.msgpack.encode([ref, content, below], order="sorted")).hexdigest()
        known = self._before.get(ref)
        return known.key if known and known.key.digest == digest else UnitKey(ref, digest, self._epoch)

    def _code(self, ref: UnitRef, stored: Stored) -> str:
        before = self._before.get(ref)
        return code_of(stored.manifest, stored.store, stored.artifact, before) if isinstance(before, PluginSpec) else ""

    def add_plugins(self, plugins: Mapping[str, Stored]) -> None:
        """Add plugins, each after what it requires.

        Raises:
            RequirementUnmet: One requires a plugin that is not among them.
        """
        graph = {name: set(stored.manifest.requires) for name, stored in plugins.items()}
        for name, required in graph.items():
            if missing := sorted(required - plugins.keys()):
                raise RequirementUnmet(name, missing[0])
        try:
            order = list(TopologicalSorter(graph).static_order())
        except CycleError as error:
            raise RequirementUnmet(error.args[1][0], error.args[1][1]) from None
        for name in order:
            stored = plugins[name]
            requires = tuple(UnitRef(UnitKind.PLUGIN, each) for each in sorted(graph[name]))
            further = [each for each in (stored.distribution, stored.granted) if each]
            key = self._key(UnitKind.PLUGIN, name, requires, stored.artifact, stored.config, *further)
            code, version = self._code(key.ref, stored), stored.manifest.version
            self._units[key.ref] = PluginSpec(
                key,
                version,
                stored.artifact,
                requires,
                stored.config,
                code,
                stored.granted,
                stored.distribution,
            )

    def add_services(self, plugin: Manifest) -> None:
        """Mount every service of a plugin where it proposes, `/<name>` without a proposal, behind its handlers."""
        requires = (UnitRef(UnitKind.PLUGIN, plugin.id),)
        for service, declared in plugin.services.items():
            key = self._key(UnitKind.SERVICE, f"{plugin.id}:{service}", requires, service)
            self._units[key.ref] = ServiceSpec(key, plugin.id, service, requires)
            self._add_pipeline(key.ref, plugin, Route(key.ref.name, declared.mount or f"/{service}", mounted=True))

    def add_application(self, plugin: Manifest, application: Application) -> None:
        """Let an application answer everything that no service answers, behind the plugin's handlers."""
        if any(route.path == "/" for route in self._routes):
            return
        key = self._key(UnitKind.APPLICATION, "app", (), application.target, application.directory)
        self._units[key.ref] = ApplicationSpec(key, application.target, application.directory)
        self._add_pipeline(key.ref, plugin, Route("app"))

    def _add_pipeline(self, target: UnitRef, plugin: Manifest, route: Route) -> None:
        handlers = _in_order(plugin)
        requires = (UnitRef(UnitKind.PLUGIN, plugin.id), target)
        key = self._key(UnitKind.PIPELINE, route.pipeline, requires, [str(each) for each in handlers])
        self._units[key.ref] = PipelineSpec(key, handlers, target, requires)
        self._routes.append(route)

    def snapshot(self) -> Snapshot:
        """The generation, as a supervisor would send it."""
        units = tuple(self._units.values())
        digest = hashlib.sha256(msgspec.msgpack.encode([[unit.key.digest for unit in units], self._routes]))
        return Snapshot(self._epoch, digest.hexdigest(), units, tuple(self._routes))
