"""Counts the requests of each client, from its first one on for a minute."""

import time
from collections.abc import Mapping

import msgspec

from changeover.plugin import CallContext, LoadContext, Plugin, PluginVersion, Request, Resource, Response, inbound


class Window(msgspec.Struct):
    """A client's minute.

    Attributes:
        since: When it began, in seconds since 1970.
        count: How many requests were let through in it.
    """

    since: float
    count: int = 0


class Windows(msgspec.Struct):
    """Client -> its minute."""

    clients: dict[str, Window] = {}


class Limiter(Plugin[None]):
    def __init__(self, config: None) -> None:
        super().__init__(config)
        self.windows: dict[str, Window] = {}
        self.most = 0

    def on_load(self, ctx: LoadContext) -> None:
        self.take(ctx.resource("limits"))

    def on_resources(self, changed: Mapping[str, Resource]) -> None:
        self.take(changed["limits"])

    def take(self, limits: Resource) -> None:
        self.most = int(limits.toml()["per_minute"])

    @inbound
    def limit(self, request: Request, call: CallContext) -> Response | None:
        client, now = request.headers.get("x-client", ""), time.time()
        window = self.windows.get(client)
        if window is None or now - window.since >= 60:
            window = self.windows[client] = Window(now)
        if window.count >= self.most:
            return Response.problem(429, "Too many requests", f"{self.most} a minute are let through")
        window.count += 1
        return None

    def export_state(self) -> Windows:
        return Windows(self.windows)

    def import_state(self, old: PluginVersion, state: bytes) -> None:
        self.windows = msgspec.msgpack.decode(state, type=Windows).clients

    def merge_state(self, old: PluginVersion, imported: bytes, latest: bytes) -> None:
        before = msgspec.msgpack.decode(imported, type=Windows).clients if imported else {}
        for client, window in msgspec.msgpack.decode(latest, type=Windows).clients.items():
            earlier = before.get(client)
            counted = earlier.count if earlier is not None and earlier.since == window.since else 0
            self.windows.setdefault(client, Window(window.since)).count += window.count - counted
