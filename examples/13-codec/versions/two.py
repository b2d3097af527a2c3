# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "codec"
# version = "2.0.0"
# plugin = "codec:Codec"
# state = ">=1"
# [tool.changeover.handlers]
# decode = { direction = "inbound", phase = "codec" }
# encode = { direction = "outbound", phase = "codec" }
# ///
"""Short codes for long topics, and how often each was asked for. Its state: a Struct; it takes the lines of 1.x."""

import hashlib

import msgspec

from changeover.plugin import CallContext, Plugin, PluginVersion, Request, Response, inbound, outbound


class Topic(msgspec.Struct):
    name: str
    asked: int = 0


class Table(msgspec.Struct):
    topics: dict[str, Topic] = {}


def understood(old: PluginVersion, state: bytes) -> Table:
    """A table, in the form of whichever version it is; nothing is an empty one."""
    if not state:
        return Table()
    if old.version.startswith("1."):
        lines = (line.split(" ", 1) for line in state.decode().splitlines())
        return Table({code: Topic(topic) for code, topic in lines})
    return msgspec.msgpack.decode(state, type=Table)


class Codec(Plugin[None]):
    def __init__(self, config: None) -> None:
        super().__init__(config)
        self.table = Table()

    @inbound
    def decode(self, request: Request, call: CallContext) -> Response | None:
        code = request.headers.get("x-topic", "")
        if not code.startswith("~"):
            return None
        if code not in self.table.topics:
            return Response.problem(400, "Unknown code", f"{code} was not given here; say the whole topic")
        request.headers["x-topic"] = self.table.topics[code].name
        return None

    @outbound
    def encode(self, request: Request, response: Response, call: CallContext) -> None:
        if name := response.headers.get("x-topic"):
            code = "~" + hashlib.sha256(name.encode()).hexdigest()[:6]
            topic = self.table.topics.setdefault(code, Topic(name))
            topic.asked += 1
            response.headers["x-topic"] = code
            response.headers["x-asked"] = str(topic.asked)

    def export_state(self) -> Table:
        return self.table

    def import_state(self, old: PluginVersion, state: bytes) -> None:
        self.table = understood(old, state)

    def merge_state(self, old: PluginVersion, imported: bytes, latest: bytes) -> None:
        before = understood(old, imported).topics
        for code, topic in understood(old, latest).topics.items():
            known = self.table.topics.setdefault(code, Topic(topic.name))
            known.asked += topic.asked - (before[code].asked if code in before else 0)
