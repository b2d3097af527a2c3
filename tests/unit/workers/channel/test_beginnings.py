"""Clients that leave in the handshake, and connections that cannot be begun: neither counts for long."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from changeover.workers.channel.connection import Connection, Owner
from changeover.workers.channel.handshake import HandshakeEnd
from changeover.workers.channel.limits import Limits
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.http.initializer import HttpInitializer
from changeover.workers.protocol.assembly import TlsSpec
from changeover.workers.serving.handshake import HandshakeOutcome
from tests.channels import Site, client_context, served, spec, told
from tests.waits import until
from tests.wire import FakeDispatcher, get

LAST = get("/", "Connection: close\r\n")


async def leave_before(site: Site) -> None:
    """Leave before the connection is accepted, as who only looks whether somebody listens."""
    socket.create_connection(("127.0.0.1", site.port)).close()


async def leave_with_the_end(site: Site, *, said: bool) -> None:
    """Leave with the very bytes that complete the handshake; perhaps by saying so."""
    context = client_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="shop.example")
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    while True:
        try:
            session.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await reader.read(65536))
    if said:
        with suppress(ssl.SSLWantReadError):
            session.unwrap()
    writer.write(outgoing.read())
    writer.close()


@pytest.mark.parametrize(
    "leave",
    [leave_before, partial(leave_with_the_end, said=True), partial(leave_with_the_end, said=False)],
    ids=["before", "at the end, in words", "at the end"],
)
async def test_who_leaves_in_the_handshake_counts_no_more(
    tmp_path: Path, certified: Callable[..., TlsSpec], leave: Callable[[Site], Awaitable[None]]
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    async with served(channel) as site:
        for _ in range(20):
            await leave(site)
        await until(lambda: len(site.ends.seen) == 20)
        await until(lambda: not len(site.connections), "the connections to count no more")


class Faulty(HttpInitializer):
    """Cannot begin a connection: not make it, not begin it, or not go on once it is open."""

    def __init__(self, where: str) -> None:
        super().__init__(FakeDispatcher(told), Limits())
        self._where = where

    def protocol(
        self, owner: Owner, opened: Callable[[Connection], None], outcome: HandshakeOutcome | None = None
    ) -> asyncio.BaseProtocol:
        def opened_and_failed(connection: Connection) -> None:
            if self._where == "open":
                opened(connection)
            raise LookupError(self._where)

        if self._where == "made":
            raise LookupError(self._where)
        return super().protocol(owner, opened_and_failed, outcome)


@pytest.mark.parametrize("secured", [True, False])
@pytest.mark.parametrize("where", ["made", "begun", "open"])
async def test_what_cannot_be_begun_is_cut_off_and_told_of_and_counts_no_more(
    tmp_path: Path, certified: Callable[..., TlsSpec], where: str, secured: bool
) -> None:
    heard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(repr(context["exception"])))
    channel = ServerChannel(spec(certified("shop.example")) if secured else spec(), tmp_path)
    async with served(channel, initializer=Faulty(where)) as site:
        with suppress(ConnectionError, ssl.SSLError):
            assert await site.say(LAST, client_context() if secured else None) == b""
        await until(lambda: not len(site.connections), "the connection to count no more")
        assert not await site.connections.stop(0.0)
        assert heard == [f"LookupError('{where}')"]
        assert site.ends.seen[-1] == (HandshakeEnd.BROKEN, f"LookupError: {where}")


async def test_so_is_one_without_a_handshake_for_which_nothing_can_be_made(caplog: pytest.LogCaptureFixture) -> None:
    async with served(None, initializer=Faulty("made")) as site:
        with suppress(ConnectionError):
            assert await site.say(LAST) == b""
        await until(lambda: not len(site.connections), "the connection to count no more")
        assert "LookupError('made')\nTraceback" in caplog.text


async def test_so_is_one_without_a_handshake_that_cannot_be_begun() -> None:
    heard: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: heard.append(repr(context["exception"])))
    async with served(None, initializer=Faulty("begun")) as site:
        with suppress(ConnectionError):
            assert await site.say(LAST) == b""
        await until(lambda: not len(site.connections), "the connection to count no more")
        assert heard[0] == "LookupError('begun')"
