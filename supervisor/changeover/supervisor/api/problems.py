"""Every error of the API as `application/problem+json` (RFC 9457), in one table."""

import http
import logging

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from changeover.supervisor import unanswerable
from changeover.supervisor.errors import SupervisorError

MEDIA_TYPE = "application/problem+json"

logger = logging.getLogger(__name__)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong with a request.

    Attributes:
        type: Name of the problem, stable (`unknown-epoch`).
        title: The status in words.
        status: The HTTP status.
        detail: What, where, and what to do.
        epoch: The committed epoch, where the request named another one.
    """

    type: str
    title: str
    status: int
    detail: str
    epoch: int | None = None


class MalformedBody(SupervisorError):
    """The body is not JSON of the type that the resource takes."""


class BodyTooLong(SupervisorError):
    """The body is longer than anything the API takes."""


class MalformedQuery(SupervisorError):
    """A parameter or header field is not what it must be."""


class EpochPassed(SupervisorError):
    """The request holds only for another epoch than the committed one.

    Attributes:
        expected: What the request names.
        epoch: The committed epoch.
    """

    def __init__(self, expected: int, epoch: int) -> None:
        self.expected = expected
        self.epoch = epoch
        super().__init__(
            f"the request holds for epoch {expected}, but epoch {epoch} is committed: look at it, then ask again"
        )


class PreconditionMissing(SupervisorError):
    """The request needs `If-Match`, so that nobody edits what somebody else just changed."""


class PipelineChanged(SupervisorError):
    """The request holds only for another content of the pipeline than the one that serves.

    Attributes:
        pipeline: Its name.
    """

    def __init__(self, pipeline: str) -> None:
        self.pipeline = pipeline
        super().__init__(f"pipeline {pipeline} is not what the request holds for any more: look at it, then ask again")


STATUS: dict[type[Exception], tuple[int, str]] = {
    MalformedBody: (422, "malformed-body"),
    MalformedQuery: (422, "malformed-query"),
    BodyTooLong: (413, "body-too-long"),
    EpochPassed: (412, "epoch-passed"),
    PipelineChanged: (412, "pipeline-changed"),
    PreconditionMissing: (428, "precondition-missing"),
    unanswerable.UnknownSlot: (404, "unknown-slot"),
    unanswerable.UnknownPipeline: (404, "unknown-pipeline"),
    unanswerable.HandlersInCode: (409, "handlers-in-code"),
    unanswerable.UnknownPlugin: (404, "unknown-plugin"),
    unanswerable.UnknownEpoch: (404, "unknown-epoch"),
    unanswerable.NothingToRollBack: (409, "nothing-to-roll-back"),
    unanswerable.SlotEmpty: (409, "slot-empty"),
    unanswerable.WorkerSilent: (504, "worker-silent"),
    unanswerable.NoRoom: (409, "no-room"),
    unanswerable.InParts: (409, "in-parts"),
    unanswerable.Stopping: (503, "stopping"),
    unanswerable.UpgradeRefused: (409, "upgrade-refused"),
    unanswerable.InterpreterNotYours: (403, "interpreter-not-yours"),
}
"""Error -> status and name of the problem. Subclasses not listed are the server's own fault."""


async def answer(request: Request, error: Exception) -> Response:
    """Answer with what went wrong."""
    headers = error.headers if isinstance(error, HTTPException) else None
    problem = describe(request, error)
    return Response(msgspec.json.encode(problem), problem.status, headers, media_type=MEDIA_TYPE)


def describe(request: Request, error: Exception) -> Problem:
    """Say what went wrong; what is not in the table is logged with its traceback and is the server's own fault."""
    if isinstance(error, HTTPException):
        return Problem("http", _title(error.status_code), error.status_code, error.detail)
    if (known := STATUS.get(type(error))) is not None:
        status, name = known
        epoch = error.epoch if isinstance(error, EpochPassed) else None
        return Problem(name, _title(status), status, str(error), epoch)
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Problem("internal", _title(500), 500, f"{error!r}; the supervisor's log has the traceback")


def _title(status: int) -> str:
    return http.HTTPStatus(status).phrase
