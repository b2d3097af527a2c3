# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "prices"
# version = "3.0.0"
# services = { quote = { mount = "/quote" } }
# ///
"""Quotes prices; somebody typed a letter for a digit."""

from changeover.plugin import CallContext, Request, Response, service

DISCOUNT = int("1O")


@service
async def quote(request: Request, call: CallContext) -> Response:
    return Response.json({"total": 100 - DISCOUNT, "version": "3.0.0", "epoch": call.epoch})
