"""What answers at each of the API's resources."""

from collections.abc import AsyncIterator, Callable

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
from changeover.supervisor.telemetry.stream import Told
from changeover.supervisor.unanswerable import InterpreterNotYours, UnknownPipeline, UnknownPlugin

DEFAULT_HISTORY = 20
MOST_HISTORY = 1000
MOST_SLOTS = MOST_WORKERS


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


async def diff(control: Control, request: Request, _: None) -> Response:
    """Compare two epochs, or what serves with what is on disk."""
    query = request.query_params
    before, after = (None if name not in query else _number(query[name], name, 1) for name in ("from", "to"))
    if before is None and after is not None:
        raise MalformedQuery("to goes with from: say which epoch it is compared with")
    return _json(await control.diff(before, after, await peer.origin_of(request, "")))


async def leases(control: Control, request: Request, _: None) -> Response:
    """Ask every worker who holds what."""
    return _json(await control.leases())


async def leaks(control: Control, request: Request, _: None) -> Response:
    """Ask every worker what is not gone."""
    return _json(await control.leaks())


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
    if field.strip() == "*":
        return ""
    if digest not in (each.strip().removeprefix("W/").strip('"') for each in field.split(",")):
        raise PipelineChanged(name)
    return digest


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
