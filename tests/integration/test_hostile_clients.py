"""Clients that send slowly, read nothing, or too much: they cost bounded memory, and nobody else's time."""

import asyncio
import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection

from changeover.server import Server
from changeover.workers.channel.allocator import MANY
from tests.certificates import Authority
from tests.hostile import hostile, resident, worker_of
from tests.service import Connection, Story, status_when
from tests.waits import until
from tests.websockets_wire import asking

CLIENTS = 1000
PER_CLIENT = 128 * 1024
"""Most resident bytes that a client may cost which reads nothing of an endless response: what the transport holds back
(the application's own piece, and what of it was cut), its task, and room for the allocator."""
WORST = 2.0
"""Seconds that no answer to anybody else may take, on a machine that does other things, too."""
USUAL = 0.1


SECURED = 200
PER_SECURED = 320 * 1024
"""The same over TLS: the application's piece, and one in each of two buffers, one of which grows by a third."""
KEPT = 64 * 1024
"""Most that may be kept of each that has left."""
STREAMS = 100
PER_MANY = 4 * 1024 * 1024
"""Most that a client of HTTP/2 may cost with so many streams, however many: few of them begin."""
IDLE = 36 * 1024
"""Most that a client over TLS may cost that has its answer and asks nothing more: less than elsewhere."""
WIDEST = 2**31 - 1
AUTHORITY = Authority()


def address_of(server: Server) -> tuple[str, int]:
    host, _, port = server.addresses[0].rpartition(":")
    return host, int(port)


@contextmanager
def crowd(
    server: Server, count: int, request: bytes, tls: ssl.SSLContext | None = None
) -> Iterator[list[socket.socket]]:
    """Clients with small buffers that send `request`, and read nothing."""
    clients = []
    try:
        for _ in range(count):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.connect(address_of(server))
            if tls is not None:
                client = tls.wrap_socket(client, server_hostname="shop.example")
            client.sendall(request)
            clients.append(client)
        yield clients
    finally:
        for client in clients:
            client.close()


async def latencies(story: Story, server: Server, count: int = 200) -> list[float]:
    """How long a client waits for each of its answers that does nothing wrong."""
    connection = await story.connect(server)
    waited = []
    for _ in range(count):
        began = time.perf_counter()
        assert (await connection.get("/hello")).body == "hello"
        waited.append(time.perf_counter() - began)
    return waited


def unharmed(waited: list[float]) -> bool:
    return max(waited) < WORST and statistics.median(waited) < USUAL


