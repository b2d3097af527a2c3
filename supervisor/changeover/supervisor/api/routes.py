"""The API's resources: one table, the only source of its routes and of its documentation."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from changeover.supervisor import control as views
from changeover.supervisor.api import bodies, cutovers, peer, server_sent
from changeover.supervisor.api.problems import (
    EpochPassed,
    MalformedBody,
    MalformedQuery,
    PipelineChanged,
    PreconditionMissing,
)
from changeover.supervisor.config.rules import MOST_WORKERS
from changeover.supervisor.core.edits import PipelineEdit, RemovePlugin
from changeover.supervisor.core.entries import Origin
from changeover.supervisor.core.outcome import Action, CutoverRequest
from changeover.supervisor.operations import Control
from changeover.supervisor.pipelines import PipelineRegistryView, PipelinesView, PipelineView
from changeover.supervisor.plugins import PluginsView
from changeover.supervisor.telemetry.stream import Told
from changeover.supervisor.unanswerable import InterpreterNotYours, UnknownPipeline, UnknownPlugin

DEFAULT_HISTORY = 20
MOST_HISTORY = 1000
MOST_SLOTS = MOST_WORKERS

Handler = Callable[[Control, Request, Any], Awaitable[Response]]


class Endpoint(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        method: HTTP method.
        path: Path with `{parameters}`.
        handler: What answers; its last argument is the decoded body, None where none is taken.
        summary: One line for the documentation.
        answer: The body of a successful answer.
        body: The body that is taken, None for none.
        query: Query parameters -> what they mean.
        streams: Whether it answers with server-sent events, always or to who asks for them.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type[msgspec.Struct]
    body: type[bodies.Body] | None = None
    query: dict[str, str] = {}
    streams: bool = False


async def status(control: Control, request: Request, _: None) -> Response:
    """Answer with the whole status."""
    view = control.status()
    return _json(view, epoch=view.epoch)


async def cut_over(control: Control, request: Request, body: bodies.CutoverBody) -> Response:
    """Take what is on disk."""
    wish = CutoverRequest(
        origin=await peer.origin_of(request, body.label),
        only=body.only,
        if_epoch=_precondition(control, request),
        force=body.force,
        dry_run=body.dry_run,
        on_silent_workers=body.on_silent_workers,
        strategy=body.strategy,
        python=body.python,
        batch=_count(body.batch, "batch", 1),
        surge=_count(body.surge, "surge", 0),
        allow_partial=body.allow_partial,
    )
    return await cutovers.carry_out(control, request, wish, body.until)


async def roll_back(control: Control, request: Request, body: bodies.RollbackBody) -> Response:
    """Put earlier content back."""
    origin: Origin = await peer.origin_of(request, body.label)
    expected = _precondition(control, request)
    wish = CutoverRequest(origin=origin, action=Action.ROLLBACK, to=body.to, if_epoch=expected)
    return await cutovers.carry_out(control, request, wish, body.until)


async def history(control: Control, request: Request, _: None) -> Response:
    """List epochs."""
    limit = _number(request.query_params.get("limit", str(DEFAULT_HISTORY)), "limit", 1, MOST_HISTORY)
    return _json(bodies.HistoryAnswer(await control.history(limit)))


async def explain(control: Control, request: Request, _: None) -> Response:
    """Tell all about one epoch."""
    return _json(await control.explain(_number(request.path_params["epoch"], "epoch", 0)))


async def leases(control: Control, request: Request, _: None) -> Response:
    """Ask every worker who holds what."""
    return _json(await control.leases())


async def workers(control: Control, request: Request, _: None) -> Response:
    """List slots."""
    view = control.status()
    return _json(bodies.WorkersAnswer(view.epoch, view.slots), epoch=view.epoch)


async def registry(control: Control, request: Request, _: None) -> Response:
    """Ask one worker what it serves."""
    view = await control.registry(_number(request.path_params["slot"], "slot", 0))
    return _json(view, epoch=view.registry.epoch)


async def pipelines(control: Control, request: Request, _: None) -> Response:
    """List pipelines."""
    view = await control.pipelines()
    return _json(view, epoch=view.epoch)


async def pipeline(control: Control, request: Request, _: None) -> Response:
    """Tell all about one pipeline."""
    view, name = await control.pipelines(), request.path_params["id"]
    for each in view.pipelines:
        if each.id == name:
            return _json(each, tag=each.digest)
    raise UnknownPipeline(name, [each.id for each in view.pipelines])


async def pipeline_registry(control: Control, request: Request, _: None) -> Response:
    """Ask every worker what it runs as one pipeline."""
    view = await control.pipeline_registry(request.path_params["id"])
    return _json(view, epoch=view.epoch)


async def edit(control: Control, request: Request, body: bodies.HandlersBody) -> Response:
    """Edit the handlers of a pipeline that serves."""
    name = request.path_params["id"]
    expected = _digest_expected(control, request, name)
    if not body.edits:
        raise MalformedBody("edits is empty: say what to add, remove or replace")
    wish = CutoverRequest(
        origin=await peer.origin_of(request, body.label),
        action=Action.EDIT,
        edit=PipelineEdit(name, body.edits, expected),
        dry_run=body.dry_run,
    )
    return await cutovers.carry_out(control, request, wish, body.until)


async def plugins(control: Control, request: Request, _: None) -> Response:
    """List plugins."""
    view = await control.plugins()
    return _json(view, epoch=view.epoch)


async def remove_plugin(control: Control, request: Request, body: bodies.RemovalBody) -> Response:
    """Take a plugin out of what serves."""
    plugin, known = request.path_params["id"], [each.id for each in control.status().plugins]
    if plugin not in known:
        raise UnknownPlugin(plugin, known)
    wish = CutoverRequest(
        origin=await peer.origin_of(request, body.label),
        action=Action.EDIT,
        edit=RemovePlugin(plugin),
        if_epoch=_precondition(control, request),
        dry_run=body.dry_run,
    )
    return await cutovers.carry_out(control, request, wish, body.until)


async def scale(control: Control, request: Request, body: bodies.ScaleBody) -> Response:
    """Change the number of slots."""
    control.scale(_number(str(body.slots), "slots", 1, MOST_SLOTS))
    return _json(bodies.Accepted(control.status().epoch), status=202)


async def stop(control: Control, request: Request, body: bodies.StopBody) -> Response:
    """End the server."""
    accepted = bodies.Accepted(control.status().epoch)
    control.stop(body.urgency)
    return _json(accepted, status=202)


async def upgrade(control: Control, request: Request, body: bodies.UpgradeBody) -> Response:
    """Replace the supervisor's program."""
    if body.python and not peer.may_choose_interpreter(request):
        raise InterpreterNotYours
    await control.upgrade(await peer.origin_of(request, body.label), body.python)
    return _json(bodies.Accepted(control.status().epoch), status=202)


