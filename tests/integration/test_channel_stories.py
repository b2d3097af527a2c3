"""What comes before the first message, in a real service: TLS, new certificates, PROXY headers."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from changeover.server import Committed, Refused, Server
from changeover.supervisor.cli import main
from tests.certificates import Authority
from tests.service import Connection, Story, status_when

AUTHORITY = Authority()
APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    text = f"{version} {{scope['scheme']}} {{scope['client'][0]}}".encode()
    headers = [(b"content-length", b"%d" % len(text))]
    await send({{"type": "http.response.start", "status": 200, "headers": headers}})
    await send({{"type": "http.response.body", "body": text}})
"""

STREAMING = """
import asyncio

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200})
    for number in range(20):
        await send({"type": "http.response.body", "body": b"%d" % number, "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body"})
"""


class Secured:
    """A service with a certificate, and clients that check it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.chain, self.key = story.folder / "cert.pem", story.folder / "key.pem"
        self._clients: list[Connection] = []
        self.certify()
        self.write("1")

    def certify(self) -> None:
        """Get a new certificate."""
        AUTHORITY.write(self.chain, self.key, "shop.example")

    def write(self, version: str) -> None:
        (self.story.folder / "main.py").write_text(APP.format(version=version))

    @asynccontextmanager
    async def server(self, *arguments: str, env: dict[str, str] | None = None) -> AsyncIterator[Server]:
        tls = (f"--certfile={self.chain}", f"--keyfile={self.key}")
        async with self.story.server(2, *tls, *arguments, app="main:app", env=env) as server:
            try:
                yield server
            finally:
                for client in self._clients:
                    client.close()

    async def connect(self, server: Server) -> tuple[Connection, str]:
        """A client, and the serial number of the certificate that it was shown."""
        host, _, port = server.addresses[0].rpartition(":")
        opened = asyncio.open_connection(host, int(port), ssl=AUTHORITY.client(), server_hostname="shop.example")
        reader, writer = await opened
        session: ssl.SSLObject = writer.get_extra_info("ssl_object")
        certificate = session.getpeercert()
        assert certificate
        self._clients.append(Connection(reader, writer))
        return self._clients[-1], str(certificate["serialNumber"])


@pytest.fixture
def secured(story: Story) -> Secured:
    return Secured(story)


async def test_a_new_certificate_is_taken_by_a_reload_and_open_connections_stay(secured: Secured) -> None:
    async with secured.server() as server:
        connection, first = await secured.connect(server)
        assert (await connection.get("/")).words == ["1", "https", "127.0.0.1"]
        secured.certify()
        outcome = await server.reload()
        assert isinstance(outcome, Committed), outcome
        assert "channel 127.0.0.1:0: other certificates" in outcome.summary
        assert (await connection.get("/")).words[0] == "1"
        _, second = await secured.connect(server)
        assert second != first
        await server.rollback()
        _, third = await secured.connect(server)
        assert third == second, "a rollback brings no certificate back that may have expired"


async def test_a_key_that_belongs_to_another_certificate_is_refused_and_the_old_one_serves_on(secured: Secured) -> None:
    async with secured.server() as server:
        _, first = await secured.connect(server)
        AUTHORITY.write(secured.story.folder / "other.pem", secured.key, "shop.example")
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        (refusal,) = outcome.refusals
        assert (
            refusal.refusal.summary == f"{secured.chain}: $.tls.certificate: the key does not belong to the certificate"
        )
        _, second = await secured.connect(server)
        assert second == first


async def test_in_a_roll_an_open_tls_connection_gets_its_next_answer_from_the_new_code_which_says_it_is_the_last(
    secured: Secured,
) -> None:
    async with secured.server() as server:
        connections = [(await secured.connect(server))[0] for _ in range(8)]
        for connection in connections:
            assert (await connection.get("/")).words[0] == "1"
        secured.write("2")
        outcome = await server.reload()
        assert isinstance(outcome, Committed), outcome
        for connection in connections:
            answer = await connection.get("/")
            assert answer.words == ["2", "https", "127.0.0.1"]
            assert answer.headers["connection"] == "close"
            assert await connection.at_end()
        await status_when(server, lambda status: len(status.slots) == 2)


async def test_a_stream_that_the_new_code_begins_over_a_tls_connection_of_old_has_the_deadline_of_a_stream(
    secured: Secured,
) -> None:
    deadlines = {"CHANGEOVER_DRAIN_HTTP": "0.5", "CHANGEOVER_DRAIN_STREAM": "30"}
    async with secured.server(env=deadlines) as server:
        connection, _ = await secured.connect(server)
        assert (await connection.get("/")).words[0] == "1"
        (secured.story.folder / "main.py").write_text(STREAMING)
        assert isinstance(await server.reload(), Committed)
        await connection.ask("/")
        await connection.head()
        for number in range(20):
            assert await connection.chunk() == b"%d" % number
        assert await connection.chunk() == b""


async def test_a_trusted_proxy_says_who_the_client_is(story: Story, secured: Secured) -> None:
    async with story.server(1, "--proxy-allow-from=127.0.0.0/8", app="main:app") as server:
        connection = await story.connect(server)
        await connection.send(b"PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n")
        assert (await connection.get("/")).words == ["1", "http", "203.0.113.7"]
        secured.write("2")
        assert isinstance(await server.reload(), Committed)
        assert (await connection.get("/")).words == ["2", "http", "203.0.113.7"], "it takes that along to its successor"


def test_a_certificate_that_is_not_there_keeps_the_service_from_starting_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APP.format(version="1"))
    arguments = ["check", "main:app", f"--app-dir={tmp_path}", f"--certfile={tmp_path / 'missing.pem'}"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert f"{tmp_path / 'missing.pem'}: $.tls.certificate: cannot be read: No such file or directory" in result.output
