"""Connections come to rest, are parted from, and go on where they are adopted."""

import asyncio
import os
import resource
import select
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from changeover.workers.channel import leftovers
from changeover.workers.channel.addresses import worded
from changeover.workers.channel.connection import Connection
from changeover.workers.channel.phases import Phase
from changeover.workers.http.exchange import WireExchange
from changeover.workers.serving.exchange import Exchange
from tests.waits import until
from tests.wire import (
    ORDINARY,
    Client,
    FakeDispatcher,
    WireServer,
    connections_of,
    echo,
    field_of,
    get,
    post,
    serving,
)


def leave(server: WireServer) -> list[Connection]:
    """Let all leave; those that have come to rest, as they do."""
    rested: list[Connection] = []
    server.connections.leave(rested.append)
    return rested


async def test_a_connection_at_rest_reads_nothing_is_told_once_and_is_never_late() -> None:
    async with serving() as server:
        client = await server.client()
        rested = leave(server)
        (connection,) = rested
        client.send(get("/unseen"))
        connection.resume()
        server.connections.sweep(1e9)
        server.connections.sweep(2e9)
        await asyncio.sleep(0)
        assert (rested, connection.unread(), server.dispatcher.seen) == ([connection], b"", [])
        assert connection.at_boundary


async def test_a_connection_that_is_to_leave_rests_behind_an_answer_in_one_step() -> None:
    rested: list[Connection] = []

    async def hello(exchange: Exchange) -> None:
        server.connections.leave(rested.append)
        assert not rested
        exchange.answer(200, [], b"hello")

    async with serving(hello) as server:
        client = await server.client()
        assert await client.ask() == (200, b"hello")
        await until(lambda: rested)


async def test_a_connection_goes_on_where_it_is_adopted() -> None:
    async with serving() as server:
        client = await server.client()
        assert (await client.ask("/one"))[0] == 200
        client.send(get("/two")[:5])
        (connection,) = server.connections
        await until(connection.unread)
        (rested,) = leave(server)
        parted = server.connections.part(rested)
        assert parted is not None
        sock, luggage = parted
        assert (luggage.unread, luggage.requests, luggage.phase) == (b"GET /", 1, "HEAD")
        assert not os.get_inheritable(sock.fileno())
        await until(lambda: not len(server.connections))
        there = connections_of(server.dispatcher)
        there.adopt(sock, luggage)
        assert len(there) == 1
        client.send(get("/two")[5:])
        assert await client.response() == (200, b"GET /two ")
        for each in there:
            each.abort()
        await until(lambda: not len(there))


async def test_as_much_as_may_be_unread_goes_along_and_the_rest_is_read_there() -> None:
    async with serving() as server:
        server.dispatcher.holding = True
        client = await server.client()
        asked = 2 * ORDINARY.unread // len(get("/one"))
        client.send(get("/one") * asked)
        (connection,) = server.connections
        await until(lambda: len(connection.unread()) >= ORDINARY.unread)
        (rested,) = leave(server)
        parted = server.connections.part(rested)
        assert parted is not None
        there = connections_of(server.dispatcher)
        there.adopt(*parted)
        await until(lambda: there.phases()[Phase.HELD])
        for _ in range(10):
            await asyncio.sleep(0)
        (held,) = there
        assert ORDINARY.unread <= len(held.unread()) <= ORDINARY.unread + 1
        server.dispatcher.holding = False
        there.resume_all()
        for _ in range(asked):
            assert await client.response() == (200, b"GET /one ")
        for each in there:
            each.abort()
        await until(lambda: not len(there))


async def test_a_connection_that_ends_while_it_waits_cannot_be_parted_from() -> None:
    async with serving() as server:
        await server.client()
        (rested,) = leave(server)
        rested.farewell()
        assert server.connections.part(rested) is None


