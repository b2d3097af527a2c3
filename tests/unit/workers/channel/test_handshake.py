"""What comes before the first message: PROXY header, TLS, selection; over real sockets, on both loops."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from trustme import KeyType

from changeover.workers.channel import handshake
from changeover.workers.channel.connection import Connection
from changeover.workers.channel.handshake import HandshakeEnd
from changeover.workers.channel.phases import Phase
from changeover.workers.channel.secured import Secured
from changeover.workers.channel.server_channel import ServerChannel
from changeover.workers.channel.tls import PAIR, Names, UnusableCertificate
from changeover.workers.http.connection import HttpConnection
from changeover.workers.protocol.assembly import Rule, TlsSpec
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.handshake import HandshakeOutcome
from tests.channels import AUTHORITY, client_context, served, spec
from tests.waits import until
from tests.wire import FakeDispatcher, answer_with, get

LAST = get("/", "Connection: close\r\n")


async def test_tls_is_spoken_and_what_it_came_to_is_known(tmp_path: Path, certified: Callable[..., TlsSpec]) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    async with served(channel) as site:
        answer = await site.say(LAST, client_context("http/1.1"))
        assert b"200" in answer.split(b"\r\n")[0]
        assert b"https ('127.0.0.1'," in answer
        assert b"tls=TLSv1.3 alpn=http/1.1 sni=shop.example" in answer
        assert site.ends.seen == [(HandshakeEnd.DONE, "")]


async def test_each_client_gets_the_certificate_for_the_name_it_asks_for(
    tmp_path: Path, certified: Callable[..., TlsSpec]
) -> None:
    channel = ServerChannel(spec(certified("shop.example", "*.api.example")), tmp_path)
    async with served(channel) as site:
        for name in ("shop.example", "v1.api.example"):
            assert f"sni={name}".encode() in await site.say(LAST, client_context(), name)


def test_a_name_is_forgotten_with_the_handshake_that_failed_and_its_case_does_not_matter() -> None:
    context, names = client_context(), Names()
    for place in range(3):
        session = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="shop.example")
        names.note(session, f"Shop{place}.Example")
        if place < 2:
            continue
        assert names.take(session) == "shop2.example"
        assert names.take(session) == ""
    later = [context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="shop.example") for _ in range(50)]
    assert {names.take(session) for session in later} == {""}


async def test_a_client_shows_a_certificate_where_it_must(tmp_path: Path, certified: Callable[..., TlsSpec]) -> None:
    channel = ServerChannel(spec(certified("shop.example", client="required")), tmp_path)
    async with served(channel) as site:
        context = client_context()
        AUTHORITY.issue_cert("agent@shop.example", common_name="agent,O=Bank").configure_cert(context)
        assert rb"CN=agent\,O=Bank," in await site.say(LAST, context)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            assert await site.say(LAST, client_context()) == b""
            raise ConnectionError("closed without an alert")
        await until(lambda: len(site.ends.seen) == 2)
        assert site.ends.seen[1][0] is HandshakeEnd.FAILED


async def test_cleartext_at_a_tls_address_fails_and_hinders_nobody(
    tmp_path: Path, certified: Callable[..., TlsSpec]
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    async with served(channel) as site:
        await site.say(get("/"))
        assert site.ends.seen[0][0] is HandshakeEnd.FAILED
        assert b"200 OK" in await site.say(LAST, client_context())
        await until(lambda: not len(site.connections))


async def test_who_says_nothing_is_let_go(
    tmp_path: Path, certified: Callable[..., TlsSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "DEADLINE", 0.1)
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    async with served(channel) as site:
        assert await site.say(b"") == b""
        assert site.ends.seen[0][0] is HandshakeEnd.OVERDUE
        await until(lambda: not len(site.connections))


async def test_who_leaves_at_once_as_a_health_check_does_is_no_connection(
    tmp_path: Path, certified: Callable[..., TlsSpec]
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    async with served(channel) as site:
        for _ in range(20):
            await asyncio.to_thread(lambda: socket.create_connection(("127.0.0.1", site.port)).close())
        await until(lambda: len(site.ends.seen) == 20)
        assert {end for end, _ in site.ends.seen} == {HandshakeEnd.GONE}
        await until(lambda: not len(site.connections))


PROXIED = b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n"


async def test_a_trusted_proxy_says_who_the_client_is() -> None:
    channel = ServerChannel(spec(proxies=("127.0.0.0/8",)), Path())
    async with served(channel) as site:
        answer = await site.say(PROXIED + LAST)
        assert b"http ('203.0.113.7', 51234) tls= " in answer


async def test_a_proxy_header_may_come_byte_by_byte_and_before_tls(
    tmp_path: Path, certified: Callable[..., TlsSpec]
) -> None:
    channel = ServerChannel(spec(certified("shop.example"), proxies=("127.0.0.1",)), tmp_path)
    async with served(channel) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        for byte in PROXIED:
            writer.write(bytes((byte,)))
            await writer.drain()
            await asyncio.sleep(0)
        await writer.start_tls(client_context(), server_hostname="shop.example")
        writer.write(LAST)
        answer = await asyncio.wait_for(reader.read(65536), 5)
        assert b"https ('203.0.113.7', 51234) tls=TLSv1.3" in answer
        writer.close()


async def test_a_stranger_is_not_believed() -> None:
    channel = ServerChannel(spec(proxies=("10.0.0.0/8",)), Path())
    async with served(channel) as site:
        assert b" 501 " in (await site.say(PROXIED + get("/"))).split(b"\r\n")[0]
        assert b"http ('127.0.0.1'" in await site.say(LAST)


async def test_a_proxy_without_its_header_is_closed_and_told_of() -> None:
    channel = ServerChannel(spec(proxies=("127.0.0.1",)), Path())
    async with served(channel) as site:
        assert await site.say(get("/")) == b""
        assert site.ends.seen == [(HandshakeEnd.BAD_PROXY, "the connection begins with b'GET / HTTP/1'")]
        assert not len(site.connections)


async def test_what_no_rule_matches_is_closed_cleanly_and_told_of() -> None:
    channel = ServerChannel(spec(rules=(Rule(tls=True),)), Path())
    async with served(channel) as site:
        assert await site.say(get("/")) == b""
        assert site.ends.seen == [(HandshakeEnd.UNMATCHED, "tcp")]
        assert not len(site.connections)


@pytest.mark.parametrize(("rule", "answer"), [(Rule(tls=True), b""), (None, b"HTTP/1.1 200 OK")])
async def test_a_handshake_ends_by_the_rules_that_serve_then(rule: Rule | None, answer: bytes) -> None:
    """The plugin that the rules of before would ask may be gone."""

    def gone(outcome: HandshakeOutcome) -> bool:
        raise AssertionError("what was replaced is asked")

    before = spec(proxies=("127.0.0.1",), rules=(Rule(use="feed:gone"),))
    async with served(ServerChannel(before, Path(), {"feed:gone": gone})) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        await until(lambda: len(site.connections), "the connection came")
        site.channel = None if rule is None else ServerChannel(spec(rules=(rule,)), Path())
        writer.write(PROXIED + LAST)
        assert (await asyncio.wait_for(reader.read(65536), 5)).partition(b"\r\n")[0] == answer
        writer.close()


async def test_the_safe_initializer_takes_what_no_rule_matches() -> None:
    channel = ServerChannel(spec(rules=(Rule(tls=True),), safe="http"), Path())
    async with served(channel) as site:
        assert b"200 OK" in await site.say(LAST)
        assert site.ends.seen == [(HandshakeEnd.SAFE, "tcp")]


async def test_handshakes_that_are_under_way_end_with_the_worker(
    tmp_path: Path, certified: Callable[..., TlsSpec]
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    async with served(channel) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        await until(lambda: len(site.connections) == 1)
        assert await site.connections.stop(0.05) == 1
        assert not len(site.connections)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


@pytest.mark.parametrize("kind", KeyType)
def test_a_key_of_another_certificate_is_refused_by_name(
    tmp_path: Path, certified: Callable[..., TlsSpec], kind: KeyType
) -> None:
    tls = certified("shop.example")
    pair = tmp_path / "artifact" / PAIR.format(0)
    other = AUTHORITY.issue_cert("other.example", key_type=KeyType.ECDSA)
    key = AUTHORITY.issue_cert("x.example", key_type=kind).private_key_pem
    pair.write_bytes(other.cert_chain_pems[0].bytes() + key.bytes())
    with pytest.raises(UnusableCertificate, match="the key does not belong to the certificate"):
        ServerChannel(spec(tls), tmp_path)
    pair.write_bytes(b"nothing")
    with pytest.raises(UnusableCertificate, match="in PEM form"):
        ServerChannel(spec(tls), tmp_path)


async def test_the_last_answer_over_tls_waits_for_a_client_that_takes_its_time(
    tmp_path: Path, certified: Callable[..., TlsSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "GOODBYE", 0.05)
    size, channel = 8 * 1024 * 1024, ServerChannel(spec(certified("shop.example")), tmp_path)
    dispatcher = FakeDispatcher(answer_with(200, [(b"content-length", b"%d" % size)], bytes(size)))
    async with served(channel, dispatcher) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=4096)
        await writer.start_tls(client_context(), server_hostname="shop.example")
        writer.write(LAST)
        await until(lambda: any(each.outlet.ended for each in site.connections))
        patient = asyncio.get_running_loop().time() + 4 * handshake.GOODBYE
        await until(lambda: asyncio.get_running_loop().time() > patient)
        (connection,) = site.connections
        assert connection.sight().phase is Phase.WRITING
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert len(await asyncio.wait_for(reader.readexactly(size), 20)) == size
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        await until(lambda: not len(site.connections))


@pytest.mark.parametrize("piece", [16 * 1024, 64 * 1024])
async def test_an_answer_over_tls_waits_for_its_client_as_soon_as_one_in_cleartext(
    tmp_path: Path, certified: Callable[..., TlsSpec], piece: int
) -> None:
    held = 64 * 1024 + 2 * piece
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)

    async def endless(exchange: Exchange) -> None:
        exchange.start(200, [])
        while True:
            exchange.write(bytes(piece))
            await exchange.drain()

    dispatcher = FakeDispatcher(endless)
    async with served(channel, dispatcher) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=4096)
        await writer.start_tls(client_context(), server_hostname="shop.example")
        writer.write(get("/"))
        await until(lambda: any(each.outlet.clogged for each in site.connections))
        (connection,) = site.connections
        assert isinstance(connection, HttpConnection)
        transport = connection._transport
        assert isinstance(transport, Secured)
        for _ in range(20):
            await asyncio.wait_for(reader.read(100_000), 5)
            await until(lambda: connection.outlet.clogged)
            assert transport.untaken <= held + held // 100, "what TLS adds is less than a hundredth"
        writer.transport.abort()
        await until(lambda: not len(site.connections))
        for task in dispatcher.tasks:
            task.cancel()


async def test_a_connection_whose_handshake_ends_while_its_worker_leaves_comes_to_rest(
    tmp_path: Path, certified: Callable[..., TlsSpec]
) -> None:
    channel = ServerChannel(spec(certified("shop.example")), tmp_path)
    async with served(channel) as site:
        rested: list[Connection] = []
        site.connections.leave(rested.append)
        _, writer = await asyncio.open_connection("127.0.0.1", site.port)
        await writer.start_tls(client_context(), server_hostname="shop.example")
        await until(lambda: rested)
        writer.close()


async def test_a_connection_at_an_address_without_a_handshake_is_told_of_as_such() -> None:
    async with served(None) as site:
        assert b"200 OK" in await site.say(LAST)
        assert site.ends.seen == [(HandshakeEnd.PLAIN, "")]
