"""What was rolled back or removed and does not come back by itself, unit by unit. Pure.

A rollback holds the own content of every plugin and pipeline that it set aside, the application's and the
addresses', also that one was not there. So does the removal of a
plugin. What is held stays away until it is changed, forced, or gone back to by its epoch.
"""

import hashlib
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from changeover.supervisor.core.entries import Held
from changeover.workers.protocol.snapshot import (
    EMPTY,
    ApplicationSpec,
    HandlerRef,
    PipelineSpec,
    PluginSpec,
    Route,
    Snapshot,
    UnitKind,
    UnitRef,
)

ABSENT = ""
"""The content of a unit that is not there."""
ADDRESSES = UnitRef(UnitKind.ADDRESSES, "bind")
"""What a generation is served at, held like a unit."""


def plugin_content(artifact: str, config: bytes) -> str:
    """Digest of a plugin's own content, whatever it requires."""
    return _digest([artifact, config])


def application_content(spec: ApplicationSpec | None) -> str:
    """Digest of an application's own content: its files, what is installed, how it is called; ABSENT for none."""
    return ABSENT if spec is None else spec.key.digest


def application_code(spec: ApplicationSpec | None) -> ApplicationSpec | None:
    """What is the same of two applications that differ in nothing but what is installed with them."""
    return None if spec is None else replace(spec, key=replace(spec.key, digest="", since=0), distributions="")


def pipeline_content(handlers: Iterable[HandlerRef], target: UnitRef | None, routes: Iterable[Route]) -> str:
    """Digest of a pipeline's own content, whatever its plugins contain."""
    return _digest([list(handlers), target, sorted(routes, key=lambda route: (route.host, route.path))])


def addresses_content(listen: Iterable[str]) -> str:
    """Digest of what a generation is served at."""
    return _digest(sorted(listen))


def contents(snapshot: Snapshot) -> dict[UnitRef, str]:
    """The own content of every plugin and pipeline, of the application, and of the addresses."""
    found = {ADDRESSES: addresses_content(snapshot.listen)} if snapshot.listen else {}
    for unit in snapshot.units:
        if isinstance(unit, PluginSpec):
            found[unit.key.ref] = plugin_content(unit.artifact, unit.config)
        elif isinstance(unit, ApplicationSpec):
            found[unit.key.ref] = application_content(unit)
        elif isinstance(unit, PipelineSpec):
            routes = [route for route in snapshot.routes if route.pipeline == unit.key.ref.name]
            found[unit.key.ref] = pipeline_content(unit.handlers, unit.target, routes)
    return found


def differing(one: dict[UnitRef, str], other: dict[UnitRef, str]) -> frozenset[UnitRef]:
    """The units whose own content is not the same."""
    return frozenset(ref for ref in one.keys() | other.keys() if one.get(ref, ABSENT) != other.get(ref, ABSENT))


def in_force(held: Iterable[Held], changed: frozenset[UnitRef]) -> frozenset[Held]:
    """What is still held of `held` when the units `changed` are: a pipeline is not, once a plugin beside it changed."""
    names = {ref.name for ref in changed if ref.kind is UnitKind.PLUGIN}
    return frozenset(each for each in held if each.ref not in changed and names.isdisjoint(each.beside))


def brought_back(held: Iterable[Held], committed: Snapshot | None, candidate: Snapshot) -> tuple[Held, ...]:
    """What `candidate` has that is held."""
    before, after = contents(committed or EMPTY), contents(candidate)
    changed = differing(before, after)
    plugins = frozenset(ref for ref in changed if ref.kind is UnitKind.PLUGIN)
    found = (each for each in held if each.ref in changed and after.get(each.ref, ABSENT) == each.content)
    return in_order(each for each in found if in_force([each], plugins - {each.ref}))


def after_reload(held: Iterable[Held], committed: Snapshot | None, candidate: Snapshot) -> frozenset[Held]:
    """What is held once `candidate` is committed: what it changed or took is not."""
    return in_force(held, differing(contents(committed or EMPTY), contents(candidate)))


def after_rollback(held: Iterable[Held], committed: Snapshot | None, candidate: Snapshot) -> frozenset[Held]:
    """What is held once `candidate` is committed: also what it sets aside; what it brings back is not."""
    return _also(_set_aside(committed or EMPTY, candidate), held, candidate)


def after_removal(held: Iterable[Held], committed: Snapshot | None, candidate: Snapshot) -> frozenset[Held]:
    """The same of a candidate that lacks a removed plugin: a rollback may bring back what it takes out."""
    taken_out = (replace(each, removed=True) for each in _set_aside(committed or EMPTY, candidate))
    return _also(taken_out, held, candidate)


def _also(set_aside: Iterable[Held], held: Iterable[Held], candidate: Snapshot) -> frozenset[Held]:
    after = contents(candidate)
    known = {(each.ref, each.content): each for each in (*held, *set_aside)}
    return frozenset(each for each in known.values() if after.get(each.ref, ABSENT) != each.content)


def _set_aside(left: Snapshot, restored: Snapshot) -> tuple[Held, ...]:
    before, after = contents(left), contents(restored)
    gone = differing(before, after)
    plugins = {ref.name for ref in gone if ref.kind is UnitKind.PLUGIN}
    versions = {unit.key.ref: unit.version for unit in left.units if isinstance(unit, PluginSpec)}
    uses = _uses(restored) | _uses(left)
    return tuple(
        Held(ref, before.get(ref, ABSENT), versions.get(ref, ""), tuple(sorted(plugins & uses.get(ref, frozenset()))))
        for ref in sorted(gone, key=str)
    )


def _uses(snapshot: Snapshot) -> dict[UnitRef, frozenset[str]]:
    """Pipeline -> the plugins whose handlers and service it names."""
    found = {}
    for unit in snapshot.units:
        if isinstance(unit, PipelineSpec):
            services = {unit.target.name.partition(":")[0]} if unit.target else set()
            found[unit.key.ref] = frozenset({handler.plugin for handler in unit.handlers} | services)
    return found


def in_order(held: Iterable[Held]) -> tuple[Held, ...]:
    """In an order that depends on nothing else."""
    return tuple(sorted(held, key=lambda each: (str(each.ref), each.content)))


def _digest(content: object) -> str:
    return hashlib.sha256(msgspec.msgpack.encode(content, order="sorted")).hexdigest()
