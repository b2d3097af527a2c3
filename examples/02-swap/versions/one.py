# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "prices"
# version = "1.0.0"
# services = { quote = { mount = "/quote" } }
# ///
"""Quotes prices."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def quote(request: Request, call: CallContext) -> Response:
    return Response.json({"total": 100, "version": "1.0.0", "epoch": call.epoch})
