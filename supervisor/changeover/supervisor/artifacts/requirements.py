"""Which plugin needs which: versions checked, cycles named, an order to build in."""

from collections.abc import Iterator, Mapping, Set
from graphlib import CycleError, TopologicalSorter

from packaging.specifiers import SpecifierSet

from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.problems import Problem
from changeover.workers.protocol.document import below, nearest
from changeover.workers.protocol.refusal import Fault


def unmet(contents: Mapping[str, Content], broken: Set[str] = frozenset()) -> Iterator[Problem]:
    """Say every requirement that is missing, of the wrong version, or part of a cycle.

    Args:
        contents: Every plugin.
        broken: Plugins that are there and cannot be used, which is told already.
    """
    for plugin, content in contents.items():
        for required, wanted in content.manifest.requires.items():
            message = _unmet(content, required, wanted, contents)
            if message and required not in broken:
                yield Problem(message, content.file, below("$.requires", required), Fault.CONTRACT, plugin)
    try:
        build_order(contents)
    except CycleError as error:
        cycle = error.args[1]
        files = ", ".join(contents[plugin].file for plugin in sorted(set(cycle)))
        yield Problem(f"{' requires '.join(reversed(cycle))}: none can be built first ({files})", fault=Fault.CONTRACT)


def _unmet(content: Content, required: str, wanted: str, contents: Mapping[str, Content]) -> str:
    if required not in contents:
        return f"{content.name} requires {required} {wanted}, which is not there{nearest(required, contents)}"
    there = contents[required]
    if SpecifierSet(wanted).contains(there.manifest.version, prereleases=True):
        return ""
    others = "".join(f", and {other}" for other in _suited(required, contents))
    return f"{content.name} requires {required} {wanted}, but {there.name} is there ({there.file}){others}"


def _suited(required: str, contents: Mapping[str, Content]) -> Iterator[str]:
    """Say who requires a plugin as it is there, so that no other version of it would do for everybody."""
    there = contents[required].manifest.version
    for content in contents.values():
        wanted = content.manifest.requires.get(required)
        if wanted and SpecifierSet(wanted).contains(there, prereleases=True):
            yield f"{content.name} requires {required} {wanted}"


def build_order(contents: Mapping[str, Content]) -> tuple[str, ...]:
    """Order plugins so that each comes after what it requires; else by id.

    Raises:
        CycleError: There is no such order.
    """
    sorter: TopologicalSorter[str] = TopologicalSorter(
        {plugin: sorted(contents[plugin].manifest.requires.keys() & contents.keys()) for plugin in sorted(contents)}
    )
    sorter.prepare()
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return tuple(order)
