"""Isolation: each plugin instance has modules of its own, under a private name, with an own `__import__`.

Python finds `__import__` in a module's `__builtins__`. The modules of a plugin get a copy of the
builtins in which it leads the plugin's own names to this instance, and everything else to the
real import. So `import pricing.rules` means the same version at load and, in a function, a day
later, and nothing that other code uses is patched.

Entered into the interpreter's tables, and removed by `close`: `sys.modules` under the private
package (pickle, dataclasses and typing look classes up there), and `sys.path_importer_cache` for
the artifact's folders (which gives relative imports, `importlib.import_module(".x", __package__)`
and `pkgutil` for free).
"""

import builtins
import importlib
import importlib.machinery
import importlib.util
import linecache
import logging
import marshal
import sys
import threading
import typing
from collections.abc import Iterator, Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import CodeType, MappingProxyType, ModuleType
from typing import Any

from changeover.workers.plugins.compiling import compile_large
from changeover.workers.plugins.facades import Facades
from changeover.workers.plugins.finder import Finder, Source, TopLoader, table_of
from changeover.workers.plugins.natives import foreign
from changeover.workers.plugins.opened import OPENED, PREFIX, User, enter, leave, was_open
from changeover.workers.plugins.remains import Remains
from changeover.workers.serving.attribution import UnitWork

NO_CODE: Mapping[str, bytes] = MappingProxyType({})
"""Nothing is compiled yet."""


