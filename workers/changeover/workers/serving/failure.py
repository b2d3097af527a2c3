"""What a client hears of an error, and what the log says: the one place that words either."""

import asyncio
import logging
import math
import re
import secrets
from collections.abc import Awaitable, Callable

from changeover.workers.serving.contract import BodyInvalid, BodyTooLarge, CallContext, NotReady, Request, Response
from changeover.workers.serving.exchange import Disconnected
from changeover.workers.serving.lease import Ending

log = logging.getLogger("changeover.request")

IDENTITY = "request_id"
"""Where handlers find the request's id in `CallContext.extensions`."""
FIELD = "x-request-id"
"""The field by which access logs know a request."""
_SANE = re.compile(r"[\w.:/+=@-]{1,128}", re.ASCII)
"""What a client may call its request; a log has nothing else of it."""


def is_ending(error: BaseException) -> bool:
    """Whether `error` says that the running task is to end; otherwise it is user code's own, whatever its kind.

    A `CancelledError` is user code's own when nobody cancelled this task: it awaited one that was cancelled. Libraries
    that cancel tasks themselves (anyio) may take back the count of the server's cancellation, and not its reason.
    """
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        counted = task is not None and task.cancelling() > 0
        return counted or any(isinstance(reason, Ending) and reason.ends(task) for reason in error.args)
    return isinstance(error, GeneratorExit)


def is_answer(error: BaseException) -> bool:
    """Whether raising `error` is a way to answer, and no failure of whoever raised it."""
    return isinstance(error, NotReady | BodyTooLarge | BodyInvalid | Disconnected)


def answer_to(error: BaseException, request: Request, call: CallContext) -> Response:
    """The response to a request that ended in `error`; what is not the client's to know is logged and not told."""
    if isinstance(error, NotReady):
        response = Response.problem(503, "Not ready", str(error))
        response.headers["retry-after"] = str(math.ceil(error.retry_after))
        return response
    if isinstance(error, BodyTooLarge):
        return Response.problem(413, "Content too large", str(error))
    if isinstance(error, BodyInvalid):
        return Response.problem(400, "Bad request body", str(error))
    report(error, request, call)
    return Response.problem(500, "Internal server error")


def ended() -> Response:
    """The response to a request that the server ends."""
    return Response.problem(503, "Ended by the server")


async def shown(
    error: BaseException,
    request: Request,
    call: CallContext,
    outbound: Callable[[Request, Response, CallContext], Awaitable[None]] | None,
) -> Response:
    """The response to an application's error, once outbound handlers saw it; one that raises does not see another."""
    response = answer_to(error, request, call)
    if outbound is not None:
        try:
            await outbound(request, response, call)
        except BaseException as raised:  # the client gets the first error, the log both
            if is_ending(raised):
                raise
            report(raised, request, call)
    return response


def report(error: BaseException, request: Request, call: CallContext) -> None:
    """Log an error with its traceback, the epoch, the route, and the request's id."""
    if isinstance(error, Disconnected):
        return
    request_id = _identify(request, call)
    level = logging.ERROR if call.connected else logging.INFO
    log.log(
        level,
        "%s %s failed on epoch %d, route %s, request %s%s",
        request.method,
        request.raw_path.decode("latin-1"),
        call.epoch,
        call.route,
        request_id,
        "" if call.connected else ", after the client had left",
        exc_info=error,
        extra={"epoch": call.epoch, "route": call.route, "request_id": request_id},
    )


def _identify(request: Request, call: CallContext) -> str:
    """The id that a handler or the client gave the request, else one made now, which all who tell of it have."""
    request_id: str = call.extensions.get(IDENTITY, "")
    if not request_id:
        given = request.headers.get(FIELD, "")
        request_id = given if _SANE.fullmatch(given) else secrets.token_hex(16)
        request.headers[FIELD] = request_id
    call.extensions[IDENTITY] = request_id
    return request_id
