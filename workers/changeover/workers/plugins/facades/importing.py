"""`importlib`, its `util` and its `resources`, and `pkgutil`, with functions that know the plugin's own names."""

import importlib
import importlib.machinery
import importlib.resources
import importlib.util
import pkgutil
import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from changeover.workers.plugins.facades.facade import Facade, Modules

_OF_RESOURCES = ("contents", "is_resource", "open_binary", "open_text", "path", "read_binary", "read_text")
"""What takes the package of a resource first, as far as this Python has it."""
_ANCHORS = ("anchor", "package")
"""What that is called, in one version of Python or another."""


def facade(modules: Modules) -> Facade:
    """What the code of `modules` sees as `importlib`."""
    return Facade(importlib, import_module=modules.import_module, util=util(modules), resources=resources(modules))


def util(modules: Modules) -> Facade:
    """What the code of `modules` sees as `importlib.util`."""

    def find_spec(name: str, package: str | None = None) -> importlib.machinery.ModuleSpec | None:
        """As `importlib.util.find_spec`."""
        if name.startswith(".") and package and modules.owns(package):
            name = importlib.util.resolve_name(name, package)
        own = not name.startswith(".") and modules.owns(name)
        return importlib.util.find_spec(f"{modules.package}.{name}" if own else name, package)

    return Facade(importlib.util, find_spec=find_spec)


def resources(modules: Modules) -> Facade:
    """What the code of `modules` sees as `importlib.resources`."""

    def files(anchor: Any = None, *, package: Any = None) -> Any:
        """As `importlib.resources.files`, of any version of Python; without an anchor, beside the module that calls."""
        anchor = package if anchor is None else anchor
        if anchor is None:
            anchor = sys._getframe(1).f_globals["__name__"]
        return importlib.resources.files(_meant(modules, anchor))

    real = vars(importlib.resources)
    by_package = {name: _led(modules, real[name]) for name in _OF_RESOURCES if name in real}
    return Facade(importlib.resources, files=files, **by_package)


def _led(modules: Modules, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of `importlib.resources` that is given the plugin's own packages."""

    @wraps(function)
    def led(*args: Any, **named: Any) -> Any:
        for each in _ANCHORS:
            if each in named:
                named[each] = _meant(modules, named[each])
        return function(*(_meant(modules, each) for each in args[:1]), *args[1:], **named)

    return led


def _meant(modules: Modules, anchor: Any) -> Any:
    """The plugin's own package, by whichever name its code knows it; anybody else's as it is."""
    if isinstance(anchor, str) and modules.owns(anchor):
        anchor = modules.import_module(anchor)
    elif isinstance(anchor, str) and _is_private(modules, anchor):
        anchor = importlib.import_module(anchor)
    own = isinstance(anchor, ModuleType) and _is_private(modules, anchor.__name__)
    return _as_package(anchor) if own else anchor


def _is_private(modules: Modules, name: str) -> bool:
    return f"{name}.".startswith(f"{modules.package}.")


def _as_package(module: ModuleType) -> ModuleType:
    """Has the data beside a module: `importlib.resources` takes a module that is no package since 3.12 alone."""
    spec = module.__spec__
    if spec is None or spec.submodule_search_locations is not None:
        return module
    package = ModuleType(spec.name)
    package.__spec__ = importlib.machinery.ModuleSpec(spec.name, spec.loader, is_package=True)
    return package


def packages(modules: Modules) -> Facade:
    """What the code of `modules` sees as `pkgutil`."""

    def get_data(package: str, resource: str) -> bytes | None:
        """As `pkgutil.get_data`."""
        if package == modules.package:
            return modules.root.joinpath(resource).read_bytes()
        return pkgutil.get_data(f"{modules.package}.{package}" if modules.owns(package) else package, resource)

    return Facade(pkgutil, get_data=get_data)
