"""What can outlive the modules of a plugin, told without holding it: their globals, and classes made by their code."""

import importlib.machinery
import weakref
from collections.abc import Iterable, Iterator, Sequence
from types import ModuleType
from typing import Any, cast

from changeover.workers.plugins.opened import PREFIX

_SPACE = cast("Any", type.__dict__["__dict__"])


class Remains:
    """Tells whether the globals and classes of closed modules still live. Holds nothing alive itself.

    Args:
        package: The modules' private package, which no others have or had.
        modules: Each one's globals refer to its loader, which nothing else does for long.

    Attributes:
        package: The modules' private package.
    """

    __slots__ = ("_classes", "_loaders", "package")

    def __init__(self, package: str, modules: Sequence[ModuleType]) -> None:
        self.package = package
        specs = [vars(module).get("__spec__") for module in modules]
        loaders = [spec.loader for spec in specs if isinstance(spec, importlib.machinery.ModuleSpec)]
        self._loaders = [weakref.ref(loader) for loader in loaders if loader is not None]
        self._classes: list[weakref.ref[type]] = []

    @property
    def gone(self) -> bool:
        """Whether nothing of them is alive, as far as it was looked for, after the garbage collector ran."""
        return not self.alive() and not self.classes()

    def alive(self) -> list[Any]:
        """The loaders of modules whose globals are alive now, after the garbage collector ran."""
        return [loader for reference in self._loaders if (loader := reference()) is not None]

    def classes(self) -> list[type]:
        """Those that `look_for_classes` found and that are alive now: one without methods needs no globals."""
        return [each for reference in self._classes if (each := reference()) is not None]

    def found(self, classes: Iterable[type]) -> None:
        """Remember which classes outlived the modules."""
        self._classes = [weakref.ref(each) for each in classes]


def look_for_classes(remains: Sequence[Remains]) -> None:
    """Find the classes that are alive now, wherever they were made: in a module, in a class or in a function.

    Looks once at every class of the process. A class is told by the private name that it has as its `__module__`:
    one that others made for the plugin, or that says another name itself, is not found.
    """
    found: dict[str, list[type]] = {each.package: [] for each in remains}
    if found:
        for kind in _classes():
            name = _SPACE.__get__(kind).get("__module__")
            if type(name) is str and name.startswith(f"{PREFIX}."):
                found.get(".".join(name.split(".", 3)[:3]), []).append(kind)
    for each in remains:
        each.found(found[each.package])


def _classes() -> Iterator[type]:
    """Every class that there is, without running code of any."""
    seen: dict[int, type] = {}
    ahead: list[type] = [object]
    while ahead:
        below: list[type] = type.__subclasses__(ahead.pop())
        for kind in below:
            if id(kind) not in seen:
                seen[id(kind)] = kind
                ahead.append(kind)
                yield kind
