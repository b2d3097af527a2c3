"""`importlib`, its `util` and its `resources`, with functions that know the plugin's own names."""

import importlib
import importlib.machinery
import importlib.resources
import importlib.util
import sys
from typing import Any

from changeover.workers.plugins.facades.facade import Facade, Modules


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
        own = isinstance(anchor, str) and modules.owns(anchor)
        return importlib.resources.files(modules.import_module(anchor) if own else anchor)

    return Facade(importlib.resources, files=files)