@pytest.mark.slow
async def test_a_thousand_clients_that_read_nothing_cost_bounded_memory_and_nobody_s_time(story: Story) -> None:
    async with hostile(story) as server:
        pid = await worker_of(server)
        await latencies(story, server)
        before = resident(pid)
        with crowd(server, CLIENTS, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n") as clients:
            assert unharmed(await latencies(story, server))
            await status_when(server, lambda status: status.slots[0].connections >= CLIENTS)
            await settled(pid)
            grown = resident(pid) - before
            assert grown < CLIENTS * PER_CLIENT, f"{grown / CLIENTS:.0f} bytes for each"
            assert unharmed(await latencies(story, server))
            assert len(clients) == CLIENTS
        assert unharmed(await latencies(story, server))


def many_streams(count: int) -> bytes:
    """A client of HTTP/2 that asks so often for a response without end, and opens every window as far as it goes."""
    engine = H2Connection(H2Configuration(client_side=True))
    engine.local_settings.initial_window_size = WIDEST
    engine.initiate_connection()
    engine.increment_flow_control_window(WIDEST - engine.inbound_flow_control_window)
    head = [(":method", "GET"), (":scheme", "https"), (":authority", "shop.example"), (":path", "/fresh")]
    for number in range(count):
        engine.send_headers(1 + 2 * number, head, end_stream=True)
    return engine.data_to_send()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


@asynccontextmanager
async def secured(story: Story) -> AsyncIterator[Server]:
    """The same, over TLS."""
    chain, key = story.folder / "cert.pem", story.folder / "key.pem"
    AUTHORITY.write(chain, key, "shop.example")
    async with hostile(story, flags=(f"--certfile={chain}", f"--keyfile={key}")) as server:
        yield server


async def cost(server: Server, count: int, request: bytes, tls: ssl.SSLContext) -> int:
    """How many bytes a worker has while such clients are there."""
    pid = await worker_of(server)
    with crowd(server, count, request, tls):
        await status_when(server, lambda status: status.slots[0].connections >= count)
        await settled(pid)
        there = resident(pid)
    await status_when(server, lambda status: not status.slots[0].connections)
    return there


@pytest.mark.slow
@pytest.mark.parametrize(
    ("alpn", "request_", "count", "most"),
    [
        ("http/1.1", get("/fresh"), SECURED, PER_SECURED),
        ("http/1.1", asking("/feed"), SECURED, PER_SECURED),
        ("h2", many_streams(1), SECURED, PER_SECURED),
        ("h2", many_streams(STREAMS), 10, PER_MANY),
    ],
    ids=["http", "websocket", "http2", "streams"],
)
async def test_clients_over_tls_that_read_nothing_cost_bounded_memory_and_leave_none_behind(
    story: Story, alpn: str, request_: bytes, count: int, most: int
) -> None:
    async with secured(story) as server:
        tls = AUTHORITY.client(alpn)
        await cost(server, 5, request_, tls)
        pid = await worker_of(server)
        before = resident(pid)
        for _ in range(3):
            there = await cost(server, count, request_, tls)
            assert there - before < count * most, f"{(there - before) / count:.0f} bytes for each"
            if count >= MANY:
                await until(lambda: resident(pid) - before < count * KEPT, "memory that is given back")


@pytest.mark.slow
async def test_a_client_over_tls_that_asks_nothing_costs_little(story: Story) -> None:
    async with secured(story) as server:
        tls = AUTHORITY.client("http/1.1")
        pid = await worker_of(server)
        with crowd(server, 100, get("/hello"), tls):
            await status_when(server, lambda status: status.slots[0].connections >= 100)
            before = resident(pid)
            with crowd(server, 300, get("/hello"), tls):
                await status_when(server, lambda status: status.slots[0].connections >= 400)
                await settled(pid)
                assert resident(pid) - before < 300 * IDLE


async def settled(pid: int) -> None:
    """Wait until a process stops growing."""
    seen = [0, resident(pid)]
    while seen[-1] > seen[-2] + 1024 * 1024:
        await asyncio.sleep(0.3)
        seen.append(resident(pid))


async def ended(client: socket.socket) -> bytes:
    """All that a client is sent."""
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        return await asyncio.wait_for(reader.read(), 15)
    finally:
        writer.close()


@pytest.mark.parametrize(
    ("first", "status"),
    [(b"GET / HTTP/1.1\r\nX", b"408"), (b"POST /asked HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n", b"408")],
    ids=["head", "body"],
)
async def test_slow_senders_are_told_off_in_time_and_nobody_else_waits(
    story: Story, first: bytes, status: bytes
) -> None:
    """They send a byte now and then: for a head that does not count, for a body each byte does, so these stop."""
    async with hostile(story, 'head_timeout = "1s"\nbody_timeout = "1s"') as server:
        with crowd(server, 100, first) as clients:
            began = time.monotonic()
            dripping = asyncio.create_task(drip(clients)) if b"POST" not in first else None
            assert unharmed(await latencies(story, server))
            for client in clients[:5]:
                client.setblocking(False)
                assert (await ended(client.dup())).startswith(b"HTTP/1.1 " + status)
            assert time.monotonic() - began < 10
            if dripping is not None:
                dripping.cancel()


async def drip(clients: list[socket.socket]) -> None:
    while True:
        await asyncio.sleep(0.2)
        for client in clients:
            try:
                client.send(b"a")
            except OSError:
                continue


async def test_who_sends_too_much_is_refused_and_read_no_further(story: Story) -> None:
    async with hostile(story, "body = 100000") as server:
        pid = await worker_of(server)
        before = resident(pid)
        head = b"POST /asked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        endless = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        for raw, piece, status in (
            (b"GET / HTTP/1.1\r\n", b"X: " + b"y" * 1000 + b"\r\n", b"431"),
            (b"GET /", b"a" * 1000, b"414"),
            (head, endless, b"413"),
            (head, b"1;" + b"x" * 1000 + b"\r\nx\r\n", b"400"),
        ):
            assert status in await flooded(server, raw, piece)
        assert resident(pid) - before < 8 * 1024 * 1024
        assert unharmed(await latencies(story, server))


async def flooded(server: Server, first: bytes, piece: bytes) -> bytes:
    """Send for as long as somebody takes it; the first bytes of the answer."""
    reader, writer = await asyncio.open_connection(*address_of(server))
    writer.write(first)

    async def flood() -> None:
        for _ in range(2000):
            writer.write(piece)
            await writer.drain()

    flooding = asyncio.create_task(flood())
    try:
        return await asyncio.wait_for(reader.read(100), 10)
    finally:
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        writer.close()


async def test_who_has_shut_its_write_side_gets_its_answer_and_does_not_stay(story: Story) -> None:
    async with hostile(story) as server:
        with crowd(server, 100, b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n") as clients:
            for client in clients:
                client.shutdown(socket.SHUT_WR)
            for client in clients[:20]:
                client.setblocking(False)
                assert (await ended(client.dup())).endswith(b"hello")
        with crowd(server, 100, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n"):
            assert unharmed(await latencies(story, server))
        await status_when(server, lambda status: status.slots[0].connections <= 3)


async def test_a_connection_that_says_nothing_is_closed(story: Story) -> None:
    async with hostile(story, 'first_byte = "1s"\nkeep_alive = "1s"') as server:
        silent = await Connection.open(server.addresses[0])
        idle = await Connection.open(server.addresses[0])
        assert (await idle.get("/hello")).status == 200
        assert await asyncio.wait_for(silent.at_end(), 5)
        assert await asyncio.wait_for(idle.at_end(), 5)
        silent.close()
        idle.close()


async def test_leases_of_clients_that_left_are_given_back(story: Story) -> None:
    async with hostile(story) as server:
        with crowd(server, 50, b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n"):
            await status_when(server, lambda status: sum(status.slots[0].leases.values()) >= 50)
        await status_when(server, lambda status: not sum(status.slots[0].leases.values()))
