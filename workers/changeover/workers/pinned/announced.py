"""Which plugins installed distributions announce, by the entry points in their folders. Imports none of them."""

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.pinned.distributions import installed

GROUP = "changeover.plugins"
"""The group of entry points: plugin id -> the package, or module, that has its manifest."""

_FILE = "entry_points.txt"


class Announced(msgspec.Struct, frozen=True):
    """A plugin that a distribution announces.

    Attributes:
        plugin: The plugin's id.
        distribution: `name==version` of the distribution.
        target: The package or module that it names.
        path: Where that lies, a folder or a file; empty where it is not found.
    """

    plugin: str
    distribution: str
    target: str
    path: str = ""


class AnnouncedDiffers(ChangeoverError):
    """A plugin is to be loaded from what is installed, and that is not what was taken.

    Attributes:
        plugin: The plugin's id.
        taken: `name==version` of the distribution that it was taken from.
        found: What announces it now; empty for none.
    """

    def __init__(self, plugin: str, taken: str, found: str) -> None:
        self.plugin = plugin
        self.taken = taken
        self.found = found
        now = f"{found} with other content is installed now" if found == taken else f"{found} is installed now"
        super().__init__(
            f"{plugin} was taken from {taken}, and {now if found else 'nothing that is installed announces it now'}; "
            f"`pip install {taken}` brings it back, and a reload takes what is there"
        )


class AnnouncedHidden(ChangeoverError):
    """A plugin is to be loaded from what is installed, and whoever imports it in this process gets something else.

    Attributes:
        found: What is installed, and was taken.
    """

    def __init__(self, found: Announced, reason: str) -> None:
        self.found = found
        super().__init__(f"{found.plugin} was taken from {found.distribution} in {found.path}, and {reason}")


def announced(path: Iterable[str]) -> tuple[Announced, ...]:
    """Find every plugin that is announced in folders, in the order of the import path. Blocks on the disk.

    A distribution that lies in two folders is the one in the first, as for whoever imports it.
    """
    found: dict[str, list[Announced]] = {}
    for folder in path:
        for entry, name, version in installed(folder):
            if name not in found:
                found[name] = list(_of(folder, entry, f"{name}=={version}"))
    return tuple(each for told in found.values() for each in told)


def _of(folder: str, entry: str, distribution: str) -> Iterator[Announced]:
    try:
        text = Path(folder, entry, _FILE).read_text("utf-8", "replace")
    except OSError:
        return
    for plugin, target in _entries(text):
        yield Announced(plugin, distribution, target, _place(folder, target))


def _entries(text: str) -> Iterator[tuple[str, str]]:
    """The entry points of the group: name, and what it names."""
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield name.strip(), value.partition("[")[0].strip()


def _place(folder: str, target: str) -> str:
    """Where a package or module lies: beside its distribution's folder, or where an editable install has it."""
    parts = target.split(".")
    if not all(map(str.isidentifier, parts)):
        return ""
    for base in (folder, *_elsewhere(parts[0])):
        place = os.path.join(base, *parts)
        if os.path.isdir(place):
            return place
        if os.path.isfile(f"{place}.py"):
            return f"{place}.py"
    return ""


def _elsewhere(top: str) -> Iterator[str]:
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return
    if spec is not None and spec.submodule_search_locations is not None:
        yield from map(os.path.dirname, spec.submodule_search_locations)
    elif spec is not None and spec.origin:
        yield os.path.dirname(spec.origin)
