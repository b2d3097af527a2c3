"""One handler of each direction."""

import time

from changeover.plugin import CallContext, CallNext, Request, Response, around, inbound, outbound

KEYS = {"k-anna": "anna", "k-ben": "ben"}


@inbound
def identify(request: Request, call: CallContext) -> Response | None:
    name = KEYS.get(request.headers.get("x-key", ""))
    if name is None:
        return Response.problem(401, "Unknown key", "send one as x-key")
    call.extensions["name"] = name
    return None


@around
async def timed(request: Request, call_next: CallNext, call: CallContext) -> Response:
    began = time.perf_counter()
    response = await call_next(request)
    response.headers["server-timing"] = f"app;dur={(time.perf_counter() - began) * 1000:.2f}"
    return response


@outbound
def stamp(request: Request, response: Response, call: CallContext) -> None:
    response.headers["x-served-by"] = f"epoch {call.epoch}, worker {call.worker}"
