"""Files and configuration are content: a change of either is a new version of the plugin."""

import msgspec

from changeover.plugin import CallContext, LoadContext, Plugin, PluginVersion, Request, Response, service


class Config(msgspec.Struct, forbid_unknown_fields=True):
    currency: str = "EUR"


class Prices(Plugin[Config]):
    """One instance per worker and content."""

    async def on_load(self, ctx: LoadContext) -> None:
        self.goods: dict[str, int] = ctx.resource("rules").toml()
        self.before = ""

    async def on_reload(self, ctx: LoadContext, old: PluginVersion) -> None:
        await self.on_load(ctx)
        self.before = old.digest[:6]

    @service
    async def quote(self, request: Request, call: CallContext) -> Response:
        return Response.json({"goods": self.goods, "currency": self.config.currency, "after": self.before})
