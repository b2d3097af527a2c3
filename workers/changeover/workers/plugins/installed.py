"""The modules of a plugin that an installed distribution announces: those of the environment, under their own names."""

import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import ModuleType

from changeover.workers.pinned.announced import Announced, AnnouncedDiffers, AnnouncedHidden, announced
from changeover.workers.pinned.content import PinnedContent
from changeover.workers.pinned.distributions import own_path
from changeover.workers.pinned.finder import PinnedFolder, PinnedTarget
from changeover.workers.plugins.artifact import SIGNATURE, digest_of, read_files
from changeover.workers.plugins.modules import PluginModules
from changeover.workers.serving.attribution import UnitWork


def as_taken(plugin: str, distribution: str, digest: str) -> Announced:
    """Find where a plugin is installed for this process, and see that it is what was taken. Blocks on the disk.

    Args:
        plugin: The plugin's id.
        distribution: `name==version` of what it was taken from.
        digest: Of its files as they were then.

    Raises:
        AnnouncedDiffers: Something else is installed now.
        UnreadableArtifact: It cannot be read.
    """
    found = [each for each in announced(own_path()) if each.plugin == plugin and each.path]
    for each in found:
        if each.distribution == distribution and _content(Path(each.path)) == digest:
            return each
    raise AnnouncedDiffers(plugin, distribution, found[0].distribution if found else "")


def _content(place: Path) -> str:
    files = read_files(place)
    files.pop(SIGNATURE, None)
    return digest_of(files)


class InstalledModules(PluginModules):
    """Modules that the process imports once, as anybody does who imports them, and has until it ends.

    What is imported later, in a function, is still what was taken: an upgrade on disk is for the processes of a roll.

    Args:
        found: Where they are.
        files: Their content, which was taken.
        work: Of the unit that they are imported for.
        version: The plugin's.
    """

    def __init__(self, found: Announced, files: Mapping[str, bytes], work: UnitWork, version: str) -> None:
        super().__init__(found.plugin, "_installed", Path(found.path), {}, work=work, version=version)
        self._found = found
        self._target = found.target
        self._taken = files
        self._digest = digest_of(files)

    def open(self) -> None:
        """Pin them, after a look at what was installed since this process last looked: it may be older than that.

        A process that has opened the same content before has its modules already.

        Raises:
            AnnouncedHidden: Whoever imports them here gets, or has got, something else than was taken.
        """
        importlib.invalidate_caches()
        earlier = [each for each in sys.meta_path if isinstance(each, PinnedTarget) and each.target == self._target]
        if imported := [name for name in list(sys.modules) if self.owns(name)]:
            if not any(each.artifact == self._digest for each in earlier):
                raise self._hidden_by_import(min(imported))
            return
        for each in earlier:
            sys.meta_path.remove(each)
        self._require_in_front()
        self._pin()

    def _require_in_front(self) -> None:
        """Make sure that it is what Python finds: another folder of the import path may come first."""
        spec = importlib.util.find_spec(self._target)
        below = None if spec is None else spec.submodule_search_locations
        places = list(below) if below is not None else [(spec and spec.origin) or ""]
        if other := [each for each in places if not each or os.path.realpath(each) != os.path.realpath(self.root)]:
            finds = f"finds {other[0]} first" if other[0] else "finds nothing"
            advice = "rename the other, or put the folder of the distribution in front of it on the import path"
            raise AnnouncedHidden(self._found, f"`import {self._target}` {finds} here; {advice}")

    def _hidden_by_import(self, name: str) -> AnnouncedHidden:
        place = getattr(sys.modules[name], "__file__", None) or "nowhere"
        advice = "import it after the plugin: in a function, or in a plugin that requires it"
        return AnnouncedHidden(
            self._found, f"{name} was imported from {place} before, which may be another version; {advice}"
        )

    def _pin(self) -> None:
        beside, top = str(self.root.parent), self.root.name
        single = self.root.suffix == ".py"
        files = {name if single else f"{top}/{name}": source for name, source in self._taken.items()}
        content = PinnedContent(self._digest, beside, files)
        sys.meta_path.insert(0, PinnedTarget(self._target, PinnedFolder(content, beside, "."), self._digest))
        parents = {folder for name in self._taken for folder in PurePosixPath(name).parents}
        for folder in () if single else parents:
            path = str(Path(self.root, folder))
            sys.path_importer_cache[path] = PinnedFolder(content, path, str(PurePosixPath(top, folder)))

    def owns(self, name: str) -> bool:
        """Whether a module is in what the distribution names."""
        return f"{name}.".startswith(f"{self._target}.")

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Import a module by its name."""
        return importlib.import_module(name, package)
