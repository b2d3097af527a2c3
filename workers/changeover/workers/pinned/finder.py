"""Finds an application's modules in its pinned content, folder by folder, for Python's own import machinery."""

import importlib.machinery
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    SourcelessFileLoader,
)
from types import FrameType, ModuleType

from changeover.workers.pinned.content import PinnedContent
from changeover.workers.pinned.loader import PinnedLoader


class PinnedFolder:
    """Finds the modules of one folder: source in the content; what was compiled, and folders of data, on disk.

    Args:
        content: The application's.
        path: The folder, as it stands on an import path.
        name: The folder below the application's directory.
    """

    def __init__(self, content: PinnedContent, path: str, name: str) -> None:
        self._content = content
        self._path = path
        self._name = name
        self._disk = FileFinder(
            path, (ExtensionFileLoader, EXTENSION_SUFFIXES), (SourcelessFileLoader, BYTECODE_SUFFIXES)
        )

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Python's protocol for finders, in the order in which Python looks at a folder on disk."""
        tail = fullname.rpartition(".")[2]
        package = self._pinned(fullname, f"{tail}/__init__.py", [os.path.join(self._path, tail)])
        if package is not None:
            return package
        on_disk = self._disk.find_spec(fullname, target)
        compiled = on_disk if on_disk is not None and on_disk.loader is not None else None
        if compiled is not None and _comes_before_source(compiled):
            return compiled
        return self._pinned(fullname, f"{tail}.py", None) or compiled or self._namespace(fullname, tail, on_disk)

    def _pinned(self, fullname: str, file: str, below: list[str] | None) -> ModuleSpec | None:
        source = self._content.module(self._named(file))
        if source is None:
            return None
        path = os.path.join(self._path, file)
        loader = PinnedLoader(fullname, path, self._content, source)
        return importlib.util.spec_from_file_location(fullname, path, loader=loader, submodule_search_locations=below)

    def _named(self, file: str) -> str:
        return file if self._name == "." else f"{self._name}/{file}"

    def _namespace(self, fullname: str, tail: str, on_disk: ModuleSpec | None) -> ModuleSpec | None:
        """A portion of a namespace package: a folder with modules of the content, or with data alone."""
        path = os.path.join(self._path, tail)
        data = on_disk is not None and not os.path.exists(os.path.join(path, "__init__.py"))
        if not data and not self._content.has_folder(self._named(tail)):
            return None
        spec = ModuleSpec(fullname, None)
        spec.submodule_search_locations = [path]
        return spec

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """`pkgutil`'s protocol: the modules directly in the folder."""
        found = self._content.listing(self._name)
        for name in self._names_on_disk():
            compiled = self._disk.find_spec(name)
            if compiled is not None and compiled.loader is not None:
                found[name] = found.get(name, False) or compiled.submodule_search_locations is not None
        yield from ((prefix + name, found[name]) for name in sorted(found))

    def _names_on_disk(self) -> set[str]:
        try:
            files = os.listdir(self._path)
        except OSError:
            return set()
        names = {inspect.getmodulename(file) or file for file in files}
        return {name for name in names if name != "__init__" and "." not in name}

    def missed(self, tail: str) -> str:
        """Why a module that lies here is not to be found; empty when it does not."""
        for file in (os.path.join(self._path, tail, "__init__.py"), os.path.join(self._path, f"{tail}.py")):
            if os.path.exists(file):
                why = "it was added after the last start or roll, or `[app] include` leaves it out"
                return f"{file} is not in {self._content}; {why}"
        return ""

    def invalidate_caches(self) -> None:
        """Content never changes; the disk does."""
        self._disk.invalidate_caches()


def _comes_before_source(compiled: ModuleSpec) -> bool:
    """Whether Python takes it before source of the same name in the same folder."""
    return isinstance(compiled.loader, ExtensionFileLoader) or compiled.submodule_search_locations is not None


def path_hook(content: PinnedContent) -> Callable[[str], PinnedFolder]:
    """Make what gives Python a finder for each of the application's folders."""

    def finder_for(path: str) -> PinnedFolder:
        name = content.below(os.fsdecode(path))
        if name is None:
            raise ImportError(f"{path} is no folder of the application", path=path)
        return PinnedFolder(content, path, name)

    return finder_for


class PinnedTarget:
    """Comes first: finds one module, whose content is pinned, before the folder that it lies in is looked at.

    Args:
        target: The module's name.
        beside: Finds it.
        artifact: The digest that names the content.

    Attributes:
        target: The module's name.
        artifact: The digest that names the content.
    """

    def __init__(self, target: str, beside: PinnedFolder, artifact: str) -> None:
        self.target = target
        self.artifact = artifact
        self._beside = beside

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the one module."""
        return self._beside.find_spec(fullname, target) if fullname == self.target else None

    def invalidate_caches(self) -> None:
        """Content never changes; the disk does."""
        self._beside.invalidate_caches()


class Unpinned:
    """Comes last: says of a module that nobody found, and that lies on disk, why it is not imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find nothing.

        Raises:
            ModuleNotFoundError: The module is being imported, and its file is no part of the content.
        """
        tail = fullname.rpartition(".")[2]
        for folder in sys.path if path is None else path:
            finder = sys.path_importer_cache.get(folder)
            reason = finder.missed(tail) if isinstance(finder, PinnedFolder) else ""
            callers = _callers() if reason else ()
            if "_find_and_load_unlocked" in callers:
                # `from package import module` passes over an error that names the module, and loses the reason.
                name = None if "_handle_fromlist" in callers else fullname
                raise ModuleNotFoundError(f"No module named {fullname!r}: {reason}", name=name)
        return None

    def invalidate_caches(self) -> None:
        """Nothing is cached."""


def _callers() -> tuple[str, ...]:
    """The functions of the import system that led to a finder; `importlib.util.find_spec` comes by few of them."""
    names: list[str] = []
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_code.co_filename == "<frozen importlib._bootstrap>":
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return tuple(names)
