"""What operators see of the pipelines of raw protocols, which initializers put together: one per address. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator

from changeover.supervisor.pipelines import HandlerView, PipelineLine, PipelineView, ServiceView, failures
from changeover.workers.protocol.counted import Counts, HandlerCounts, PipelineCounts, ServiceCounts
from changeover.workers.protocol.messages import TellPipelines
from changeover.workers.protocol.registry import PipelineEntry, raw_pipeline
from changeover.workers.protocol.snapshot import ChannelSpec, PluginSpec, Snapshot, UnitKind, UnitRef


def raw_lines(snapshot: Snapshot | None, counts: Counts) -> tuple[PipelineLine, ...]:
    """Show those of a generation in short."""
    return tuple(_line(channel, initializer, counts) for channel, initializer in _spoken(snapshot))


def _line(channel: ChannelSpec, initializer: str, counts: Counts) -> PipelineLine:
    name = raw_pipeline(channel.key.ref.name, initializer)
    own = counts.pipelines.get(name, PipelineCounts())
    readiness = counts.services.get(initializer, ServiceCounts())
    return PipelineLine(name, own.hits, failures(own), initializer, readiness.not_ready, readiness.unready)


def raw_views(snapshot: Snapshot | None, counts: Counts, told: Iterable[TellPipelines]) -> tuple[PipelineView, ...]:
    """Show those of a generation; the arguments are as for `pipeline_views`."""
    if snapshot is None:
        return ()
    entries = [entry for answer in told for entry in answer.pipelines if entry.initializer]
    return tuple(
        _view(
            channel,
            initializer,
            [entry for entry in entries if (entry.key, entry.initializer) == (channel.key, initializer)],
            snapshot,
            counts,
        )
        for channel, initializer in _spoken(snapshot)
    )


def _view(
    channel: ChannelSpec, initializer: str, entries: list[PipelineEntry], snapshot: Snapshot, counts: Counts
) -> PipelineView:
    address = channel.key.ref.name
    name = raw_pipeline(address, initializer)
    own = counts.pipelines.get(name, PipelineCounts())
    ref = UnitRef(UnitKind.PLUGIN, initializer.partition(":")[0])
    plugin = next(unit for unit in snapshot.units if isinstance(unit, PluginSpec) and unit.key.ref == ref)
    leases: Counter[str] = Counter()
    for entry in entries:
        leases.update(entry.leases)
    readiness = counts.services.get(initializer, ServiceCounts())
    return PipelineView(
        name,
        channel.key.digest,
        channel.key.since,
        handlers=tuple(_handlers(entries[:1], plugin, own)),
        service=ServiceView(initializer, plugin.key.digest, plugin.key.since, readiness),
        leases=dict(leases),
        counts=own,
        address=address,
        initializer=entries[0].descriptor if entries else None,
    )


def _handlers(entries: Iterable[PipelineEntry], plugin: PluginSpec, own: PipelineCounts) -> Iterator[HandlerView]:
    """What a worker says that was registered: no configuration does."""
    for entry in entries:
        for each in entry.handlers:
            yield HandlerView(
                each.name,
                each.direction,
                each.phase,
                owner=plugin.key.ref.name,
                version=plugin.version,
                digest=plugin.key.digest,
                since=plugin.key.since,
                counts=own.handlers.get(each.name, HandlerCounts()),
            )


def raw_spec(snapshot: Snapshot | None, name: str) -> ChannelSpec | None:
    """The channel at which the pipeline of that name is spoken in a generation."""
    named = (channel for channel, each in _spoken(snapshot) if raw_pipeline(channel.key.ref.name, each) == name)
    return next(named, None)


def _spoken(snapshot: Snapshot | None) -> Iterator[tuple[ChannelSpec, str]]:
    for channel in () if snapshot is None else snapshot.channels:
        for initializer in channel.initializers:
            yield channel, initializer
