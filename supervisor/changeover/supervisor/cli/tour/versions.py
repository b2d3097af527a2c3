"""Three versions of one plugin: the first, a better one, and one that cannot be loaded."""

from pathlib import Path

FILE = "prices.py"

_FIRST = '''\
# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "prices"
# version = "1.0.0"
# services = { quote = { mount = "/" } }
# ///
"""Quotes prices."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def quote(request: Request, call: CallContext) -> Response:
    return Response.json({"version": "1.0.0", "total": 100})
'''

_SECOND = '''\
# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "prices"
# version = "2.0.0"
# services = { quote = { mount = "/" } }
# ///
"""Quotes prices, with a discount."""

from changeover.plugin import CallContext, Request, Response, service

DISCOUNT = 10


@service
async def quote(request: Request, call: CallContext) -> Response:
    return Response.json({"version": "2.0.0", "total": 100 - DISCOUNT})
'''

_BROKEN = '''\
# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "prices"
# version = "3.0.0"
# plugin = "prices:Prices"
# services = { quote = { mount = "/" } }
# ///
"""Quotes prices out of a list; the list has a mistake."""

from changeover.plugin import CallContext, LoadContext, Plugin, Request, Response, service

PRICES = {"reel": "12", "lamp": "1O0", "screen": "250"}


class Prices(Plugin[None]):
    def on_load(self, ctx: LoadContext) -> None:
        self.total = sum(int(price) for price in PRICES.values())


@service
async def quote(request: Request, call: CallContext) -> Response:
    return Response.json({"version": "3.0.0", "total": 362})
'''

VERSIONS = {"1.0.0": _FIRST, "2.0.0": _SECOND, "3.0.0": _BROKEN}
"""Version -> source."""


def install(version: str, plugins: Path) -> None:
    """Put a version where the server looks for plugins, as an editor would: the file appears whole."""
    fresh = plugins / f".{FILE}"
    fresh.write_text(VERSIONS[version], "utf-8")
    fresh.replace(plugins / FILE)