async def events(control: Control, request: Request, _: None) -> Response:
    """Stream what is told."""
    text = request.headers.get("last-event-id") or request.query_params.get("after")
    after = None if text is None else _number(text, "Last-Event-ID", 0)
    if request.query_params.get("follow") == "false":
        return _json(bodies.EventsAnswer(control.told(after or 0)))
    return server_sent.response(server_sent.alive(_encoded(control.events(after))))


async def ready(control: Control, request: Request, _: None) -> Response:
    """Say whether requests are served."""
    health = _health(control, well=lambda view, serving: serving > 0 and view.stopping is None)
    return _json(health, status=200 if health.well else 503)


async def live(control: Control, request: Request, _: None) -> Response:
    """Say that the supervisor's loop runs."""
    return _json(_health(control, well=lambda view, serving: True))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("GET", "/v1/status", status, "How the server fares. `ETag` is the committed epoch.", views.StatusView),
    Endpoint(
        "POST",
        "/v1/cutovers",
        cut_over,
        "Takes what is on disk into all workers (200), or refuses it (409), or cannot know (202); a stream is 200. "
        "`If-Match` makes it hold for one epoch only (412).",
        bodies.CutoverAnswer,
        bodies.CutoverBody,
        streams=True,
    ),
    Endpoint(
        "POST",
        "/v1/rollbacks",
        roll_back,
        "Puts earlier committed content back, as a new epoch. `If-Match` as for cutovers.",
        bodies.CutoverAnswer,
        bodies.RollbackBody,
        streams=True,
    ),
    Endpoint(
        "GET",
        "/v1/history",
        history,
        "The journal's latest epochs, newest first.",
        bodies.HistoryAnswer,
        query={"limit": f"how many at most, 1 to {MOST_HISTORY}; {DEFAULT_HISTORY} by default"},
    ),
    Endpoint("GET", "/v1/epochs/{epoch}", explain, "All that is known of one epoch.", views.Explanation),
    Endpoint("GET", "/v1/leases", leases, "Who holds which epoch, asked of every worker.", views.LeasesView),
    Endpoint("GET", "/v1/workers", workers, "Every slot and the worker in it.", bodies.WorkersAnswer),
    Endpoint(
        "GET",
        "/v1/workers/{slot}/registry",
        registry,
        "What one worker serves: epoch and registry out of one read. `ETag` is its epoch.",
        views.RegistryView,
    ),
    Endpoint(
        "GET",
        "/v1/pipelines",
        pipelines,
        "Every pipeline that serves, with what was counted of it, asked of every worker. `ETag` is the epoch.",
        PipelinesView,
    ),
    Endpoint(
        "GET",
        "/v1/pipelines/{id:path}/registry",
        pipeline_registry,
        "What every worker really runs as one pipeline, each with its epoch out of the same read, and its counts.",
        PipelineRegistryView,
    ),
    Endpoint(
        "GET",
        "/v1/pipelines/{id:path}",
        pipeline,
        "One pipeline. `ETag` is its digest, which changes with its handlers, what they are made of, and what answers.",
        PipelineView,
    ),
    Endpoint(
        "PATCH",
        "/v1/pipelines/{id:path}/handlers",
        edit,
        "Edits the handlers of a pipeline that serves, as a new epoch; outcomes as for cutovers. `If-Match` must say "
        "which content of it is edited: without it 428, with another than serves 412; `*` is any.",
        bodies.CutoverAnswer,
        bodies.HandlersBody,
        streams=True,
    ),
    Endpoint(
        "GET",
        "/v1/plugins",
        plugins,
        "Every plugin: what serves, what lies on disk, and what every worker has of it. `ETag` is the epoch.",
        PluginsView,
    ),
    Endpoint(
        "DELETE",
        "/v1/plugins/{id}",
        remove_plugin,
        "Takes a plugin out of what serves, as a new epoch; outcomes and `If-Match` as for cutovers. Its content is "
        "held: a reload does not bring it back until it changes. Refused (409) while anything that stays needs it.",
        bodies.CutoverAnswer,
        bodies.RemovalBody,
        streams=True,
    ),
    Endpoint(
        "PUT",
        "/v1/scale",
        scale,
        "Changes the number of workers; the oldest leave first.",
        bodies.Accepted,
        bodies.ScaleBody,
    ),
    Endpoint(
        "POST",
        "/v1/upgrade",
        upgrade,
        "Replaces the supervisor's own program, once it was tried and no cutover runs; answers when that begins. "
        "`term` in the status rises when it is done, and `fell_back` says why it was not.",
        bodies.Accepted,
        bodies.UpgradeBody,
    ),
    Endpoint("POST", "/v1/stop", stop, "Ends the server.", bodies.Accepted, bodies.StopBody),
    Endpoint(
        "GET",
        "/v1/events",
        events,
        "Follows what the server tells (`told` events, `id` is the number). `Last-Event-ID` resumes after a number.",
        Told,
        query={"after": "as `Last-Event-ID`", "follow": "`false` answers at once with what is kept (`EventsAnswer`)"},
        streams=True,
    ),
    Endpoint("GET", "/v1/ready", ready, "Whether at least one worker serves; 503 says no.", bodies.Health),
    Endpoint("GET", "/v1/live", live, "Whether the supervisor answers at all.", bodies.Health),
)
"""Every resource there is."""


