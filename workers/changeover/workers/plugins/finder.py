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


class Source(msgspec.Struct, frozen=True):
    """One module of a plugin.

    Attributes:
        file: Name relative to the artifact; empty for a folder without `__init__.py`.
        folder: Folder whose files are its submodules; empty for a plain module at the top.
        is_package: Whether it has submodules.
        code: The file's bytes.
    """

    file: str
    folder: str
    is_package: bool
    code: bytes


def table_of(files: Mapping[str, bytes]) -> dict[str, Source]:
    """Module name, as the plugin's code uses it -> module."""
    table: dict[str, Source] = {}
    for name, code in files.items():
        path = PurePosixPath(name)
        parts = path.with_suffix("").parts
        if path.suffix != ".py" or not all(part.isidentifier() for part in parts):
            continue
        is_package = parts[-1] == "__init__"
        own = parts[:-1] if is_package else parts
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            table.setdefault(".".join(parts[:depth]), Source("", folder, True, b""))
        if own:
            table[".".join(own)] = Source(name, "/".join(parts[:-1]), is_package, code)
    return table


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
        loader = Loader(modules, source)
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
            above = ".".join(self._folder.relative_to(modules.root).parts)
            for name, source in sorted(modules.table.items()):
                if name.rpartition(".")[0] == above:
                    yield prefix + name.rpartition(".")[2], source.is_package

    def invalidate_caches(self) -> None:
        """Artifacts never change."""


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

    def get_resource_reader(self, fullname: str) -> "importlib.readers.FileReader | None":
        """For `importlib.resources`."""
        return importlib.readers.FileReader(self) if self.path else None  # type: ignore[arg-type]
