"""`changeover pipelines`."""

from collections.abc import Iterator, Mapping
from urllib.parse import quote

import click

from changeover.supervisor.api.client import Client
from changeover.supervisor.cli.exits import Exit, Failure, failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.cli.overview import table
from changeover.supervisor.cli.showing import as_json_option, unanswered
from changeover.supervisor.pipelines import (
    READY_MADE,
    HandlerView,
    PipelineRegistryView,
    PipelinesView,
    PipelineView,
    ServiceView,
    WorkerPipeline,
)
from changeover.supervisor.telemetry.amounts import named, workers
from changeover.workers.protocol.assembly import InitializerDescriptor

HELP = """Show what requests pass: every pipeline that serves, or one with its handlers and what each worker runs.

Numbers are of all workers since the service started. Times are of one request in 64, waiting included.

Exit status: 0 found; 1 no such pipeline; 5 no server.
"""

HEADINGS = ("pipeline", "routes", "hits", "failed", "not ready", "leases", "handlers", "service")
HANDLERS = ("handler", "direction", "phase", "version", "mean", "longest", "answered", "failed", "settings")
WORKERS = ("slot", "pid", "epoch", "hits", "runs")
DIGITS = 6
"""Digits of a digest that people need."""


@click.command("pipelines", help=HELP)
@click.argument("pipeline", required=False, default="")
@server_options
@click.option("--registry", is_flag=True, help="With --json: what each worker really runs as PIPELINE.")
@as_json_option
def command(pipeline: str, name: str, runtime_dir: str, registry: bool, as_json: bool) -> None:
    """See HELP."""
    if registry and not (as_json and pipeline):
        raise Failure("--registry goes with a pipeline and --json; without them it is shown anyway", Exit.USAGE)
    with failures():
        client = server(name, runtime_dir)
        target = f"/v1/pipelines/{quote(pipeline)}" if pipeline else "/v1/pipelines"
        if as_json:
            click.echo(client.raw("GET", f"{target}/registry" if registry else target))
            return
        for line in _lines(client, target, pipeline):
            click.echo(line)


def _lines(client: Client, target: str, pipeline: str) -> Iterator[str]:
    if not pipeline:
        yield from every_pipeline(client.get(target, PipelinesView))
        return
    registry = client.get(f"{target}/registry", PipelineRegistryView)
    yield from one_pipeline(client.get(target, PipelineView) if registry.digest else None, registry)


def every_pipeline(view: PipelinesView) -> Iterator[str]:
    """Lay all pipelines out."""
    if view.pipelines:
        yield from table((HEADINGS, *(_row(pipeline) for pipeline in view.pipelines)))
    else:
        yield f"no pipelines; epoch {view.epoch} is committed"
    yield from _counted("no route", view.misses)
    yield from _counted("handshakes", view.handshakes)
    yield from _counted("events", view.events)
    yield from unanswered(view.silent)


def _row(pipeline: PipelineView) -> tuple[str, ...]:
    service = pipeline.service
    return (
        pipeline.id,
        pipeline.address or named([str(route) for route in pipeline.routes]) or "-",
        f"{pipeline.counts.hits:,}",
        f"{pipeline.failed:,}",
        "-" if service is None else _readiness(service),
        str(sum(pipeline.leases.values())),
        ", ".join(handler.name for handler in pipeline.handlers) or "-",
        "-" if service is None else service.name,
    )


def _readiness(service: ServiceView) -> str:
    now = f", NOW in {workers(service.counts.unready)}" if service.counts.unready else ""
    return f"{service.counts.not_ready:,}{now}"


def one_pipeline(view: PipelineView | None, registry: PipelineRegistryView) -> Iterator[str]:
    """Lay one pipeline out, and how each worker runs it.

    Args:
        view: What is meant to run; None when what serves has no such pipeline.
        registry: What runs.
    """
    if view is None:
        yield f"pipeline {registry.id}   epoch {registry.epoch} has none of that name"
    else:
        yield from _meant(view, registry.epoch)
    if registry.workers:
        yield from table((WORKERS, *(_worker(worker) for worker in registry.workers)))
    yield from unanswered(registry.silent)


def _meant(view: PipelineView, epoch: int) -> Iterator[str]:
    yield f"pipeline {view.id}   {view.digest[:DIGITS]} since epoch {view.since}; epoch {epoch} serves"
    if view.edited:
        yield "edited   not as its file says, until that changes"
    yield f"address  {view.address}" if view.address else f"routes   {', '.join(map(str, view.routes)) or 'none'}"
    if view.initializer is not None:
        yield f"speaks   {_described(view.initializer)}"
    if view.handlers:
        yield from table((HANDLERS, *(_handler(handler) for handler in view.handlers)))
    yield f"answers  {_answers(view.service)}"
    yield f"{'messages' if view.address else 'requests'} {view.counts.hits:,}"
    yield from _counted("status", view.counts.responses)
    yield from _counted("ended", view.counts.ends)
    yield from _counted("leases", view.leases)


def _described(initializer: InitializerDescriptor) -> str:
    said = f"{initializer.name} ({initializer.category})" if initializer.category else initializer.name
    return f"{said}: {initializer.summary}" if initializer.summary else said


def _handler(view: HandlerView) -> tuple[str, ...]:
    counts = view.counts
    mean = _duration(counts.nanoseconds / counts.timed) if counts.timed else "-"
    owner = "ready-made" if view.owner == READY_MADE else f"{view.owner} {view.version}"
    longest = _duration(counts.longest) if counts.timed else "-"
    told = (f"{counts.answered:,}", f"{counts.failed:,}", view.settings or "-")
    return (view.name, view.direction or "-", view.phase or "-", owner, mean, longest, *told)


def _duration(nanoseconds: float) -> str:
    if nanoseconds < 1e6:
        return f"{nanoseconds / 1e3:.1f} us"
    return f"{nanoseconds / 1e6:.1f} ms" if nanoseconds < 1e9 else f"{nanoseconds / 1e9:.1f} s"


def _answers(service: ServiceView | None) -> str:
    if service is None:
        return "nothing: 503"
    return f"{service.name} {service.digest[:DIGITS]} since epoch {service.since}; not ready: {_readiness(service)}"


def _worker(view: WorkerPipeline) -> tuple[str, ...]:
    runs = f"! {view.deviation}" if view.deviation else "as meant"
    return (str(view.slot), str(view.pid), str(view.epoch), f"{view.counts.hits:,}", runs)


def _counted(title: str, counts: Mapping[str, int]) -> Iterator[str]:
    if counts:
        yield f"{title.ljust(8)} {', '.join(f'{name}: {count:,}' for name, count in counts.items())}"
