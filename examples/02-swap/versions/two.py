# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "prices"
# version = "2.0.0"
# services = { quote = { mount = "/quote" } }
# ///
"""Quotes prices, with a discount."""

from changeover.plugin import CallContext, Request, Response, service

DISCOUNT = 10


@service
async def quote(request: Request, call: CallContext) -> Response:
    return Response.json({"total": 100 - DISCOUNT, "version": "2.0.0", "epoch": call.epoch})
