"""Finds and executes a plugin's modules out of its checked content, for Python's own import machinery."""

import importlib.abc
import importlib.machinery
import importlib.readers
import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from types import CodeType, ModuleType
from typing import Any, Protocol

import msgspec

from changeover.workers.plugins.natives import NativeLoader, stem_of


class Source(msgspec.Struct, frozen=True):
    """One module of a plugin.

    Attributes:
        file: Name relative to the artifact; empty for a folder without `__init__.py`.
        folder: Folder whose files are its submodules; empty for a plain module at the top.
        is_package: Whether it has submodules.
        code: The file's bytes; empty for a native module.
        is_native: Whether it is one.
    """

    file: str
    folder: str
    is_package: bool
    code: bytes
    is_native: bool = False


def table_of(files: Mapping[str, bytes], packages: str = "") -> dict[str, Source]:
    """Module name, as the plugin's code uses it -> module.

    Args:
        files: Of the artifact.
        packages: Folder whose modules and packages are found as if they lay at the top; empty for none.

    Raises:
        ImportError: A module lies both there and at the top.
    """
    table: dict[str, Source] = {}
    homes: dict[str, tuple[str, ...]] = {}
    apart = PurePosixPath(packages).parts
    for name in sorted(files, key=lambda name: (not name.endswith(".py"), name)):
        home, parts = _placed(PurePosixPath(name), apart)
        if parts in ((), ("__init__",)):
            continue
        if homes.setdefault(parts[0], home) != home:
            raise ImportError(f"module {parts[0]} lies in {packages} and beside it: rename one of them")
        for depth in range(1, len(parts)):
            folder = "/".join((*home, *parts[:depth]))
            table.setdefault(".".join(parts[:depth]), Source("", folder, True, b""))
        is_native, is_package = not name.endswith(".py"), parts[-1] == "__init__"
        own, folder = parts[:-1] if is_package else parts, "/".join((*home, *parts[:-1]))
        table[".".join(own)] = Source(name, folder, is_package, b"" if is_native else files[name], is_native)
    for path in map(PurePosixPath, files):
        home = _home(path, apart)
        for name, folder in _within(home, path.parts[len(home) : -1], table):
            table.setdefault(name, Source("", folder, True, b""))
    return table


def _within(home: tuple[str, ...], parts: tuple[str, ...], table: Mapping[str, Source]) -> Iterator[tuple[str, str]]:
    """The folders of data in a package: packages without code, as for Python. At the top they would hide others."""
    if parts and parts[0] in table and table[parts[0]].is_package and all(map(str.isidentifier, parts)):
        for depth in range(2, len(parts) + 1):
            yield ".".join(parts[:depth]), "/".join((*home, *parts[:depth]))


def _placed(path: PurePosixPath, apart: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The folder below which a file is found, and where it stands among modules there; nowhere where it is none."""
    home = _home(path, apart)
    parts = (*path.parts[len(home) : -1], path.stem if path.suffix == ".py" else stem_of(path.name))
    return home, parts if all(map(str.isidentifier, parts)) else ()


def _home(path: PurePosixPath, apart: tuple[str, ...]) -> tuple[str, ...]:
    return apart if path.parts[: len(apart)] == apart and len(path.parts) > len(apart) else ()


class Modules(Protocol):
    """What finder and loader need of a plugin's modules."""

    root: Path
    package: str
    builtins: dict[str, Any]
    table: dict[str, Source]

    def code(self, source: Source, path: str) -> CodeType:
        """The code of one of them."""


class Finder:
    """Finds the modules of one folder of an artifact, for whichever instance asks under its private name."""

    def __init__(self, folder: Path, instances: Mapping[str, Modules]) -> None:
        self._folder = folder
        self._instances = instances

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """Python's protocol for finders."""
        parts = fullname.split(".")
        modules = self._instances.get(".".join(parts[:3]))
        source = modules.table.get(".".join(parts[3:])) if modules else None
        if modules is None or source is None:
            return None
        loader = _native(fullname, modules, source) if source.is_native else Loader(modules, source)
        spec = importlib.machinery.ModuleSpec(
            fullname, loader, origin=loader.path or None, is_package=source.is_package
        )
        spec.has_location = bool(loader.path)
        if source.is_package:
            spec.submodule_search_locations = [str(modules.root / source.folder)]
        return spec

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """`pkgutil`'s protocol: the modules directly in the folder."""
        modules = next((each for each in self._instances.values() if self._folder.is_relative_to(each.root)), None)
        if modules is not None:
            folder = self._folder.relative_to(modules.root).as_posix()
            here = [name for name, source in modules.table.items() if source.is_package and source.folder == folder]
            coded = {source.folder for source in modules.table.values() if source.file}
            for name, source in sorted(modules.table.items()):
                if name.rpartition(".")[0] not in (here or [""]):
                    continue
                if any(f"{each}/".startswith(f"{source.folder}/") for each in coded):
                    yield prefix + name.rpartition(".")[2], source.is_package

    def invalidate_caches(self) -> None:
        """Artifacts never change."""


def _native(fullname: str, modules: Modules, source: Source) -> NativeLoader:
    plugin = modules.package.split(".")[1]
    return NativeLoader(fullname, str(modules.root / source.file), plugin, modules.root.name)


class Loader(importlib.abc.Loader):
    """Executes one module with its plugin's builtins.

    Attributes:
        path: Its file in the store; empty for a folder without `__init__.py`.
    """

    def __init__(self, modules: Modules, source: Source) -> None:
        self._modules = modules
        self._source = source
        self.path = str(modules.root / source.file) if source.file else ""

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """Python's own kind of module."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Run the module; a folder without `__init__.py` has nothing to run."""
        if self.path:
            module.__dict__["__builtins__"] = self._modules.builtins
            exec(self._modules.code(self._source, self.path), module.__dict__)

    def is_package(self, fullname: str) -> bool:
        """Whether the module has submodules."""
        return self._source.is_package

    def get_filename(self, fullname: str) -> str:
        """The module's file in the store."""
        return self.path

    def get_source(self, fullname: str) -> str:
        """The module's text, for `inspect` and tracebacks."""
        return importlib.util.decode_source(self._source.code)

    def get_data(self, path: str) -> bytes:
        """The content of a file that lies beside the module, for `pkgutil.get_data`."""
        return Path(path).read_bytes()

    def get_resource_reader(self, fullname: str) -> "Reader":
        """For `importlib.resources`: what lies beside the module, or in the folder."""
        return Reader(self._modules.root / self._source.folder)


class Reader(importlib.readers.FileReader):
    """Finds data for `importlib.resources`.

    Args:
        folder: Where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder


class TopLoader(importlib.abc.Loader):
    """Of the private package at the top of an artifact, which has no code; what lies beside its modules is its data.

    Args:
        root: The artifact's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def get_resource_reader(self, fullname: str) -> Reader:
        """For `importlib.resources`."""
        return Reader(self._root)
