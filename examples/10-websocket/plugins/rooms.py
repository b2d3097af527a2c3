# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "rooms"
# version = "1.0.0"
# services = { echo = { mount = "/echo" }, tally = { mount = "/tally", entry = "rooms:Tally" } }
# ///
"""An echo that stays on its version, and a tally that goes over to the next."""

import msgspec

from changeover.plugin import CallContext, MessageHandler, WebSocket, websocket

VERSION = 1


@websocket
async def echo(socket: WebSocket, call: CallContext) -> None:
    await socket.accept()
    async for message in socket:
        await socket.send(f"{VERSION}: {message!s}")


class Tally(MessageHandler):
    """Counts the messages of one WebSocket."""

    def __init__(self) -> None:
        self.count = 0

    async def on_message(self, message: str | bytes) -> None:
        self.count += 1
        await self.socket.send(f"{VERSION}: {self.count} message{'s' * (self.count > 1)}")

    def export_state(self) -> int:
        return self.count

    def import_state(self, state: bytes) -> None:
        self.count = msgspec.msgpack.decode(state, type=int)
