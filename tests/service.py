"""A real service for stories: plugins written as text, requests by hand, folders kept when a story fails."""

import asyncio
import os
import shutil
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from changeover.server import Server, StatusView
from changeover.supervisor.control import SlotState
from tests.waits import until

UNREHEARSED = {"CHANGEOVER_PREFLIGHT_ENABLED": "false"}
"""Environment of a server whose workers are the first to run new code: where their refusals are the story."""

PLUGIN = '''# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "{id}"
# version = "{version}"
# services = {{ {id} = {{ mount = "{mount}" }} }}
# ///
"""Version {version}."""
import asyncio
from pathlib import Path

from changeover.plugin import CallContext, Headers, Request, Response, service

GATE = Path("{gate}")
{top}

async def opened():
    while not GATE.exists():
        await asyncio.sleep(0.005)


@service
async def {id}(request: Request, call: CallContext) -> Response:
    if request.path.endswith("/slow"):
        await opened()
    if request.path.endswith("/stream"):
        async def pieces():
            yield f"{version} {{call.epoch}}\\n".encode()
            await opened()
            yield f"{version} {{call.epoch}}\\n".encode()
        return Response(pieces())
    if request.path.endswith(("/events", "/half-an-event")):
        async def events():
            yield f"data: {version} {{call.epoch}}\\n\\n".encode()
            if request.path.endswith("/half-an-event"):
                yield b"data: more\\n"
            await opened()
        return Response(events(), headers=Headers([(b"content-type", b"text/event-stream")]))
    if request.path.endswith("/task"):
        asyncio.create_task(finish())
    return Response.text(f"{version} {{call.epoch}} {{call.worker}}\\n")


async def finish():
    await opened()
    GATE.with_name("finished").touch()
'''


class Answer(msgspec.Struct, frozen=True):
    """One whole response."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def words(self) -> list[str]:
        """What the story's plugins answer: version, epoch, slot."""
        return self.body.split()


class Connection:
    """One client connection that notices every way in which it can end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str) -> "Connection":
        if address.startswith("unix:"):
            return cls(*await asyncio.open_unix_connection(address.removeprefix("unix:")))
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host.strip("[]"), int(port)))

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def ask(self, path: str) -> None:
        await self.send(f"GET {path} HTTP/1.1\r\nhost: story\r\n\r\n".encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        raw = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw.strip().split("\r\n")
        return int(first.split()[1]), dict(line.split(": ", 1) for line in lines)

    async def chunk(self) -> bytes:
        """The next piece of a chunked body; empty at its end."""
        size = int(await self._reader.readline(), 16)
        piece = await self._reader.readexactly(size + 2)
        return piece[:-2]

    async def answer(self) -> Answer:
        status, headers = await self.head()
        if "content-length" in headers:
            body = await self._reader.readexactly(int(headers["content-length"]))
        else:
            body = b""
            while piece := await self.chunk():
                body += piece
        return Answer(status, headers, body.decode())

    async def get(self, path: str) -> Answer:
        await self.ask(path)
        return await self.answer()

    async def line(self) -> bytes:
        """Up to the end of a line, or of all."""
        return await self._reader.readline()

    async def read(self, size: int) -> bytes:
        """Some bytes of a body, `size` at most."""
        return await self._reader.read(size)

    async def at_end(self) -> bool:
        """Wait for the server to close; whether it did so without another byte."""
        return await self._reader.read(1) == b""

    def close(self) -> None:
        self._writer.close()

    def reset(self) -> None:
        """Go away rudely."""
        own: socket.socket = self._writer.get_extra_info("socket")
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class Story:
    """A folder of plugins, and a server that serves it.

    Attributes:
        gate: Requests to `/slow` and `/stream`, and the task of `/task`, wait until this file exists.
        finished: Made by the task of `/task` when it ends by itself.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = folder / "plugins"
        self.gate = folder / "gate"
        self.finished = folder / "finished"
        self.plugins.mkdir()
        self._connections: list[Connection] = []

    def write(
        self, version: str, *, id: str = "shop", mount: str = "/shop", top: str = "", gate: Path | None = None
    ) -> None:
        """Write a version of a plugin; `top` is further code at the top of its module."""
        text = PLUGIN.format(id=id, version=version, mount=mount, top=top, gate=self.gate)
        (self.plugins / f"{id}.py").write_text(text)

    def forget(self) -> None:
        """Let the next server find nothing that another one committed."""
        shutil.rmtree(self.folder / "state")

    def open_gate(self) -> None:
        self.gate.touch()

    def unstarted(
        self,
        workers: int = 2,
        *arguments: str,
        app: str | None = None,
        bind: str = "127.0.0.1:0",
        env: dict[str, str] | None = None,
    ) -> Server:
        """A server of the folder that is not started yet."""
        return Server(
            app,
            bind=[bind],
            workers=workers,
            plugins=self.plugins,
            name="story",
            app_dir=self.folder if app else None,
            runtime_dir=self.folder / "runtime",
            state_dir=self.folder / "state",
            env=env,
            arguments=["--log-level=debug", "--log-format=text", *arguments],
        )

    @asynccontextmanager
    async def server(
        self,
        workers: int = 2,
        *arguments: str,
        app: str | None = None,
        bind: str = "127.0.0.1:0",
        env: dict[str, str] | None = None,
        rehearsed: bool = True,
    ) -> AsyncIterator[Server]:
        """Serve the folder; what it keeps stays in the story's folder.

        Without being `rehearsed` a candidate is first run by workers, whose own refusals are then the story.
        """
        env = (env or {}) | ({} if rehearsed else UNREHEARSED)
        async with self.unstarted(workers, *arguments, app=app, bind=bind, env=env) as server:
            try:
                yield server
            finally:
                for connection in self._connections:
                    connection.close()

    async def connect(self, server: Server) -> Connection:
        connection = await Connection.open(server.addresses[0])
        self._connections.append(connection)
        return connection

    async def get(self, server: Server, path: str) -> Answer:
        """One request on a connection of its own."""
        connection = await self.connect(server)
        return await connection.get(path)


async def status_when(server: Server, wanted: Callable[[StatusView], object], deadline: float = 15.0) -> StatusView:
    """The first status for which `wanted(status)` holds."""
    end = time.monotonic() + deadline
    while not wanted(status := await server.status()):
        assert time.monotonic() < end, f"never came: {status}"
        await asyncio.sleep(0.02)
    return status


async def logged(server: Server, text: str, deadline: float = 15.0) -> None:
    """Wait until the server's log holds `text`: lines are written by a thread of their own."""
    await until(lambda: text in server.logs, f"{text!r} in its log", deadline)


def all_given_up(status: StatusView) -> bool:
    """Whether all slots are parked but one, which waits for its next try."""
    *others, last = sorted(status.slots, key=lambda slot: "not parked" in slot.note)
    parked = all(slot.state is SlotState.PARKED for slot in others)
    return parked and last.state is SlotState.BACKOFF and "not parked" in last.note


async def gone(pid: int) -> None:
    """Wait until no process has this pid any more."""
    await until(lambda: not Path(f"/proc/{pid}").exists(), f"process {pid} to be gone")


def kill(pid: int, signum: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, signum)
