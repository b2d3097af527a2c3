"""The modules of a plugin that an installed distribution announces: those of the environment, under their own names."""

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from types import ModuleType

from changeover.workers.pinned.announced import Announced, AnnouncedDiffers, announced
from changeover.workers.pinned.content import PinnedContent
from changeover.workers.pinned.distributions import own_path
from changeover.workers.pinned.finder import PinnedFolder
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
        self._target = found.target
        self._taken = files

    def open(self) -> None:
        """Pin them, after a look at what was installed since this process last looked: it may be older than that."""
        importlib.invalidate_caches()
        spec = importlib.util.find_spec(self._target)
        parents = {folder for name in self._taken for folder in PurePosixPath(name).parents}
        for root in (spec and spec.submodule_search_locations) or ():
            content = PinnedContent(digest_of(self._taken), root, self._taken)
            for folder in parents:
                path = str(Path(root, folder))
                sys.path_importer_cache[path] = PinnedFolder(content, path, str(folder))

    def owns(self, name: str) -> bool:
        """Whether a module is in what the distribution names."""
        return f"{name}.".startswith(f"{self._target}.")

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Import a module by its name."""
        return importlib.import_module(name, package)
