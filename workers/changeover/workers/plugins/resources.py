"""What a plugin is given when it is loaded: LoadContext, PluginVersion, Resource.

Public: re-exported by `changeover.plugin`. Nothing here refers to anything that lives, so that a
plugin which keeps what it was given keeps no other version alive.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol import toml

LoadStage = Literal["preflight", "worker"]
"""What a process loads plugins for: to rehearse a cutover, or to serve."""


class ResourceUnusable(ChangeoverError):
    """A resource cannot be used as asked.

    Attributes:
        plugin: The plugin's id.
        name: The resource's name.
        reason: What is wrong.
    """

    def __init__(self, plugin: str, name: str, reason: str) -> None:
        self.plugin = plugin
        self.name = name
        self.reason = reason
        super().__init__(f"resource {name!r} of plugin {plugin}: {reason}")


class PluginVersion(msgspec.Struct, frozen=True):
    """Names one content of a plugin.

    Attributes:
        id: The plugin's id.
        version: Version from its manifest.
        digest: SHA-256 over its files, configuration and what it requires, hexadecimal.
    """

    id: str
    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Resource:
    """Files of the plugin that its manifest names under `[resources]`, read from the artifact store.

    Attributes:
        plugin: The plugin's id.
        name: Its name in the manifest.
        paths: The files that its glob matches, by name; read-only, and there as long as the plugin is loaded.
    """

    plugin: str
    name: str
    paths: tuple[Path, ...]

    @property
    def path(self) -> Path:
        """The one file.

        Raises:
            ResourceUnusable: The glob matches several files, so there is no such thing as the one.
        """
        if len(self.paths) != 1:
            raise ResourceUnusable(self.plugin, self.name, f"{len(self.paths)} files match; use `paths`")
        return self.paths[0]

    def bytes(self) -> bytes:
        """Content of the one file.

        Raises:
            ResourceUnusable: The glob matches several files.
        """
        return self.path.read_bytes()

    def text(self) -> str:
        """Content of the one file, UTF-8.

        Raises:
            ResourceUnusable: The glob matches several files, or it is not UTF-8.
        """
        return self._decoded(self.path)

    def toml(self) -> dict[str, Any]:
        """All files read as TOML and merged at the top level.

        Raises:
            ResourceUnusable: A file is no TOML, or two of them define the same key.
        """
        merged: dict[str, Any] = {}
        for path in self.paths:
            try:
                table = toml.loads(self._decoded(path))
            except toml.NoToml as error:
                raise ResourceUnusable(self.plugin, self.name, f"{path.name} is no TOML: {error}") from error
            if twice := sorted(merged.keys() & table.keys()):
                raise ResourceUnusable(self.plugin, self.name, f"{path.name} defines {twice[0]!r} a second time")
            merged |= table
        return merged

    def _decoded(self, path: Path) -> str:
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError as error:
            reason = f"{path.name} is not UTF-8: {error.reason} at byte {error.start}"
            raise ResourceUnusable(self.plugin, self.name, reason) from error


@dataclass(frozen=True, slots=True)
class LoadContext:
    """Given to `on_load` and `on_reload`.

    Attributes:
        stage: `worker` in a process that will serve, `preflight` in one that rehearses the cutover: it serves nobody,
            and never runs `on_activate` and `on_deactivate`.
        plugin: Which content is loaded.
        epoch: The epoch given to the candidate.
        resources: By name, as the manifest declares them.
    """

    stage: LoadStage
    plugin: PluginVersion
    epoch: int
    resources: dict[str, Resource]

    def resource(self, name: str) -> Resource:
        """The files that the manifest names under `[resources]`.

        Raises:
            ResourceUnusable: The manifest declares no such resource.
        """
        if name not in self.resources:
            declared = ", ".join(sorted(self.resources)) or "none"
            raise ResourceUnusable(self.plugin.id, name, f"not in the manifest, which declares: {declared}")
        return self.resources[name]