class PluginModules:
    """The modules of one plugin instance, from `open` to `close`.

    Args:
        plugin: The plugin's id.
        instance: Tells this instance from others of the same id; letters, digits and `_`, a name as Python has
            them.
        root: The artifact's folder.
        files: Its checked content.
        code: What `bytecode.read` found of it.
        work: Of the unit that they are made for.
        version: The plugin's; empty where nobody says.
        packages: Its folder of packages of its own, as in the manifest; empty for none.

    Attributes:
        plugin: The plugin's id.
        version: The plugin's version.
        users: The instances that run over them.
        imported: What their code imported that is not the plugin's.
        work: What their code enters into tables of the process.
        root: The artifact's folder.
        package: Private package under which its modules are known to Python.
    """

    def __init__(
        self,
        plugin: str,
        instance: str,
        root: Path,
        files: Mapping[str, bytes],
        code: Mapping[str, bytes] = NO_CODE,
        work: UnitWork | None = None,
        version: str = "",
        packages: str = "",
    ) -> None:
        self.plugin = plugin
        self.version = version
        self.users: list[User] = []
        self.imported: set[str] = set()
        self.work = work or UnitWork(plugin)
        self.root = root
        self.package = _free(f"{PREFIX}.{plugin}.{instance}")
        self.table = table_of(files, packages)
        self._foreign = foreign(name.removeprefix(f"{packages}/") for name in files)
        self._roots = frozenset(name for name in self.table if "." not in name)
        self._compiled = {str(root / name): each for name, each in code.items()}
        self._facades = Facades(self)
        self._closing = threading.Lock()
        self._closed = False
        self.builtins: dict[str, Any] = {**vars(builtins), "__import__": self._import}

    def open(self) -> None:
        """Make the modules importable; nothing is imported yet. Blocks while large ones are compiled.

        What was closed meanwhile, because its deadline passed, stays closed.
        """
        sources = {str(self.root / source.file): source.code for source in self.table.values() if source.file}
        missing = {path: source for path, source in sources.items() if path not in self._compiled}
        self._compiled |= compile_large(missing)
        package = importlib.util.module_from_spec(self._top())
        with self._closing:
            if self._closed:
                return
            for folder in self._folders():
                sys.path_importer_cache[folder] = Finder(Path(folder), OPENED)
            sys.modules[self.package] = package
            enter(self, package)

    def _top(self) -> importlib.machinery.ModuleSpec:
        spec = importlib.machinery.ModuleSpec(self.package, TopLoader(self.root), is_package=True)
        spec.submodule_search_locations = [str(self.root)]
        return spec

    def _folders(self) -> Iterator[str]:
        yield str(self.root)
        for source in self.table.values():
            if source.is_package:
                yield str(self.root / source.folder)

    def code(self, source: Source, path: str) -> CodeType:
        """The code of one of its modules, compiled from its checked bytes."""
        compiled = self._compiled.pop(path, None)
        if compiled is not None:
            code: CodeType = marshal.loads(compiled)
            return code
        return compile(source.code, path, "exec", dont_inherit=True)

    def owns(self, name: str) -> bool:
        """Whether an absolute module name is the plugin's own."""
        return name.partition(".")[0] in self._roots

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Import a module by the name that the plugin's code uses: its own first, then anybody's."""
        if name.startswith(".") and package and self.owns(package):
            name = importlib.util.resolve_name(name, package)
        if not name.startswith(".") and self.owns(name):
            return self._own(name, ("__name__",))
        try:
            module = importlib.import_module(name, package)
        except ModuleNotFoundError as error:
            raise self._explained(error) from error.__cause__
        self.imported.add(module.__name__)
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and name.partition(".")[0] in self._roots:
            leaf = self._own(name, fromlist or ("__name__",))
            return leaf if fromlist else sys.modules[f"{self.package}.{name.partition('.')[0]}"]
        try:
            module = builtins.__import__(name, globals, locals, fromlist or (), level)
        except ModuleNotFoundError as error:
            raise self._explained(error) from None
        if level == 0:
            self.imported.add(name)
        return self._facades.instead(module)

    def _own(self, name: str, fromlist: Sequence[str]) -> ModuleType:
        try:
            return builtins.__import__(f"{self.package}.{name}", None, None, fromlist, 0)
        except ModuleNotFoundError as error:
            raise self._explained(error) from None

    def _explained(self, error: ModuleNotFoundError) -> ModuleNotFoundError:
        missing = error.name or ""
        native = missing.removeprefix(f"{self.package}.")
        if (file := self._foreign.get(native.replace(".", "/"))) is not None:
            suffix = EXTENSION_SUFFIXES[0]
            reason = f"{native} is a native module for another interpreter ({file}); this one takes {suffix}"
            return ModuleNotFoundError(reason, name=native)
        if not missing.startswith(f"{self.package}."):
            reason = self.asked_outside(error) or self._asked_of_others(error)
            return ModuleNotFoundError(reason, name=missing) if reason else error
        return ModuleNotFoundError(f"No module named {native!r} in the plugin's files", name=native)

    def asked_outside(self, error: ModuleNotFoundError) -> str:
        """What to write instead, where a library was given the plugin's own name of a module; else empty."""
        name = error.name or ""
        if not self.owns(name) or error.msg != f"No module named {name!r}":
            return ""
        return (
            f"{error.msg} outside of the plugin, whose names mean its own version in its own code only: give the "
            "library the module or the class itself, or the private name that the module has as its `__name__`"
        )

    def _asked_of_others(self, error: ModuleNotFoundError) -> str:
        """What to do instead of importing what another plugin is, or has; empty where none is or has it."""
        name = (error.name or "").partition(".")[0]
        others = [each for each in list(OPENED.values()) if each.plugin != self.plugin]
        having = [each.plugin for each in others if each.plugin == name or each.owns(name)]
        if not having:
            return ""
        return (
            f"{error.msg}: plugin {having[0]} has modules of its own, which no other plugin imports; ask for what it "
            "offers at an extension point, and put what both import into an installed package"
        )

    def loaded(self) -> list[ModuleType]:
        """Its modules that were imported so far, without what they put into their own place."""
        own = [module for name, module in list(sys.modules.items()) if name.startswith(f"{self.package}.")]
        return [module for module in own if issubclass(type(module), ModuleType)]

    def close(self) -> Remains:
        """Take the modules out of the interpreter's tables. Idempotent; code that still runs goes on, without imports.

        Returns:
            What can tell whether something keeps them alive.
        """
        with self._closing:
            self._closed = True
        remains = Remains(self.package, self.loaded())
        if OPENED.get(self.package) is self:
            for name in [name for name in list(sys.modules) if f"{name}.".startswith(f"{self.package}.")]:
                del sys.modules[name]
            leave(self)
            if not any(other.root == self.root for other in list(OPENED.values())):
                self._forget_folders()
            _forget_loggers(self.package)
            forget_types()
        return remains

    def _forget_folders(self) -> None:
        for folder in self._folders():
            sys.path_importer_cache.pop(folder, None)
        for filename in [name for name in list(linecache.cache) if name.startswith(f"{self.root}/")]:
            linecache.cache.pop(filename, None)


def _free(package: str) -> str:
    """A name that no modules have or had: classes that outlive theirs are told by it."""
    taken = 2
    candidate = package
    while candidate in OPENED or was_open(candidate):
        candidate, taken = f"{package}_{taken}", taken + 1
    return candidate


def _forget_loggers(package: str) -> None:
    """`logging` keeps every logger for ever, and so whatever its handlers and filters hold."""
    loggers = logging.Logger.manager.loggerDict
    with logging._lock:  # type: ignore[attr-defined]
        own = {name for name in loggers if f"{name}.".startswith(f"{package}.")}
        gone = {loggers.pop(name) for name in own}
        for entry in loggers.values():
            if isinstance(entry, logging.PlaceHolder):
                for logger in gone & entry.loggerMap.keys():
                    del entry.loggerMap[logger]  # type: ignore[arg-type]


def forget_types() -> None:
    """Empty the caches of `typing`, which hold the arguments of generics such as `Plugin[Config]`."""
    for clear in getattr(typing, "_cleanups", ()):
        clear()
