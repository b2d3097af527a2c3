"""What a generation really consists of: read from the instances that requests pass, and not from the snapshot."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from changeover.workers.generation.switch import Generation
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.protocol.registry import HandlerEntry, PipelineEntry
from changeover.workers.protocol.snapshot import UnitKey
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
    return tuple(
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


def _handlers(generation: Generation) -> Iterator[tuple[UnitKey, Handler]]:
    for key, value in generation.units.items():
        if isinstance(value, LoadedPlugin):
            for handler in value.handlers.values():
                yield key, handler


def _leases(targets: list[Target]) -> dict[str, int]:
    sets = {target.unit_set for target in targets}
    return dict(Counter(lease.kind.value for unit_set in sets for lease in unit_set.live_leases()))
