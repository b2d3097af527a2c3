# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "codec"
# version = "1.0.0"
# plugin = "codec:Codec"
# state = ">=1,<2"
# [tool.changeover.handlers]
# decode = { direction = "inbound", phase = "codec" }
# encode = { direction = "outbound", phase = "codec" }
# ///
"""Short codes for long topics. Its state: a line for each, code and topic."""

import hashlib

from changeover.plugin import CallContext, Plugin, PluginVersion, Request, Response, inbound, outbound


class Codec(Plugin[None]):
    def __init__(self, config: None) -> None:
        super().__init__(config)
        self.topics: dict[str, str] = {}

    @inbound
    def decode(self, request: Request, call: CallContext) -> Response | None:
        code = request.headers.get("x-topic", "")
        if not code.startswith("~"):
            return None
        if code not in self.topics:
            return Response.problem(400, "Unknown code", f"{code} was not given here; say the whole topic")
        request.headers["x-topic"] = self.topics[code]
        return None

    @outbound
    def encode(self, request: Request, response: Response, call: CallContext) -> None:
        if topic := response.headers.get("x-topic"):
            code = "~" + hashlib.sha256(topic.encode()).hexdigest()[:6]
            self.topics[code] = topic
            response.headers["x-topic"] = code

    def export_state(self) -> bytes:
        return "".join(f"{code} {topic}\n" for code, topic in self.topics.items()).encode()

    def import_state(self, old: PluginVersion, state: bytes) -> None:
        self.topics |= dict(line.split(" ", 1) for line in state.decode().splitlines())

    def merge_state(self, old: PluginVersion, imported: bytes, latest: bytes) -> None:
        self.import_state(old, latest)
