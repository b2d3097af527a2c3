"""Which distributions plugins need and cannot have, because of what is installed or because of each other. Pure."""

from collections.abc import Iterator, Mapping, Set

from packaging.markers import Marker, UndefinedComparison
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.problems import Problem
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import Interpreter


def lacking(
    contents: Mapping[str, Content], concerned: Set[str], installed: Mapping[str, str], interpreter: Interpreter
) -> Iterator[Problem]:
    """Say every distribution that a plugin needs and cannot have: a process has one version of each.

    Args:
        contents: Every plugin.
        concerned: The plugins that are to be told of: what serves already is not judged anew.
        installed: Name of a distribution -> its version.
        interpreter: Whose these are.
    """
    there: dict[str, str] = {canonicalize_name(name): version for name, version in installed.items()}
    for name, wanted in _needs(contents, interpreter).items():
        yield from _ill_brought(name, wanted, contents, concerned)
        needing = {plugin: needed for plugin, needed in wanted.items() if name not in contents[plugin].brings}
        version = there.get(name)
        unmet = [plugin for plugin, needed in needing.items() if not _is_met(needed, version)]
        if concerned.isdisjoint(unmet):
            continue
        plugin = next(plugin for plugin in unmet if plugin in concerned)
        content = contents[plugin]
        asked = " and ".join(f"{contents[each].name} needs {needed}" for each, needed in needing.items())
        where = f" for {interpreter.python}" if interpreter.python else ""
        if version is None:
            reason = f"{asked}, which is not installed{where}"
        else:
            one = ": a process has one version of it" if len(needing) > 1 else ""
            reason = f"{asked}, and {name} {version} is installed{where}{one}"
        yield Problem(reason, content.file, "$.dependencies", Fault.CONTRACT, plugin)


def _ill_brought(
    name: str, wanted: Mapping[str, Requirement], contents: Mapping[str, Content], concerned: Set[str]
) -> Iterator[Problem]:
    """Say which plugins have a distribution of their own that is not what they need of it."""
    for plugin, needed in wanted.items():
        content = contents[plugin]
        version = content.brings.get(name)
        if plugin in concerned and version is not None and not _is_met(needed, version):
            reason = f"{content.name} needs {needed}, and brings {name} {version} in {content.manifest.packages}"
            yield Problem(reason, content.file, "$.dependencies", Fault.CONTRACT, plugin)


def _needs(contents: Mapping[str, Content], interpreter: Interpreter) -> dict[str, dict[str, Requirement]]:
    """Distribution -> plugin -> what it needs of it there."""
    version = interpreter.version
    there = {"python_version": ".".join(version.split(".")[:2]), "python_full_version": version} if version else {}
    found: dict[str, dict[str, Requirement]] = {}
    for plugin, content in sorted(contents.items()):
        for written in content.manifest.dependencies:
            needed = Requirement(written)
            if needed.marker is None or _applies(needed.marker, there):
                known = found.setdefault(canonicalize_name(needed.name), {}).setdefault(plugin, needed)
                known.specifier &= needed.specifier
    return found


def _applies(marker: Marker, there: Mapping[str, str]) -> bool:
    """Whether it holds there; what cannot be compared there asks for it."""
    try:
        return marker.evaluate({**there, "extra": ""})
    except UndefinedComparison:
        return True


def _is_met(needed: Requirement, version: str | None) -> bool:
    if version is None:
        return False
    return not version or needed.specifier.contains(version, prereleases=True)