@contextmanager
def no_descriptor_free() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_a_free_descriptor_a_connection_stays_as_it_is() -> None:
    async with serving() as server:
        client = await server.client()
        (rested,) = leave(server)
        with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
            server.connections.part(rested)
        parted = server.connections.part(rested)
        assert parted is not None
        there = connections_of(server.dispatcher)
        there.adopt(*parted)
        assert await client.ask("/late") == (200, b"GET /late ")
        for each in there:
            each.abort()
        await until(lambda: not len(there))


def part_with_all(server: WireServer) -> list[socket.socket]:
    return [parted[0] for rested in leave(server) if (parted := server.connections.part(rested)) is not None]


async def test_what_is_left_of_a_connection_that_goes_on_elsewhere_is_closed_a_little_later() -> None:
    async with serving() as server:
        await server.client()
        (sock,) = part_with_all(server)
        await asyncio.sleep(0)
        assert (len(server.connections), server.connections.phases()) == (1, Counter())
        await until(lambda: not len(server.connections))
        sock.close()


async def test_it_reads_nothing_any_more_whatever_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "LATER", 60.0)
    async with serving() as server:
        server.dispatcher.holding = True
        client = await server.client()
        client.send(get("/held"))
        await until(lambda: server.connections.phases()[Phase.HELD])
        (left,) = server.connections
        (sock,) = part_with_all(server)
        server.dispatcher.holding = False
        left.resume()
        client.send(get("/unseen"))
        await until(lambda: select.select([sock], [], [], 0)[0])
        server.connections.sweep(1e9)
        await asyncio.sleep(0)
        assert (sock.recv(4096), server.dispatcher.seen) == (get("/unseen"), [])
        await server.connections.stop(0.0)
        sock.close()


async def test_nor_does_it_where_it_came_to_a_worker_that_leaves_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "LATER", 60.0)
    async with serving() as server:
        client = await server.client()
        (rested,) = leave(server)
        parted = server.connections.part(rested)
        assert parted is not None
        there, resting = connections_of(server.dispatcher), list[Connection]()
        there.leave(resting.append)
        there.adopt(*parted)
        await until(lambda: resting)
        await asyncio.sleep(0)
        again = there.part(resting[0])
        assert again is not None
        client.send(get("/unseen"))
        await until(lambda: select.select([again[0]], [], [], 0)[0])
        for _ in range(3):
            await asyncio.sleep(0)
        assert again[0].recv(4096) == get("/unseen")
        for connections in (there, server.connections):
            await connections.stop(0.0)
        again[0].close()


async def test_a_client_hears_of_the_end_from_who_took_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "LATER", 60.0)  # as long as that who parted from it may be busy with something else
    async with serving() as server:
        client = await server.client()
        (rested,) = leave(server)
        parted = server.connections.part(rested)
        assert parted is not None
        there = connections_of(server.dispatcher)
        there.adopt(*parted)
        client.send(get("/last", "Connection: close\r\n"))
        assert (await client.rest()).endswith(b"GET /last ")
        await until(lambda: not len(there))
        await server.connections.stop(0.0)


async def test_so_many_do_not_wait_for_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "LATER", 60.0)
    monkeypatch.setattr(leftovers, "MOST", 3)
    async with serving() as server:
        for _ in range(3):
            await server.client()
        socks = part_with_all(server)
        await until(lambda: not len(server.connections))
        for sock in socks:
            sock.close()


async def test_nor_do_they_where_a_descriptor_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "LATER", 60.0)
    async with serving() as server:
        for _ in range(2):
            await server.client()
        first, second = leave(server)
        taken = server.connections.part(first)
        assert taken is not None
        with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
            server.connections.part(second)
        await until(lambda: len(server.connections) == 1)
        taken[0].close()


async def test_a_stop_does_not_wait_for_that_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "LATER", 60.0)
    async with serving() as server:
        await server.client()
        (sock,) = part_with_all(server)
        assert await server.connections.stop(0.0) == 0
        sock.close()


async def test_what_was_parted_from_and_taken_by_nobody_is_closed_politely() -> None:
    async with serving() as server:
        client = await server.client()
        (rested,) = leave(server)
        parted = server.connections.part(rested)
        assert parted is not None
        server.connections.end(*parted)
        assert await client.rest() == b""
        assert server.connections.phases()[Phase.LINGERING] == 1


