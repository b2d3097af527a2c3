# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "store"
# version = "1.0.0"
# initializers = ["lines"]
# ///
"""A key-value store for one client, over lines of text: `set KEY VALUE`, `get KEY`, `keys`, `version`, `quit`."""

from collections.abc import AsyncIterator

import msgspec

from changeover.plugin import (
    Chain,
    Channel,
    Goodbye,
    HandlerPhase,
    LineCodec,
    MessageCall,
    MessageService,
    Served,
    initializer,
)

VERSION = "1.0.0"


@initializer
def lines(chain: Chain, channel: Served) -> None:
    """Lines of text, one answer for each."""
    chain.inbound("shout", refuse_shouting, phase=HandlerPhase.SECURITY)
    chain.codec(LineCodec(1024, goodbyes={Goodbye.MALFORMED: "error: no line", Goodbye.LEAVING: "bye"}))
    chain.service(Store())
    chain.limits(idle=600)


def refuse_shouting(line: str, call: MessageCall) -> str | None:
    """Answer in the service's place."""
    return "error: do not shout" if line.isupper() else None


class Store(MessageService):
    """Values are kept for as long as the client is connected, whichever version serves it."""

    def opened(self, channel: Channel) -> None:
        """Greet."""
        channel.write("store, at your service")

    def __call__(self, line: str, call: MessageCall) -> str | AsyncIterator[str] | None:
        """Do what a line says."""
        values: dict[str, str] = call.channel.state or {}
        call.channel.state = values
        match line.split(" ", 2):
            case ["set", key, value]:
                values[key] = value
                return "ok"
            case ["get", key]:
                return values.get(key, "error: nothing")
            case ["keys"]:
                return listed(sorted(values))
            case ["version"]:
                return f"{VERSION}, epoch {call.epoch}"
            case ["quit"]:
                call.channel.close()
                return "bye"
        return "error: set KEY VALUE, get KEY, keys, version or quit"

    def export_state(self, channel: Channel) -> bytes | None:
        """Values, for the version or the process that goes on."""
        return msgspec.json.encode(channel.state) if channel.state else None

    def import_state(self, channel: Channel, state: bytes) -> None:
        """Go on with them."""
        channel.state = msgspec.json.decode(state, type=dict[str, str])


async def listed(keys: list[str]) -> AsyncIterator[str]:
    """Several messages for one."""
    for key in keys:
        yield key
    yield "."
