"""Raw protocols behind a real listening socket, in generations that are made by hand."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from changeover.workers.channel.connections import Connections
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.channel.tls import PAIR
from changeover.workers.http.initializer import HttpInitializer
from changeover.workers.message.assembly import FunctionInitializer, Served
from changeover.workers.message.chain import Chain
from changeover.workers.message.codec import Codec, Goodbye
from changeover.workers.message.framing import LineCodec
from changeover.workers.message.initializer import MessageInitializers
from changeover.workers.message.pipeline import MessagePipeline, configured
from changeover.workers.message.site import MessageSite, MessageTarget
from changeover.workers.protocol.assembly import Rule, TlsSpec
from changeover.workers.protocol.snapshot import ChannelSpec, UnitKey, UnitKind, UnitRef
from changeover.workers.serving.lease import Lease, UnitSet
from tests.certificates import Authority
from tests.waits import until
from tests.wire import Client, FakeDispatcher, echo

NAME = "feed:lines"
AUTHORITY = Authority()
ADDRESS = "127.0.0.1:8011"
GOODBYES = {each: each.name for each in Goodbye}

Configure = Callable[[Chain, Served], None]


def pipeline_of(configure: Configure) -> MessagePipeline:
    """What an initializer makes."""
    return configured(NAME, FunctionInitializer(configure), Served(ADDRESS))


def lines(
    service: Any, codec: Codec[Any] | None = None, *, idle: float = 0, message: float = 0, **handlers: Any
) -> MessagePipeline:
    """A chain of a line protocol; `inbound_...` and `outbound_...` are handlers."""

    def configure(chain: Chain, channel: Served) -> None:
        for name, handler in handlers.items():
            direction, _, own = name.partition("_")
            getattr(chain, direction)(own, handler)
        chain.codec(codec or LineCodec(64, goodbyes=GOODBYES))
        chain.service(service)
        chain.limits(idle=idle, message=message)

    return pipeline_of(configure)


def certified(store: Path) -> TlsSpec:
    """A certificate in an artifact store."""
    (store / "certificates").mkdir()
    AUTHORITY.write(store / "certificates" / PAIR.format(0), store / "key", "feed.example")
    with (store / "certificates" / PAIR.format(0)).open("ab") as pair:
        pair.write((store / "key").read_bytes())
    return TlsSpec("certificates")


@dataclass
class Generation:
    """What serves.

    Attributes:
        epoch: Its number.
        messages: What answers.
        units: The unit set of its pipeline.
    """

    epoch: int
    messages: Mapping[tuple[str, str], MessageTarget]
    units: UnitSet


def generation(epoch: int, pipeline: MessagePipeline | None) -> Generation:
    """A generation with one pipeline, or none."""
    units = UnitSet([UnitKey(UnitRef(UnitKind.PLUGIN, "feed"), "d", epoch)])
    messages = {} if pipeline is None else {(ADDRESS, NAME): MessageTarget(pipeline, units)}
    return Generation(epoch, messages, units)


@dataclass
class Switch:
    """Admits to whatever it is told.

    Attributes:
        serving: The generation; None while nothing may be dispatched.
        admitted: The epochs of all that was admitted.
    """

    serving: Generation | None
    admitted: list[int] = field(default_factory=list)

    def admit(self) -> Generation | None:
        if self.serving is not None:
            self.admitted.append(self.serving.epoch)
        return self.serving


class MessageServer:
    """One worker's part of it.

    Attributes:
        service: What answers at first.
        switch: What serves.
        site: What its connections share.
        connections: All of them.
    """

    def __init__(self, pipeline: MessagePipeline, limits: Limits, certificates: Path | None = None) -> None:
        self.service = pipeline.service
        self.switch = Switch(generation(1, pipeline))
        self.site = MessageSite(self.switch, limits, worker=3)
        key = UnitKey(UnitRef(UnitKind.CHANNEL, ADDRESS), "d", 1)
        tls = None if certificates is None else certified(certificates)
        channel = ServerChannel(ChannelSpec(key, tls, rules=(Rule(NAME),)), certificates or Path())
        self.connections = Connections(
            HttpInitializer(FakeDispatcher(echo), limits),
            limits,
            channel_at=lambda address: channel,
            others=MessageInitializers(self.site),
        )
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self._clients: list[Client] = []
        self._accepting = asyncio.ensure_future(self._accept())

    async def _accept(self) -> None:
        while True:
            accepted, _ = await asyncio.get_running_loop().sock_accept(self.listener)
            self.connections.accept(accepted, ADDRESS)

    @property
    def pipeline(self) -> MessagePipeline:
        """The one that serves."""
        assert self.switch.serving is not None
        return self.switch.serving.messages[ADDRESS, NAME].pipeline

    @property
    def leases(self) -> list[Lease]:
        """What is held on the generation that serves."""
        assert self.switch.serving is not None
        return self.switch.serving.units.live_leases()

    async def client(self, receive_buffer: int | None = None, *, tls: bool = False) -> Client:
        """Connect, and wait until the server has the connection."""
        before = sum(1 for _ in self.connections)
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, self.listener.getsockname())
        context, name = (AUTHORITY.client(), "feed.example") if tls else (None, None)
        client = Client(*await asyncio.open_connection(sock=sock, ssl=context, server_hostname=name))
        self._clients.append(client)
        await until(lambda: sum(1 for _ in self.connections) > before)
        return client

    def swap(self, epoch: int, pipeline: MessagePipeline | None) -> UnitSet:
        """Let another generation serve, as a worker does; the units of the one before it."""
        assert self.switch.serving is not None
        before, self.switch.serving = self.switch.serving, generation(epoch, pipeline)
        self.site.hold(self.switch.serving)
        return before.units

    async def close(self) -> None:
        self._accepting.cancel()
        self.listener.close()
        for client in self._clients:
            await client.close()
        for connection in self.connections:
            connection.abort()
        await until(lambda: not len(self.connections))


@asynccontextmanager
async def speaking(
    service: Any,
    codec: Codec[Any] | None = None,
    limits: Limits | None = None,
    certificates: Path | None = None,
    **more: Any,
) -> AsyncIterator[MessageServer]:
    """Serve a line protocol, or another one, on a loopback port."""
    server = MessageServer(lines(service, codec, **more), limits or Limits(), certificates)
    try:
        yield server
    finally:
        await server.close()
