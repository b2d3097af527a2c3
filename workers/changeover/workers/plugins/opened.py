"""The modules of plugins that are open in this process, and which of them whoever asks by a plugin's id means."""

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Protocol

from changeover.workers.plugins.finder import Modules
from changeover.workers.plugins.lifecycle import Lifecycle, State
from changeover.workers.protocol.snapshot import PluginSpec, UnitKey
from changeover.workers.serving.attribution import UnitWork, current_work
from changeover.workers.serving.lease import current_lease

PREFIX = "changeover_plugins"
"""First part of every private module name, and of plugins' logger names: `changeover_plugins.<id>`."""
REMEMBERED = 256
"""Of how many closed packages the version is known still."""

_SEARCHED = f"/{PREFIX}:"
"""Stands for where private packages are searched that are not here; Python forgets about what is not absolute."""


class User(Protocol):
    """A plugin instance that runs over modules."""

    spec: PluginSpec
    lifecycle: Lifecycle
    work: UnitWork
    serving: UnitWork
    required: frozenset[UnitKey]


class Opened(Modules, Protocol):
    """The modules of one content of a plugin."""

    plugin: str
    version: str
    users: list[User]
    work: UnitWork

    def owns(self, name: str) -> bool:
        """Whether an absolute module name is the plugin's own."""

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Import a module by the name that the plugin's code uses."""

    def asked_outside(self, error: ModuleNotFoundError) -> str:
        """What to write instead, where a library was given the plugin's own name of a module; else empty."""


OPENED: dict[str, Opened] = {}
"""By private package, the latest last. Written by the loader thread and the loop, read in any: look at a copy."""

_versions: dict[str, str] = {}


def meant(plugin: str) -> Opened | None:
    """The modules that a plugin's id means here and now; None when it is not here.

    Those of the generation that the request leased; else what the unit whose hook runs is or requires; else
    what serves; else those that are the only ones.
    """
    found = [each for each in list(OPENED.values()) if each.plugin == plugin]
    lease, work = current_lease.get(), current_work.get()
    if lease is not None:
        for each in found:
            if any(user.spec.key in lease.units.keys for user in each.users):
                return each
    if work is not None:
        near = _near(work)
        for each in found:
            if any(user.spec.key in near for user in each.users):
                return each
    serving = [each for each in found if any(user.lifecycle.state is State.ACTIVE for user in each.users)]
    if serving:
        return serving[-1]
    return found[0] if len(found) == 1 else None


def _near(work: UnitWork) -> frozenset[UnitKey]:
    users = (user for each in list(OPENED.values()) for user in each.users if work in (user.work, user.serving))
    return frozenset().union(*({user.spec.key, *user.required} for user in users))


def owner(module: str) -> Opened | None:
    """Whose a module is, by its private name; None when those are not open."""
    return OPENED.get(".".join(module.split(".")[:3]))


def told(opened: Opened) -> str:
    """Says which content it is."""
    return content(opened.plugin, opened.version, opened.root.name)


def named(module: str) -> str:
    """Says which content a private module name is of, as far as that is known here."""
    plugin, instance = [*module.split("."), "", ""][1:3]
    package = f"{PREFIX}.{plugin}.{instance}"
    here = OPENED.get(package)
    return told(here) if here else _versions.get(package, content(plugin, "", instance))


def was_open(package: str) -> bool:
    """Whether a private package is known to have been that of modules which are closed."""
    return package in _versions


def content(plugin: str, version: str, digest: str) -> str:
    """Says which content of a plugin is meant, by its version where that is known."""
    short = digest.strip("_")[:12]
    return f"{plugin} {version} ({short})" if version else f"{plugin} ({short})"


def enter(opened: Opened, package: ModuleType) -> None:
    """Make a private package known to whoever resolves its name step by step."""
    OPENED[opened.package] = opened
    top = sys.modules.setdefault(PREFIX, ModuleType(PREFIX, "Holds the private packages of plugins."))
    name, _, instance = opened.package.rpartition(".")
    holder = sys.modules.setdefault(name, ModuleType(name))
    top.__path__ = holder.__path__ = [_SEARCHED]
    sys.path_importer_cache[_SEARCHED] = _Gone()
    setattr(top, opened.plugin, holder)
    setattr(holder, instance, package)


def leave(opened: Opened) -> None:
    """Take a private package out again, and what holds it too when it was the last of its plugin's."""
    _versions[opened.package] = told(opened)
    while len(_versions) > REMEMBERED:
        del _versions[next(iter(_versions))]
    del OPENED[opened.package]
    name, _, instance = opened.package.rpartition(".")
    vars(sys.modules[name]).pop(instance, None)
    if not any(each.plugin == opened.plugin for each in list(OPENED.values())):
        vars(sys.modules[PREFIX]).pop(opened.plugin, None)
        del sys.modules[name]


class _Gone:
    """Asked for a private package that is not open: says what it was, and what is here instead."""

    def find_spec(self, fullname: str, target: ModuleType | None = None) -> ModuleSpec | None:
        """Python's protocol for finders.

        Raises:
            ModuleNotFoundError: Always.
        """
        plugin, _, instance = fullname.removeprefix(f"{PREFIX}.").partition(".")
        here = meant(plugin)
        was = f"a module of {named(fullname)}" if instance else "modules of a plugin"
        reads = f"here is {told(here)}" if here else f"no plugin {plugin} is here"
        raise ModuleNotFoundError(
            f"{fullname} is the private name of {was}, and {reads}; pickles that other versions are to read "
            "are written by the `pickle` that the plugin's own code imports",
            name=fullname,
        )

    def iter_modules(self, prefix: str = "") -> Iterator[tuple[str, bool]]:
        """`pkgutil`'s protocol: nothing is found here."""
        return iter(())
