"""What is reduced this week: the instance of the plugin is what the application calls."""

import msgspec

from changeover.plugin import ConfigUnusable, LoadContext, Plugin


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The plugin's configuration."""

    currency: str


class Pricing(Plugin[Config]):
    """Loads the percentages before the commit: a file that is wrong refuses the reload."""

    def on_load(self, ctx: LoadContext) -> None:
        if self.config.currency != "EUR":
            raise ConfigUnusable(f"sales are in EUR, not in {self.config.currency}")
        self.version = ctx.plugin.version
        self.percent: dict[str, int] = msgspec.convert(ctx.resource("sales").toml(), dict[str, int])

    def price(self, item: str, before: int) -> int:
        return before * (100 - self.percent.get(item, 0)) // 100
