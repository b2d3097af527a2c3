# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "orders"
# version = "1.0.0"
# services = { list = { entry = "orders:listed" }, health = { mount = "/health" } }
# ///
"""Answers behind another plugin's handlers."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def listed(request: Request, call: CallContext) -> Response:
    return Response.json({"orders": [1, 2, 3], "of": call.extensions["name"]})


@service
def health(request: Request, call: CallContext) -> Response:
    return Response.text("ok\n")
