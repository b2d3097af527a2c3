# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "hello"
# version = "1.0.0"
# services = { hello = "hello:hello" }
# ///
"""What is behind the limit."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def hello(request: Request, call: CallContext) -> Response:
    return Response.text(f"hello from epoch {call.epoch}\n")
