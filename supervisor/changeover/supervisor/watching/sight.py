"""One look at everything that is served: what tells one state of a file from another, and who could tell of changes.

Folders are watched and never files: what replaces a file, or a link on the way to it, is told by the folder that the
name stands in. A Kubernetes volume replaces the link `..data`, and nothing else.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from changeover.supervisor.watching.places import Places
from changeover.workers.pinned.content import interpreter_folders, is_own
from changeover.workers.plugins.artifact import is_content
from changeover.workers.plugins.globs import compiled

HOPS = 40
"""Most links on the way to one file, as the kernel has it."""

Mark = tuple[int, int, int, int]
"""Inode, size, time of change of content and of the inode: whoever writes cannot leave all of them as they were."""


class Sight(msgspec.Struct):
    """What was seen.

    Attributes:
        files: What is looked at, and its mark.
        folders: Folders below the places, which may get what is looked at.
        beside: Folders that only hold a link on the way to a place or file, or the end of one.
        ways: Those links and ends themselves.
    """

    files: dict[str, Mark] = {}
    folders: set[str] = set()
    beside: set[str] = set()
    ways: set[str] = set()

    @property
    def watched(self) -> set[str]:
        """Every folder that can tell of changes; the kernel's teller cannot be asked about a name that is no text."""
        return {folder for folder in self.folders | self.beside if _is_text(folder)}

    def moved(self, path: str) -> bool:
        """Whether what is watched may be another folder now, when something happened to `path`."""
        return path in self.ways or path in self.watched

    def concerns(self, path: str, wanted: Callable[[str], bool]) -> bool:
        """Whether a change of what lies at `path` may matter.

        Args:
            path: What changed.
            wanted: Whether a file of that name is looked at.
        """
        if path in self.files or self.moved(path):
            return True
        if os.path.dirname(path) not in self.folders or not is_content(os.path.basename(path)):
            return False
        return wanted(path) or os.path.islink(path) or os.path.isdir(path)


def look(places: Places) -> Sight:
    """Look at everything. Blocks on the disk; what cannot be looked at is not there."""
    sight = Sight({}, set(), set(), set())
    wanted = wants(places)
    for root in filter(None, (places.plugins, places.app)):
        _follow(root, sight)
        for path in _walk(root, sight, _closed(places, root), frozenset()):
            if wanted(path):
                _mark(path, sight)
    for file in places.files:
        _follow(file, sight)
        _note(file, sight)
        _mark(file, sight)
    return sight


def look_again(sight: Sight, paths: Iterable[str]) -> bool:
    """Look at some files alone, and note what they are now; whether any is not as it was seen. Blocks on the disk."""
    before = {path: sight.files.pop(path, None) for path in paths}
    for path in before:
        _mark(path, sight)
    return any(sight.files.get(path) != mark for path, mark in before.items())


def wants(places: Places) -> Callable[[str], bool]:
    """What says whether a file of a name is looked at."""
    selected = compiled(places.include)

    def wanted(path: str) -> bool:
        if path in places.files or (places.plugins and path.startswith(f"{places.plugins}/")):
            return True
        return path.startswith(f"{places.app}/") and selected.fullmatch(path[len(places.app) + 1 :]) is not None

    return wanted


def _closed(places: Places, root: str) -> Callable[[str], bool]:
    """What says whether a folder below `root` is not looked into."""
    if root == places.plugins:
        return lambda folder: False
    apart = interpreter_folders().union(os.path.realpath(each) for each in places.apart)
    return lambda folder: not is_own(Path(folder)) or os.path.realpath(folder) in apart


def _walk(folder: str, sight: Sight, closed: Callable[[str], bool], above: frozenset[str]) -> Iterator[str]:
    """Every file in and below a folder; a link to a folder above is not gone round."""
    real = os.path.realpath(folder)
    if real in above:
        return
    try:
        entries = [entry for entry in os.scandir(folder) if is_content(entry.name)]
    except OSError:
        return
    sight.folders.add(folder)
    for entry in entries:
        if entry.is_symlink():
            _follow(entry.path, sight)
        if not os.path.isdir(entry.path):
            yield entry.path
        elif not closed(entry.path):
            yield from _walk(entry.path, sight, closed, above | {real})


def _mark(path: str, sight: Sight) -> None:
    try:
        found = os.stat(path)
    except OSError:
        return
    sight.files[path] = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _follow(path: str, sight: Sight) -> None:
    """Note every link on the way to `path`, and its end where there was one; or what is missing there."""
    here, left, hops = "/", path.split("/")[::-1], 0
    while left and hops < HOPS:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = os.path.dirname(here)
            continue
        there = os.path.join(here, part)
        if os.path.islink(there):
            hops += 1
            _note(there, sight)
            target = _target(there)
            here = "/" if target.startswith("/") else here
            left += target.split("/")[::-1]
        elif not os.path.exists(there):
            _note(there, sight)
            return
        else:
            here = there
    if hops and not os.path.isdir(here):
        _note(here, sight)


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return "."


def _note(path: str, sight: Sight) -> None:
    folder = os.path.dirname(path)
    if os.access(folder, os.R_OK):
        sight.ways.add(path)
        sight.beside.add(folder)
