"""A cutover that somebody waits for, and that goes on when they leave."""

import asyncio
import http
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from changeover.supervisor.api import problems, server_sent
from changeover.supervisor.api.bodies import CutoverAnswer
from changeover.supervisor.control import Milestone
from changeover.supervisor.core.edits import PipelineEdit
from changeover.supervisor.core.outcome import Committed, CutoverRequest, NeedsRoll, Outcome, Refused, Undecided
from changeover.supervisor.operations import Control
from changeover.supervisor.telemetry.stream import Told

logger = logging.getLogger(__name__)

_under_way: set[asyncio.Task[Outcome]] = set()
"""Held here, because a loop holds its tasks only weakly."""


class _Progress:
    """What is told of one cutover, until its outcome."""

    def __init__(self, control: Control, request: CutoverRequest) -> None:
        self._heard: asyncio.Queue[Told | None] = asyncio.Queue()
        self.task = _keep(control.request_cutover(request, self._heard.put_nowait))
        self.task.add_done_callback(lambda _: self._heard.put_nowait(None))

    async def told(self) -> AsyncIterator[Told]:
        while (event := await self._heard.get()) is not None:
            yield event

    async def outcome(self) -> Outcome:
        return await asyncio.shield(self.task)


async def carry_out(control: Control, asked: Request, request: CutoverRequest, until: Milestone) -> Response:
    """Ask for a cutover and answer with its end, or with all that is told on the way to whoever wants events."""
    progress = _Progress(control, request)
    if server_sent.MEDIA_TYPE in asked.headers.get("accept", ""):
        return _streamed(control, asked, request, progress, until)
    outcome = await progress.outcome()
    _be_in_time(control, request, outcome)
    reached = await _reach(control, outcome, until)
    body = msgspec.json.encode(CutoverAnswer(outcome, reached))
    return Response(body, _status(outcome), media_type="application/json")


def _be_in_time(control: Control, request: CutoverRequest, outcome: Outcome) -> None:
    """An edit that was refused because another one was quicker is a precondition that failed."""
    edit = request.edit
    if (
        not isinstance(edit, PipelineEdit)
        or not edit.if_digest
        or not isinstance(outcome, Refused)
        or outcome.epoch is not None
    ):
        return
    if control.pipeline(edit.pipeline).key.digest != edit.if_digest:
        raise problems.PipelineChanged(edit.pipeline)


def _status(outcome: Outcome) -> int:
    """What a client that only looks at the status has to know; a stream cannot say it any more."""
    match outcome:
        case Refused() | NeedsRoll():
            return http.HTTPStatus.CONFLICT
        case Undecided():
            return http.HTTPStatus.ACCEPTED
        case _:
            return http.HTTPStatus.OK


def _streamed(
    control: Control, asked: Request, request: CutoverRequest, progress: _Progress, until: Milestone
) -> StreamingResponse:
    return server_sent.response(server_sent.alive(_frames(control, asked, request, progress, until)))


async def _frames(
    control: Control, asked: Request, request: CutoverRequest, progress: _Progress, until: Milestone
) -> AsyncIterator[bytes]:
    async for event in progress.told():
        yield server_sent.told(event)
    try:
        outcome = await progress.outcome()
        _be_in_time(control, request, outcome)
        yield server_sent.frame("outcome", outcome)
        reached = await _reach(control, outcome, until)
        yield server_sent.frame("end", CutoverAnswer(outcome, reached))
    except Exception as error:  # noqa: BLE001 - the head of the answer is sent: the stream has to say it
        yield server_sent.frame("problem", problems.describe(asked, error))


async def _reach(control: Control, outcome: Outcome, until: Milestone) -> Milestone | None:
    if not isinstance(outcome, Committed):
        return None
    if until is not Milestone.ACTIVE:
        await control.settled(outcome.serving, until)
    return until


def _keep(work: Coroutine[Any, Any, Outcome]) -> asyncio.Task[Outcome]:
    task = asyncio.create_task(work, name="cutover")
    _under_way.add(task)
    task.add_done_callback(_forget)
    return task


def _forget(task: asyncio.Task[Outcome]) -> None:
    _under_way.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.debug("a cutover ended with %r, told to whoever waits for it", error)
