"""What one plugin brings into a candidate, from disk or carried over from what serves."""

from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.brought import brought
from changeover.supervisor.artifacts.folder import Found
from changeover.supervisor.artifacts.granting import grant_of
from changeover.supervisor.config.settings import Settings
from changeover.workers.plugins import capabilities
from changeover.workers.plugins.artifact import ArtifactError, folder_of, get, is_code
from changeover.workers.plugins.globs import compiled
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.plugins.manifest_reading import load
from changeover.workers.protocol.snapshot import PluginSpec


class Content(msgspec.Struct, frozen=True):
    """A plugin's content.

    Attributes:
        manifest: What it says of itself.
        artifact: Digest of its files.
        config: Its configuration, MessagePack with sorted keys.
        file: Where its manifest stands, for messages.
        code: As in `PluginSpec`.
        granted: As in `PluginSpec`.
        distribution: As in `PluginSpec`.
        brings: Distributions that it has of its own, as `brought` gives them.
    """

    manifest: Manifest
    artifact: str
    config: bytes
    file: str
    code: str = ""
    granted: tuple[str, ...] = ()
    distribution: str = ""
    brings: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Its id and version, for people."""
        return f"{self.manifest.id} {self.manifest.version}"


def from_disk(found: Found, settings: Settings, code: str = "") -> Content:
    """What lies in the folder of plugins, with what the configuration says of it."""
    manifest = found.manifest
    granted = capabilities.granted(manifest.capabilities, grant_of(manifest.id, settings))
    return Content(
        manifest,
        found.digest,
        config_of(manifest.id, settings),
        found.file,
        code,
        granted,
        distribution=found.distribution,
        brings=brought(manifest.packages, found.files),
    )


def code_of(found: Found, before: PluginSpec | None, store: Path) -> str:
    """Digest of the artifact whose modules serve and can go on, because only resources differ.

    Empty where that are its own, or none: what cannot be read any more may be replaced all the same.
    """
    if before is None or before.distribution or found.distribution:
        return ""
    if before.artifact == found.digest:
        return before.code
    try:
        old, new = get(store, before.artifact), found.files
    except ArtifactError:
        return ""
    resources = compiled([resource.path for resource in found.manifest.resources.values()])
    changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
    if any(is_code(name) or not resources.fullmatch(name) for name in changed):
        return ""
    code = before.code or before.artifact
    return code if code != found.digest else ""


def carried(spec: PluginSpec, store: Path) -> Content:
    """What serves already.

    Raises:
        ManifestInvalid: The stored artifact is damaged.
        OSError: The stored artifact cannot be read.
    """
    folder = folder_of(store, spec.artifact)
    manifest = load(folder)
    lying = (path.relative_to(folder).as_posix() for path in folder.joinpath(manifest.packages).rglob("*"))
    brings = brought(manifest.packages, lying)
    further = (spec.code, spec.granted, spec.distribution, brings)
    return Content(manifest, spec.artifact, spec.config, str(folder), *further)


def config_of(plugin: str, settings: Settings) -> bytes:
    """A plugin's configuration as it travels."""
    entry = settings.plugins.entries.get(plugin)
    return msgspec.msgpack.encode(entry.config if entry else {}, order="sorted")
