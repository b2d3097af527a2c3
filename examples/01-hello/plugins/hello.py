# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "hello"
# version = "1.0.0"
# services = { hello = { mount = "/hello" } }
# ///
"""Says which epoch, and which worker, answered."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def hello(request: Request, call: CallContext) -> Response:
    return Response.text(f"hello from epoch {call.epoch}, worker {call.worker}\n")