async def test_who_asked_something_that_nobody_took_is_told_so() -> None:
    async with serving() as server:
        client = await server.client()
        client.send(get("/one")[:9])
        await until(lambda: any(connection.unread() for connection in server.connections))
        (rested,) = leave(server)
        parted = server.connections.part(rested)
        assert parted is not None
        server.connections.end(*parted)
        told = await client.rest()
        assert told.startswith(b"HTTP/1.1 503 ")
        assert field_of(told, b"connection") == b"close"


async def test_a_stop_ends_those_that_wait_as_well() -> None:
    async with serving() as server:
        client = await server.client()
        await client.ask()
        assert len(leave(server)) == 1
        stopping = asyncio.ensure_future(server.connections.stop(5.0))
        assert await client.rest() == b""
        await client.close()
        assert await asyncio.wait_for(stopping, 5) == 0


async def test_an_answer_that_ends_the_connection_still_does() -> None:
    async with serving() as server:
        client = await server.client()
        gate = asyncio.Event()

        async def slow_echo(exchange: Exchange) -> None:
            await gate.wait()
            await echo(exchange)

        server.dispatcher.answer = slow_echo
        client.send(get("/last", "Connection: close\r\n"))
        await until(lambda: server.dispatcher.seen)
        rested = leave(server)
        gate.set()
        assert (await client.rest()).endswith(b"GET /last ")
        assert rested == []


async def test_a_connection_of_a_unix_socket_keeps_its_address(tmp_path: Path) -> None:
    dispatcher = FakeDispatcher(echo)
    here, there = connections_of(dispatcher), connections_of(dispatcher)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        client = Client(*await asyncio.open_unix_connection(str(tmp_path / "s")))
        here.accept(listener.accept()[0], "")
    client.send(post("/one", b"body"))
    assert await client.response() == (200, b"POST /one body")
    rested: list[Connection] = []
    here.leave(rested.append)
    parted = here.part(rested[0])
    assert parted is not None
    there.adopt(*parted)
    assert await client.ask("/two") == (200, b"GET /two ")
    assert [worded(each.server) for each in there] == [f"unix:{tmp_path / 's'}"]
    await client.close()
    await until(lambda: not len(here) and not len(there))


@pytest.mark.parametrize(
    ("server", "words"),
    [(("127.0.0.1", 80), "127.0.0.1:80"), (("::1", 80), "[::1]:80"), (("/run/s", None), "unix:/run/s")],
)
def test_addresses_are_worded_as_they_are_configured(server: tuple[str, int | None], words: str) -> None:
    assert worded(server) == words


class Observer(FakeDispatcher):
    """Notes, at the very moment of a dispatch, whether its connection is known to be half-closed."""

    def __init__(self) -> None:
        super().__init__(echo)
        self.shut: list[bool] = []

    def dispatch(self, exchange: Exchange) -> bool:
        assert isinstance(exchange, WireExchange)
        self.shut.append(exchange.wire.outlet.client_shut)
        return super().dispatch(exchange)


async def test_that_a_client_has_shut_its_write_side_is_known_from_the_start() -> None:
    gate = asyncio.Event()

    async def slow(exchange: Exchange) -> None:
        await gate.wait()
        await echo(exchange)

    async with serving(slow) as server:
        client = await server.client()
        client.send(get("/first") + get("/second"))
        client.shut()
        await until(lambda: server.connections.phases()[Phase.HALF_CLOSED])
        rested = leave(server)
        gate.set()
        await until(lambda: rested)
        parted = server.connections.part(rested[0])
        assert parted is not None
        observer = Observer()
        there = connections_of(observer)
        there.adopt(*parted)
        assert [await client.response() for _ in range(2)] == [(200, b"GET /first "), (200, b"GET /second ")]
        assert (await client.rest(), observer.shut) == (b"", [True])
        await until(lambda: not len(there))
