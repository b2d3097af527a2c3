"""What a generation really consists of: read from the instances that requests pass, and not from the snapshot."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from changeover.workers.generation.switch import Generation
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.protocol.registry import HandlerEntry, PipelineEntry
from changeover.workers.protocol.snapshot import UnitKey, UnitKind, UnitRef
from changeover.workers.serving.handlers import Handler
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import Target


def pipelines(generation: Generation) -> tuple[PipelineEntry, ...]:
    """Every pipeline of a generation with what it is made of, in build order."""
    owners = {id(handler): key for key, handler in _handlers(generation)}
    answering = {id(value): key for key, value in generation.units.items()}
    targets: defaultdict[int, list[Target]] = defaultdict(list)
    for target in generation.router.targets:
        targets[id(target.pipeline)].append(target)
    http = (
        PipelineEntry(
            key,
            tuple(target.route for target in targets[id(value)]),
            tuple(
                HandlerEntry(handler.name, handler.kind.value, handler.phase, owners.get(id(handler)))
                for handler in value.handlers
            ),
            None if value.target is None else answering.get(id(value.target)),
            _leases(targets[id(value)]),
        )
        for key, value in generation.units.items()
        if isinstance(value, Pipeline)
    )
    return (*http, *_raw(generation))


def _raw(generation: Generation) -> Iterator[PipelineEntry]:
    """Those of raw protocols."""
    keys = {key.ref: key for key in generation.units}
    for (address, name), target in generation.messages.items():
        owner = keys[UnitRef(UnitKind.PLUGIN, name.partition(":")[0])]
        declared = ((f"{owner.ref.name}:{each.name}", each.declared) for each in target.pipeline.handlers)
        handlers = tuple(HandlerEntry(title, own.direction.value, own.phase.value, owner) for title, own in declared)
        held = Counter(lease.kind.value for lease in target.unit_set.live_leases() if lease.path == name)
        key, told = keys[UnitRef(UnitKind.CHANNEL, address)], target.pipeline.descriptor
        yield PipelineEntry(key, (), handlers, owner, dict(held), name, told)


def _handlers(generation: Generation) -> Iterator[tuple[UnitKey, Handler]]:
    for key, value in generation.units.items():
        if isinstance(value, LoadedPlugin):
            for handler in value.handlers.values():
                yield key, handler


def _leases(targets: list[Target]) -> dict[str, int]:
    sets = {target.unit_set for target in targets}
    return dict(Counter(lease.kind.value for unit_set in sets for lease in unit_set.live_leases()))
