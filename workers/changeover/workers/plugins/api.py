"""What plugin authors subclass and receive: Plugin, LoadContext, PluginVersion, Resource, asgi, wsgi.

Public: re-exported by `changeover.plugin`. Nothing here refers to anything that lives, so that a
plugin which keeps what it was given keeps no other version alive.
"""

import tomllib
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.asgi import AsgiCallable
from changeover.workers.serving.wsgi import THREADS, WsgiCallable

ConfigT = TypeVar("ConfigT")
HookResult = Awaitable[None] | None
"""What a hook returns: nothing, at once or awaited."""


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


class ConfigUnusable(ChangeoverError):
    """Raise it where a plugin's configuration fits its Struct and cannot be used all the same.

    Attributes:
        reason: What is wrong with it, and what would be right.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


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
                table = tomllib.loads(self._decoded(path))
            except tomllib.TOMLDecodeError as error:
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
        stage: `worker` in a process that will serve.
        plugin: Which content is loaded.
        epoch: The epoch given to the candidate.
        resources: By name, as the manifest declares them.
    """

    stage: Literal["preflight", "worker"]
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


class Plugin(Generic[ConfigT]):
    """A plugin with state: one instance per worker and content; content that is unchanged keeps its instance.

    Hooks may be `def` or `async def`. `async` ones run on the worker's loop. Of the others, `on_load`,
    `on_reload` and `on_unload` run in a thread beside the loop, `on_activate` and `on_deactivate` on the
    loop, where they must not block. Each has a deadline.

    Attributes:
        config: The plugin's configuration, converted to the Struct that its manifest names; None without one.
    """

    config: ConfigT

    def __init__(self, config: ConfigT) -> None:
        self.config = config

    def on_load(self, ctx: LoadContext) -> HookResult:
        """Get ready to serve; runs before the commit, beside the version that serves. An error refuses the reload."""
        return None

    def on_reload(self, ctx: LoadContext, old: PluginVersion) -> HookResult:
        """Runs instead of `on_load` when another content of the plugin serves; unless overridden it is `on_load`."""
        return self.on_load(ctx)

    def on_activate(self) -> HookResult:
        """Start consumers and timers; runs after the commit. An error is reported and changes nothing else."""
        return None

    def on_deactivate(self) -> HookResult:
        """Stop what `on_activate` started; runs on the replaced instance after the commit. It may still be in use."""
        return None

    def on_unload(self) -> HookResult:
        """Let go of everything; runs after the last lease, or when the reload was refused after `on_load`."""
        return None


@dataclass(frozen=True, slots=True)
class AsgiService:
    """An ASGI application as a plugin's service; made by `asgi`.

    Attributes:
        target: `module:attribute`, or the application itself.
        root_path: Prefix that a proxy in front strips.
    """

    target: str | AsgiCallable
    root_path: str = ""


def asgi(target: str | AsgiCallable, *, root_path: str = "") -> AsgiService:
    """Offer an ASGI application as a service; its lifespan starts when the service is built.

    Args:
        target: `module:attribute`, looked up among the plugin's modules first, or the application itself.
        root_path: Prefix that a proxy in front strips.
    """
    return AsgiService(target, root_path)


@dataclass(frozen=True, slots=True)
class WsgiService:
    """A WSGI application as a plugin's service; made by `wsgi`.

    Attributes:
        target: `module:attribute`, or the application itself.
        root_path: Prefix that a proxy in front strips.
        threads: Most requests that each worker runs it for at the same time.
    """

    target: str | WsgiCallable
    root_path: str = ""
    threads: int = THREADS


def wsgi(target: str | WsgiCallable, *, root_path: str = "", threads: int = THREADS) -> WsgiService:
    """Offer a WSGI application as a service; it has threads of its own in each worker.

    Args:
        target: `module:attribute`, looked up among the plugin's modules first, or the application itself.
        root_path: Prefix that a proxy in front strips.
        threads: Most requests that each worker runs it for at the same time.

    Raises:
        ValueError: There is not at least one thread.
    """
    if threads < 1:
        raise ValueError(f"threads={threads} cannot run anything; give at least 1")
    return WsgiService(target, root_path, threads)
