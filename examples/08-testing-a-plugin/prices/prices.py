"""A plugin worth testing: a handler, a service, a task of its own, and a configuration."""

import asyncio

import msgspec

from changeover.plugin import CallContext, Plugin, Request, Response, inbound, service


class Config(msgspec.Struct, forbid_unknown_fields=True):
    discounts: dict[str, int] = msgspec.field(default_factory=lambda: {"gold": 20})


class Prices(Plugin[Config]):
    """Counts its quotes, and forgets them once a minute."""

    quoted = 0

    async def on_activate(self) -> None:
        self.forgetting = asyncio.create_task(self.forget())

    async def on_deactivate(self) -> None:
        self.forgetting.cancel()

    async def forget(self) -> None:
        while True:
            await asyncio.sleep(60)
            self.quoted = 0

    @inbound
    def group(self, request: Request, call: CallContext) -> Response | None:
        group = request.headers.get("x-group", "")
        if group and group not in self.config.discounts:
            return Response.problem(400, "Unknown group", group)
        call.extensions["discount"] = self.config.discounts.get(group, 0)
        return None

    @service
    async def quote(self, request: Request, call: CallContext) -> Response:
        self.quoted += 1
        return Response.json({"total": 100 - call.extensions["discount"], "quoted": self.quoted})
