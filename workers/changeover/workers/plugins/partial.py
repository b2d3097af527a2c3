"""Changed resources without new code: what serves is copied, and the copy runs over the same modules."""

from collections.abc import Mapping
from pathlib import Path

from changeover.workers.plugins import artifact
from changeover.workers.plugins.globs import compiled
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.protocol.snapshot import PluginSpec
from changeover.workers.serving.attribution import UnitWork


class SharedModules:
    """The modules of an instance and of its copies. What they share ends with the last of them.

    Attributes:
        modules: The modules.
        works: What those that have ended left in tasks and threads, which the others may still use.
    """

    __slots__ = ("_users", "modules", "works")

    def __init__(self, modules: PluginModules) -> None:
        self.modules = modules
        self.works: list[UnitWork] = []
        self._users = 1

    def join(self) -> "SharedModules":
        """One more runs over them."""
        self._users += 1
        return self

    def leave(self) -> bool:
        """One of them ends; whether it was the last."""
        self._users -= 1
        return not self._users


def changed_resources(manifest: Manifest, store: Path, old: str, new: str) -> tuple[str, ...]:
    """Which resources differ between two artifacts; empty when nothing does, or anything else does. Blocks on the disk.

    Args:
        manifest: Of both.
        store: The artifact store.
        old: Digest of one artifact.
        new: Digest of the other.

    Raises:
        CorruptArtifact: One of them cannot be read.
    """
    before, after = artifact.get(store, old), artifact.get(store, new)
    changed = _changed(before, after)
    files = before.keys() | after.keys()
    named = {
        name: set(filter(compiled([resource.path]).fullmatch, files)) for name, resource in manifest.resources.items()
    }
    if not changed <= set().union(*named.values()) or any(map(artifact.is_code, changed)):
        return ()
    return tuple(name for name, matching in named.items() if matching & changed)


def code_of(manifest: Manifest, store: Path, digest: str, before: PluginSpec) -> str:
    """The artifact whose modules can run for `digest`: that of `before` where only resources differ; else empty."""
    if before.artifact == digest:
        return before.code
    code = before.code or before.artifact
    return code if code != digest and changed_resources(manifest, store, before.artifact, digest) else ""


def _changed(old: Mapping[str, bytes], new: Mapping[str, bytes]) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
