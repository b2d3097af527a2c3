# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "greet"
# version = "1.0.0"
# handlers = { tag = "inbound" }
# services = { greet = { mount = "/greet" } }
# ///
"""A service beside the application, and a handler in front of it."""

from changeover.plugin import CallContext, Request, Response, inbound, service

GREETING = "hello"


@inbound
def tag(request: Request, call: CallContext) -> None:
    call.extensions["greeting"] = GREETING


@service
async def greet(request: Request, call: CallContext) -> Response:
    return Response.text(f"{GREETING} from epoch {call.epoch}\n")
