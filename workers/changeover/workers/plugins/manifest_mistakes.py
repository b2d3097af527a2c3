"""What is wrong with a manifest, or with a mount or a reload policy wherever one is written. Pure."""

import platform
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from changeover.workers.plugins import capabilities
from changeover.workers.plugins.manifest import API, RESERVED, Declared, Manifest, Resource, ServiceDeclaration
from changeover.workers.protocol.document import Mistake, below
from changeover.workers.protocol.reload import DISABLED, read_reload

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_POINT = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*")
_ENTRY = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")

_MOST_DEEP = 2
"""How often a glob may have `**`: every further one multiplies by all folders what there is to look at."""


def content_mistakes(manifest: Manifest, root: str) -> list[Mistake]:
    """Say what is wrong in a manifest whose keys and types are right.

    Args:
        manifest: As it was read.
        root: Where it stands in its document.
    """
    mistakes: list[Mistake] = []
    if manifest.id in RESERVED or not _NAME.fullmatch(manifest.id):
        mistakes.append(Mistake(f"{root}.id", _bad_name(manifest.id)))
    try:
        Version(manifest.version)
    except InvalidVersion:
        mistakes.append(Mistake(f"{root}.version", f"{manifest.version!r} is no version; write it like 1.5.0"))
    mistakes += _range_mistakes(f"{root}.api", manifest.api)
    if not mistakes and API not in SpecifierSet(manifest.api, prereleases=True):
        mistakes.append(Mistake(f"{root}.api", f"this version offers plugin API {API}, which is not in {manifest.api}"))
    for required, wanted in manifest.requires.items():
        mistakes += _range_mistakes(below(f"{root}.requires", required), wanted)
    for key in ("plugin", "config", "self_test"):
        mistakes += _entry_mistakes(f"{root}.{key}", getattr(manifest, key))
    for kind in ("handlers", "services", "initializers", "selectors", "resources"):
        for name, declared in getattr(manifest, kind).items():
            mistakes += _declared_mistakes(below(f"{root}.{kind}", name), name, declared)
    for point, entry in manifest.extensions.items():
        mistakes += _extension_mistakes(below(f"{root}.extensions", point), point, entry)
    return mistakes + _life_mistakes(manifest, root)


def _life_mistakes(manifest: Manifest, root: str) -> list[Mistake]:
    mistakes = _range_mistakes(f"{root}.state", manifest.state)
    mistakes += _dependency_mistakes(f"{root}.dependencies", manifest.dependencies)
    if manifest.packages and not _is_folder_below(manifest.packages):
        mistakes.append(Mistake(f"{root}.packages", "a folder below the plugin's own, as `vendor` or `lib/vendor`"))
    if manifest.singleton and not manifest.plugin:
        without = "says in how many workers `on_activate` of `plugin` runs, and there is no `plugin`"
        mistakes.append(Mistake(f"{root}.singleton", without))
    for index, name in enumerate(manifest.capabilities):
        if wrong := capabilities.unknown(name):
            mistakes.append(Mistake(f"{root}.capabilities[{index}]", wrong))
    return mistakes


def metadata_mistakes(metadata: Mapping[str, Any]) -> list[Mistake]:
    """Say what is wrong beside `[tool.changeover]` in a single file's block."""
    mistakes = _dependency_mistakes("$.dependencies", metadata.get("dependencies", []))
    python = metadata.get("requires-python", "")
    mistakes += _range_mistakes("$.requires-python", python)
    if not mistakes and not SpecifierSet(python).contains(platform.python_version(), prereleases=True):
        mistakes.append(Mistake("$.requires-python", f"Python {platform.python_version()} is not in {python}"))
    return mistakes


def reload_mistakes(path: str, written: str) -> list[Mistake]:
    """Say what is wrong with when the content of a part is taken: no part can be disabled by itself."""
    try:
        disabled = read_reload(written) == DISABLED
    except ValueError as error:
        return [Mistake(path, str(error))]
    return (
        [Mistake(path, "cannot be disabled by itself; write on-change, on-signal, or `every 60s`")] if disabled else []
    )


def mount_mistakes(path: str, mount: str) -> list[Mistake]:
    """Say what is wrong with a path that routes lead from.

    Args:
        path: Where `mount` stands in its document.
        mount: `/`, or `/prices` without a slash at its end.
    """
    if (
        not mount.startswith("/")
        or (mount != "/" and mount.endswith("/"))
        or any(c in mount for c in "?#*")
        or "//" in mount
    ):
        return [
            Mistake(path, f"{mount!r} is no path; it starts with `/`, ends without, and has no `?`, `#`, `*`, `//`")
        ]
    return []


def _declared_mistakes(path: str, name: str, declared: Declared) -> list[Mistake]:
    mistakes = [] if _NAME.fullmatch(name) else [Mistake(path, _bad_name(name))]
    if isinstance(declared, Resource):
        if not _is_below(declared.path):
            mistakes.append(Mistake(f"{path}.path", "a glob below the plugin's folder, without `..`"))
        if declared.path.count("**") > _MOST_DEEP:
            mistakes.append(Mistake(f"{path}.path", f"`**` more than {_MOST_DEEP} times; name folders instead"))
        return mistakes + (reload_mistakes(f"{path}.reload", declared.reload) if declared.reload else [])
    service = isinstance(declared, ServiceDeclaration)
    mistakes += _entry_mistakes(f"{path}.entry", declared.entry, "; a mount begins with `/`" if service else "")
    if isinstance(declared, ServiceDeclaration) and declared.mount:
        mistakes += mount_mistakes(f"{path}.mount", declared.mount)
    return mistakes


def _extension_mistakes(path: str, point: str, entry: str) -> list[Mistake]:
    if not _POINT.fullmatch(point):
        return [Mistake(path, f"{point!r} is no extension point; write it like `shop.pricing`")]
    return _entry_mistakes(path, entry)


def _dependency_mistakes(path: str, dependencies: object) -> list[Mistake]:
    if not isinstance(dependencies, list | tuple):
        return [Mistake(path, f"{dependencies!r} is not a list")]
    return [
        Mistake(f"{path}[{index}]", f"{written!r} is no requirement; write it like `numpy>=2,<3`")
        for index, written in enumerate(dependencies)
        if not _is_requirement(written)
    ]


def _is_requirement(written: str) -> bool:
    try:
        marker = Requirement(written).marker
        if marker is not None:
            marker.evaluate({"extra": ""})
    except (InvalidRequirement, UndefinedComparison, UndefinedEnvironmentName, TypeError, RecursionError):
        return False
    return True


def _is_below(path: str) -> bool:
    return bool(path) and not path.startswith("/") and ".." not in path.split("/")


def _is_folder_below(path: str) -> bool:
    return _is_below(path) and path == PurePosixPath(path).as_posix() != "."


def _entry_mistakes(path: str, entry: str, hint: str = "") -> list[Mistake]:
    if not entry or _ENTRY.fullmatch(entry):
        return []
    return [Mistake(path, f"{entry!r} is no entry; write it like `package.module:Name`{hint}")]


def _range_mistakes(path: str, wanted: str) -> list[Mistake]:
    try:
        SpecifierSet(wanted)
    except (InvalidSpecifier, TypeError, AttributeError):
        return [Mistake(path, f"{wanted!r} is no range of versions; write it like `>=2.1,<3`")]
    return []


def _bad_name(name: str) -> str:
    if name in RESERVED:
        return f"{name!r} is taken by the configuration; choose another"
    return f"{name!r} is no name: lower-case letters, digits, `-` and `_`, a letter first"