def _json(content: msgspec.Struct, status: int = 200, epoch: int | None = None, tag: str = "") -> Response:
    headers = {"cache-control": "no-store"}
    if tag or epoch is not None:
        headers["etag"] = f'"{tag or epoch}"'
    return Response(msgspec.json.encode(content), status, headers, media_type="application/json")


def _precondition(control: Control, request: Request) -> int | None:
    """Read `If-Match`; what passes here can still be outrun, so the coordinator checks the epoch once more."""
    field = request.headers.get("if-match")
    if field is None or field.strip() == "*":
        return None
    expected = _number(field.strip().removeprefix("W/").strip('"'), "If-Match", 0)
    epoch = control.status().epoch
    if expected != epoch:
        raise EpochPassed(expected, epoch)
    return expected


def _digest_expected(control: Control, request: Request, name: str) -> str:
    """Read an `If-Match` that must be there; what passes here can still be outrun, so the scan looks once more."""
    digest, field = control.pipeline(name).key.digest, request.headers.get("if-match")
    if field is None:
        raise PreconditionMissing(f'say which content of pipeline {name} is edited: If-Match: "{digest}", or *')
    expected = "" if field.strip() == "*" else field.strip().removeprefix("W/").strip('"')
    if expected not in ("", digest):
        raise PipelineChanged(name)
    return expected


def _number(text: str, name: str, least: int, most: int | None = None) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else -1
    if number < least or (most is not None and number > most):
        span = f"from {least} on" if most is None else f"{least} to {most}"
        raise MalformedQuery(f"{name} is {text!r}, but must be a whole number, {span}")
    return number


def _count(number: int | None, name: str, least: int) -> int | None:
    return None if number is None else _number(str(number), name, least, MOST_SLOTS)


def _health(control: Control, well: Callable[[views.StatusView, int], bool]) -> bodies.Health:
    view = control.status()
    serving = sum(slot.state is views.SlotState.SERVING and slot.epoch > 0 for slot in view.staff)
    return bodies.Health(well(view, serving), view.epoch, serving, len(view.staff))


async def _encoded(told: AsyncIterator[Told]) -> AsyncIterator[bytes]:
    async for event in told:
        yield server_sent.told(event)
