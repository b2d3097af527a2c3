"""One served address of a channel: real sockets, real TLS, and a witness who remembers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from changeover.workers.channel.connection import Initializer
from changeover.workers.channel.connections import Connections
from changeover.workers.channel.handshake import HandshakeEnd
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.channel.tls import AUTHORITIES, PAIR
from changeover.workers.http.initializer import HttpInitializer
from changeover.workers.http2.initializer import Http2Initializer
from changeover.workers.protocol.assembly import TlsSpec
from changeover.workers.protocol.snapshot import ChannelSpec, UnitKey, UnitKind, UnitRef
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.session import Dispatchers
from tests.wire import FakeDispatcher

ADDRESS = "127.0.0.1:443"
AUTHORITY = trustme.CA()


async def told(exchange: Exchange) -> None:
    """Answer with what is known of the connection."""
    request, outcome = exchange.request, exchange.outcome
    said = (
        f"{request.scheme} {request.client} tls={outcome.tls} alpn={outcome.alpn} sni={outcome.sni} {outcome.subject}"
    )
    exchange.start(200, [(b"content-length", b"%d" % len(said))])
    exchange.write(said.encode())
    exchange.end()


@dataclass
class Ends:
    """A witness who remembers."""

    seen: list[tuple[HandshakeEnd, str]] = field(default_factory=list)

    def ended(self, channel: str, end: HandshakeEnd, detail: str) -> None:
        assert channel == ADDRESS
        self.seen.append((end, detail))


@dataclass
class Site:
    """A served address, and what comes first there now."""

    channel: ServerChannel | None
    port: int
    ends: Ends
    connections: Connections

    async def say(self, first: bytes, tls: ssl.SSLContext | None = None, name: str | None = None) -> bytes:
        """Say something, and read all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        if tls is not None:
            await writer.drain()
            await writer.start_tls(tls, server_hostname=name or "shop.example")
        writer.write(first)
        answer = await asyncio.wait_for(reader.read(65536), 5)
        writer.close()
        return answer


def certificates(store: Path, *names: str, **changes: object) -> TlsSpec:
    """Put certificates for names where an artifact would be."""
    folder = store / "artifact"
    folder.mkdir()
    for place, name in enumerate(names):
        issued = AUTHORITY.issue_cert(name)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        (folder / PAIR.format(place)).write_bytes(chain + issued.private_key_pem.bytes())
    AUTHORITY.cert_pem.write_to_path(folder / AUTHORITIES)
    return TlsSpec("artifact", len(names), **changes)  # type: ignore[arg-type]


def spec(tls: TlsSpec | None = None, **changes: object) -> ChannelSpec:
    key = UnitKey(UnitRef(UnitKind.CHANNEL, ADDRESS), "d", 1)
    return ChannelSpec(key, tls, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def served(
    channel: ServerChannel | None, dispatcher: Dispatchers | None = None, initializer: Initializer | None = None
) -> AsyncIterator[Site]:
    """Serve an address with what a channel says comes first."""
    ends, dispatcher = Ends(), dispatcher or FakeDispatcher(told)
    initializer = initializer or HttpInitializer(dispatcher, Limits(), http2=Http2Initializer(dispatcher, Limits()))
    listener = socket.create_server(("127.0.0.1", 0))
    connections = Connections(initializer, Limits(), channel_at=lambda address: site.channel, witness=ends)
    site = Site(channel, listener.getsockname()[1], ends, connections)
    listener.setblocking(False)
    loop = asyncio.get_running_loop()

    def accept() -> None:
        connections.accept(listener.accept()[0], ADDRESS)

    loop.add_reader(listener, accept)
    try:
        yield site
    finally:
        loop.remove_reader(listener)
        listener.close()
        await connections.stop(1.0)


def client_context(alpn: str = "") -> ssl.SSLContext:
    """What a client trusts."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if alpn:
        context.set_alpn_protocols([alpn])
    return context
