"""Extension points for everybody, and what is offered at them where no server runs the code that asks.

In a test, a script or a shell the plugins are loaded once per process from where a server would
take them, those that offer something with what these require; they are ended when the process
ends. Nothing is swapped there, and nothing is activated.
"""

import asyncio
import atexit
import dataclasses
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.generation.solo import SoloSnapshot, Stored, store_plugin
from changeover.workers.generation.whereabouts import find_plugins
from changeover.workers.pinned.announced import announced
from changeover.workers.pinned.distributions import own_path
from changeover.workers.plugins import artifact
from changeover.workers.plugins.hooks import Hooks
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.manifest import MANIFEST
from changeover.workers.plugins.manifest_reading import read_script
from changeover.workers.plugins.opened import PREFIX
from changeover.workers.plugins.refused import Refused
from changeover.workers.plugins.wheel import SUFFIX
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import EMPTY, PluginSpec, Snapshot
from changeover.workers.serving.extension_points import ExtensionPoint
from changeover.workers.serving.offering import NONE, Extensions, building, collected

P = TypeVar("P")
T = TypeVar("T")

DEADLINE = 30.0
"""Seconds for one hook or one import."""


class PluginNotLoaded(ChangeoverError):
    """A plugin was to be loaded where no server runs the code that asks, and cannot be.

    Attributes:
        refusal: Stage, reason, place and traceback.
    """

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(refusal.line)


class IdTaken(ChangeoverError):
    """Two plugins have one id, where no server runs the code that asks.

    Attributes:
        plugin: The id.
        homes: Where they lie.
    """

    def __init__(self, plugin: str, *homes: str) -> None:
        self.plugin = plugin
        self.homes = homes
        super().__init__(f"{plugin} is the id of {' and of '.join(homes)}: leave one of them out")


def extension_point(name: str, protocol: Callable[..., P]) -> ExtensionPoint[P]:
    """Make a place where plugins offer something. Make it at the top of a module, and call it where you need it.

    Args:
        name: What manifests call it (`shop.pricing`).
        protocol: What is offered there: a Protocol or a class, for the type checker.
    """
    maker = str(sys._getframe(1).f_globals.get("__name__", ""))
    return ExtensionPoint(name, protocol, offered_alone, "" if maker.startswith(f"{PREFIX}.") else maker)


def offered_alone(point: str) -> tuple[object, ...]:
    """What plugins in a folder, and installed ones, offer at a point; they are loaded by the first who asks.

    Raises:
        PluginsUnknown: Nobody said where they are.
        ConfigurationUnreadable: What says it cannot be used.
        ManifestInvalid: One of them cannot be used as it stands.
        IdTaken: Two of them have one id.
        RequirementUnmet: One of them requires what is not there.
        PluginNotLoaded: One of them does not load.
    """
    place = find_plugins(os.environ, Path.cwd())
    with _one_at_a_time:
        known = _loaded.get(place.folder)
        if known is None:
            known = _loaded[place.folder] = _load(place.folder, place.configs)
    return known.extensions.get(point, ())


def forget() -> None:
    """End every plugin that was loaded for whoever asked; the next one who asks has them loaded anew."""
    with _one_at_a_time:
        while _loaded:
            _loaded.popitem()[1].close()


def _load(folder: Path | None, configs: Mapping[str, dict[str, Any]]) -> "_Alone":
    alone = _Alone(folder, configs)
    try:
        alone.load()
    except BaseException:
        alone.close()
        raise
    atexit.register(forget)
    return alone


class _Alone:
    """The plugins of one folder, and those that are installed, in a process without a server.

    A loop in a thread runs what is async.

    Args:
        folder: The folder; None for none.
        configs: Plugin id -> its configuration.

    Attributes:
        extensions: What they offer.
    """

    def __init__(self, folder: Path | None, configs: Mapping[str, dict[str, Any]]) -> None:
        self.extensions: Extensions = NONE
        self._folder = folder
        self._configs = configs
        self._aside = tempfile.TemporaryDirectory(prefix="changeover-")
        self._store = Path(self._aside.name)
        self._hooks = Hooks(DEADLINE)
        self._begun: list[LoadedPlugin] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="changeover plugins", daemon=True)
        self._thread.start()

    def load(self) -> None:
        """Load what offers something, after what it requires."""
        stored = self._stored()
        wanted = _with_required(stored)
        solo = SoloSnapshot(1, EMPTY)
        solo.add_plugins({name: stored[name] for name in wanted})
        self.extensions = self._run(self._prepare(solo.snapshot()))

    def _stored(self) -> dict[str, Stored]:
        stored: dict[str, Stored] = {}
        homes: dict[str, str] = {}
        for path, distribution in self._places():
            each = store_plugin(path, self._store, {}, distribution)
            id, home = each.manifest.id, f"installed {distribution}" if distribution else str(path)
            if homes.setdefault(id, home) != home:
                raise IdTaken(id, homes[id], home)
            stored[id] = dataclasses.replace(each, config=msgspec.msgpack.encode(self._configs.get(id, {})))
        return stored

    def _places(self) -> Iterator[tuple[Path, str]]:
        """Where plugins lie, and the distributions that they are installed with."""
        for path in sorted(self._folder.iterdir()) if self._folder is not None else ():
            if not path.name.startswith((".", "__")) and _is_plugin(path):
                yield path, ""
        for found in announced(own_path()):
            if found.path:
                yield Path(found.path), found.distribution

    async def _prepare(self, snapshot: Snapshot) -> Extensions:
        with building() as candidate:
            for spec in snapshot.units:
                assert isinstance(spec, PluginSpec)
                plugin = LoadedPlugin(spec, self._store, self._hooks)
                self._begun.append(plugin)
                try:
                    await plugin.prepare(1, None)
                except Refused as refused:
                    raise PluginNotLoaded(refused.refusal) from None
                candidate.add(plugin.extensions)
        return collected(plugin.extensions for plugin in self._begun)

    def close(self) -> None:
        """End them in reverse."""
        self._run(self._end())
        self._hooks.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        for stored in self._store.iterdir():
            artifact.remove(self._store, stored.name)
        self._aside.cleanup()

    async def _end(self) -> None:
        for plugin in reversed(self._begun):
            await plugin.end()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _is_plugin(path: Path) -> bool:
    if path.is_dir() or path.suffix != ".py":
        return (path / MANIFEST).is_file() or (path.suffix == SUFFIX and path.is_file())
    return read_script(path.read_text("utf-8", "replace"), str(path)) is not None


def _with_required(stored: Mapping[str, Stored]) -> list[str]:
    """The plugins that offer something, and what they require, directly or not."""
    wanted = [name for name, each in stored.items() if each.manifest.extensions]
    for name in wanted:
        wanted += [each for each in stored[name].manifest.requires if each in stored and each not in wanted]
    return wanted


_loaded: dict[Path | None, _Alone] = {}
_one_at_a_time = threading.Lock()
