"""What operators see of pipelines: what is meant to run, what really runs, and what was counted. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from changeover.workers.protocol.assembly import InitializerDescriptor
from changeover.workers.protocol.counted import Counts, HandlerCounts, PipelineCounts, ServiceCounts
from changeover.workers.protocol.messages import TellPipelines
from changeover.workers.protocol.registry import HandlerEntry, PipelineEntry
from changeover.workers.protocol.snapshot import (
    ChannelSpec,
    HandlerRef,
    PipelineSpec,
    PluginSpec,
    Route,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
    UnitSpec,
)

INTERNAL = "internal error"
"""Why a connection of a raw protocol ends when a handler, the service or the codec failed."""
READY_MADE = "changeover"
"""Who provides what no plugin does."""


class HandlerView(msgspec.Struct, frozen=True):
    """One handler of a pipeline.

    Attributes:
        name: As in the configuration (`pricing:discount`, `request-id`).
        direction: `inbound`, `outbound` or `around`, or several of them; empty while no worker says.
        phase: Where in a pipeline it belongs, as it declares; empty while no worker says.
        settings: What stands beside its name in the pipeline, JSON; empty for nothing.
        owner: The plugin that provides it; `changeover` for a ready-made one.
        version: The plugin's; empty for a ready-made one, like its digest.
        digest: The plugin's: SHA-256, hexadecimal.
        since: The epoch that introduced the plugin's instance; 0 for a ready-made one.
        counts: What was counted of it in this pipeline.
    """

    name: str
    direction: str = ""
    phase: str = ""
    settings: str = ""
    owner: str = ""
    version: str = ""
    digest: str = ""
    since: int = 0
    counts: HandlerCounts = HandlerCounts()


class ServiceView(msgspec.Struct, frozen=True):
    """What answers at the end of a pipeline.

    Attributes:
        name: Its name (`app`, `pricing:quote`).
        digest: SHA-256, hexadecimal.
        since: The epoch that introduced the instance.
        counts: Whether it is ready, and how often it was not.
    """

    name: str
    digest: str = ""
    since: int = 0
    counts: ServiceCounts = ServiceCounts()


class PipelineView(msgspec.Struct, frozen=True):
    """One pipeline of the generation that serves.

    Attributes:
        id: Its name.
        digest: SHA-256 over what it is made of, hexadecimal: its `ETag`.
        since: The epoch that introduced it as it is.
        routes: What leads to it.
        handlers: In request order.
        service: What answers; null for one that answers 503.
        address: Where it is spoken, for a raw protocol, whose handlers no configuration names; empty for HTTP.
        initializer: What put such a one together says of itself; null for HTTP, and where no worker answered.
        leases: Who holds it now, in all workers that answered: kind -> how many.
        counts: Whatever its version.
        edited: Whether it was edited, and serves not as its file says.
    """

    id: str
    digest: str
    since: int
    routes: tuple[Route, ...] = ()
    handlers: tuple[HandlerView, ...] = ()
    service: ServiceView | None = None
    leases: dict[str, int] = {}
    counts: PipelineCounts = PipelineCounts()
    edited: bool = False
    address: str = ""
    initializer: InitializerDescriptor | None = None

    @property
    def failed(self) -> int:
        """Requests, or connections of a raw protocol, that ended in an error of the server."""
        return failures(self.counts)


class PipelinesView(msgspec.Struct, frozen=True):
    """Every pipeline of the generation that serves, out of one read with its epoch.

    Attributes:
        epoch: The committed epoch.
        pipelines: In build order.
        misses: Why no route took a request -> how many.
        handshakes: How the opening of connections ended -> how many; `cleartext` where there is none.
        events: Kind of pipeline event -> how many.
        silent: Slots whose worker did not answer in time: their leases are missing, their counts some seconds old.
    """

    epoch: int
    pipelines: tuple[PipelineView, ...] = ()
    misses: dict[str, int] = {}
    handshakes: dict[str, int] = {}
    events: dict[str, int] = {}
    silent: tuple[int, ...] = ()


class WorkerPipeline(msgspec.Struct, frozen=True):
    """One pipeline as a worker runs it, read there from the objects that requests pass.

    Attributes:
        slot: The worker's place.
        pid: Of the worker.
        incarnation: Of the worker.
        epoch: What it serves, out of the same read.
        pipeline: What runs; null when it has no pipeline of that name.
        deviation: What differs from the generation that serves, in words; empty when nothing does.
        counts: What this worker counted since it started.
    """

    slot: int
    pid: int
    incarnation: int
    epoch: int
    pipeline: PipelineEntry | None = None
    deviation: str = ""
    counts: PipelineCounts = PipelineCounts()


class PipelineRegistryView(msgspec.Struct, frozen=True):
    """One pipeline in every worker.

    Attributes:
        epoch: The committed epoch.
        id: The pipeline's name.
        digest: What every worker should run; empty when the committed generation has no such pipeline.
        workers: One for each that answered.
        silent: Slots whose worker did not answer in time.
    """

    epoch: int
    id: str
    digest: str = ""
    workers: tuple[WorkerPipeline, ...] = ()
    silent: tuple[int, ...] = ()


class PipelineLine(msgspec.Struct, frozen=True):
    """One pipeline in the status, from the last reports.

    Attributes:
        id: Its name.
        hits: Requests that routes led to it, or messages of a raw protocol.
        failed: Responses of class 5xx; of a raw protocol connections that ended because something failed.
        service: What answers; empty for nothing.
        not_ready: Requests that this did not take because it was not ready.
        unready: Workers in which it was not ready when it was asked last.
    """

    id: str
    hits: int = 0
    failed: int = 0
    service: str = ""
    not_ready: int = 0
    unready: int = 0


def pipeline_lines(snapshot: Snapshot | None, counts: Counts) -> tuple[PipelineLine, ...]:
    """Show the pipelines of a generation in short."""
    return tuple(_line(spec, counts) for spec in _pipelines(snapshot))


def _line(spec: PipelineSpec, counts: Counts) -> PipelineLine:
    name = spec.key.ref.name
    own = counts.pipelines.get(name, PipelineCounts())
    service = "" if spec.target is None else spec.target.name
    readiness = counts.services.get(service, ServiceCounts())
    return PipelineLine(name, own.hits, failures(own), service, readiness.not_ready, readiness.unready)


def failures(counts: PipelineCounts) -> int:
    """What ended in an error of the server."""
    return counts.responses.get("5xx", 0) + counts.ends.get(INTERNAL, 0)


def pipeline_views(
    snapshot: Snapshot | None, counts: Counts, told: Iterable[TellPipelines]
) -> tuple[PipelineView, ...]:
    """Show the pipelines of a generation.

    Args:
        snapshot: What serves.
        counts: What all workers counted.
        told: What workers answered.
    """
    entries = [entry for answer in told for entry in answer.pipelines]
    units = {} if snapshot is None else {unit.key.ref: unit for unit in snapshot.units}
    return tuple(
        _view(spec, [entry for entry in entries if entry.key == spec.key], units, snapshot, counts)
        for spec in _pipelines(snapshot)
    )


def _view(
    spec: PipelineSpec,
    entries: Sequence[PipelineEntry],
    units: Mapping[UnitRef, UnitSpec],
    snapshot: Snapshot | None,
    counts: Counts,
) -> PipelineView:
    own = counts.pipelines.get(spec.key.ref.name, PipelineCounts())
    declared = [handler for entry in entries[:1] for handler in entry.handlers]
    leases: Counter[str] = Counter()
    for entry in entries:
        leases.update(entry.leases)
    return PipelineView(
        spec.key.ref.name,
        spec.key.digest,
        spec.key.since,
        () if snapshot is None else tuple(r for r in snapshot.routes if r.pipeline == spec.key.ref.name),
        tuple(_handler(ref, units, [each for each in declared if each.name == str(ref)], own) for ref in spec.handlers),
        None if spec.target is None else _service(spec.target, units, counts),
        dict(leases),
        own,
        spec.written != "",
    )


def _handler(
    ref: HandlerRef, units: Mapping[UnitRef, UnitSpec], parts: Sequence[HandlerEntry], own: PipelineCounts
) -> HandlerView:
    owner = units.get(UnitRef(UnitKind.PLUGIN, ref.plugin))
    return HandlerView(
        str(ref),
        ", ".join(part.direction for part in parts),
        parts[0].phase if parts else "",
        ref.settings.decode("utf-8", "replace"),
        ref.plugin or READY_MADE,
        owner.version if isinstance(owner, PluginSpec) else "",
        "" if owner is None else owner.key.digest,
        0 if owner is None else owner.key.since,
        own.handlers.get(str(ref), HandlerCounts()),
    )


def _service(target: UnitRef, units: Mapping[UnitRef, UnitSpec], counts: Counts) -> ServiceView:
    unit = units.get(target)
    readiness = counts.services.get(target.name, ServiceCounts())
    key = None if unit is None else unit.key
    return ServiceView(target.name, "" if key is None else key.digest, 0 if key is None else key.since, readiness)


def worker_pipeline(
    slot: int, pid: int, answer: TellPipelines, spec: PipelineSpec | ChannelSpec | None, name: str
) -> WorkerPipeline:
    """Show one pipeline as a worker runs it, beside what it should run: of a raw protocol, at which address."""
    entry = next((each for each in answer.pipelines if each.name == name), None)
    counts = answer.counts.pipelines.get(name, PipelineCounts())
    deviation = "; ".join(_deviations(spec, entry))
    return WorkerPipeline(slot, pid, answer.worker.incarnation, answer.epoch, entry, deviation, counts)


def _deviations(spec: PipelineSpec | ChannelSpec | None, entry: PipelineEntry | None) -> Iterator[str]:
    if spec is None or entry is None:
        if entry is not None:
            yield "it runs, and what serves has no such pipeline"
        elif spec is not None:
            yield "it does not run here"
        return
    if entry.key != spec.key:
        yield f"it is {_short(entry.key)} and not {_short(spec.key)}"
        return
    if isinstance(spec, ChannelSpec):
        return  # what its initializer registers is in no configuration
    # A handler that sees requests and responses is two in a worker, and one may stand there twice, told otherwise.
    found = list(dict.fromkeys(each.name for each in entry.handlers))
    wanted = list(dict.fromkeys(map(str, spec.handlers)))
    if found != wanted:
        yield f"its handlers are {', '.join(found) or 'none'} and not {', '.join(wanted) or 'none'}"
    if (None if entry.service is None else entry.service.ref) != spec.target:
        yield f"{entry.service or 'nothing'} answers and not {spec.target or 'nothing'}"


def _short(key: UnitKey) -> str:
    return f"{key.digest[:6]} of epoch {key.since}"


def pipeline_spec(snapshot: Snapshot | None, name: str) -> PipelineSpec | None:
    """The pipeline of that name in a generation."""
    return next((spec for spec in _pipelines(snapshot) if spec.key.ref.name == name), None)


def _pipelines(snapshot: Snapshot | None) -> Iterator[PipelineSpec]:
    yield from (unit for unit in (() if snapshot is None else snapshot.units) if isinstance(unit, PipelineSpec))
