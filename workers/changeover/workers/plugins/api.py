"""What plugin authors subclass and call: Plugin, asgi, wsgi. Public: re-exported by `changeover.plugin`."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.plugins.resources import LoadContext, PluginVersion, Resource
from changeover.workers.serving.asgi import AsgiCallable
from changeover.workers.serving.wsgi import THREADS, WsgiCallable

ConfigT = TypeVar("ConfigT")
HookResult = Awaitable[None] | None
"""What a hook returns: nothing, at once or awaited."""
State = bytes | msgspec.Struct | None
"""What one content of a plugin gives to the next: bytes, a Struct (encoded as MessagePack), or None for nothing."""


class ConfigUnusable(ChangeoverError):
    """Raise it where a plugin's configuration fits its Struct and cannot be used all the same.

    Attributes:
        reason: What is wrong with it, and what would be right.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Plugin(Generic[ConfigT]):
    """A plugin with state: one instance per worker and content; content that is unchanged keeps its instance.

    Hooks may be `def` or `async def`. `async` ones run on the worker's loop. Of the others, `on_load`, `on_reload`,
    `on_unload`, `on_resources`, `migrate` and `unmigrate` run in a thread beside the loop, `on_activate`,
    `on_deactivate` and those about state on the loop, where they must not block. Each has a deadline.

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
        """Start consumers and timers; runs after the commit. An error is reported and changes nothing else.

        Of a plugin with `singleton = true` it runs only in the worker that leads, and whenever this one comes to lead.
        """
        return None

    def on_deactivate(self) -> HookResult:
        """Stop what `on_activate` started; runs on what was replaced, by a swap or a roll. It may still be in use.

        Of a plugin with `singleton = true` it runs where `on_activate` did, also on an instance that serves on, in a
        worker that leaves. When it returns another worker may begin, so what it stopped must have ended.
        """
        return None

    def on_unload(self) -> HookResult:
        """Let go of everything; runs after the last lease, or when the reload was refused after `on_load`."""
        return None

    def export_state(self) -> Awaitable[State] | State:
        """Give what the content that replaces this one is to go on with; changes nothing. May run several times."""
        return None

    def import_state(self, old: PluginVersion, state: bytes) -> HookResult:
        """Take what `old` exported, here or in another process, before the commit. An error refuses the reload."""
        return None

    def merge_state(self, old: PluginVersion, imported: bytes, latest: bytes) -> HookResult:
        """Take what came to `old` since: after the commit, and once more when its last lease has ended.

        Also all that another process knows, where this content has imported or counted something already.

        Args:
            old: The content that was replaced.
            imported: What it exported the last time; empty where that was nothing, or nothing was taken of it yet.
            latest: What it exports now.
        """
        return None

    def on_resources(self, changed: Mapping[str, Resource]) -> HookResult:
        """Take changed resources without new code, before the commit, on a copy of the instance that serves.

        Unless overridden, a changed resource is a new content like any other. An error refuses the reload.

        Args:
            changed: The resources whose files changed, by name.
        """
        return None

    def migrate(self, old: PluginVersion) -> HookResult:
        """Change what all workers share, such as a table, from the form that `old` knows.

        Runs once per cutover, in one worker, when all have prepared and before the commit: `old` serves on meanwhile,
        and for a moment after. An error refuses the reload, and `unmigrate` runs. `old` is newer where a rollback
        brings this content back.
        """
        return None

    def unmigrate(self, old: PluginVersion) -> HookResult:
        """Undo `migrate`, which may be half done, or not begun: the reload fails. It may run in another worker."""
        return None


def overrides(plugin: Plugin[Any], hook: str) -> bool:
    """Whether a plugin has a hook of its own, so that its author wants it called."""
    return getattr(type(plugin), hook) is not getattr(Plugin, hook)


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
