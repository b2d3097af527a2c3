"""What comes before the first message, in a real service: TLS, new certificates, PROXY headers."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import websockets
from click.testing import CliRunner

from changeover.server import Committed, Refused, Server, Strategy
from changeover.supervisor.cli import main
from tests.certificates import Authority
from tests.http2_client import Http2Client
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

KNOWING = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    name = scope["extensions"]["tls"]["client_cert_name"]
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": name})
        return
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": name.encode()})
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


async def test_a_renewed_certificate_is_taken_when_it_is_saved_where_changes_are_watched(secured: Secured) -> None:
    async with secured.server("--reload") as server:
        connection, first = await secured.connect(server)
        assert (await connection.get("/")).words[0] == "1"
        secured.certify()
        status = await status_when(server, lambda status: status.serving and status.serving.epoch > 1)
        assert status.serving is not None
        assert "channel 127.0.0.1:0: other certificates" in status.serving.summary
        assert status.serving.origin.label.endswith("key.pem")
        assert (await secured.connect(server))[1] != first
        assert (await connection.get("/")).words[0] == "1", "what is open stays open"


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


async def test_an_application_knows_its_client_by_its_certificate_whatever_it_speaks(secured: Secured) -> None:
    (secured.story.folder / "main.py").write_text(KNOWING)
    authority = secured.story.folder / "ca.pem"
    AUTHORITY.write_own(authority)
    async with secured.server(f"--ca-certs={authority}") as server:
        host, _, port = server.addresses[0].rpartition(":")
        own, old, new = (AUTHORITY.client(*alpn) for alpn in ((), ("http/1.1",), ("h2",)))
        for context in (own, old, new):
            AUTHORITY.identify(context, "agent,O=Bank")
        opened = await asyncio.open_connection(host, int(port), ssl=old, server_hostname="shop.example")
        over_http1, over_http2 = Connection(*opened), await Http2Client.connect(host, int(port), new)
        address = f"wss://{server.addresses[0]}/"
        async with websockets.connect(address, ssl=own, server_hostname="shop.example") as socket:
            told = [(await over_http1.get("/")).body, (await over_http2.get("/")).body.decode(), await socket.recv()]
        assert [str(name).startswith(r"CN=agent\,O=Bank,") for name in told] == [True] * 3, told
        over_http1.close()
        await over_http2.close()


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


NAMES = """
name = "names"
bind = ["127.0.0.1:0"]
workers = 1
[plugins]
dir = "plugins"
[tls]
certificate = "shop.pem"
key = "shop.key"
certificates = [{ certificate = "admin.pem", key = "admin.key" }]
[[pipelines]]
match = { host = "shop.example" }
service = "names:say"
[[pipelines]]
match = { host = "admin.example" }
handlers = ["names:asked-for", "names:modern"]
service = "names:say"
"""
NAMES_PLUGIN = '''# /// script
# [tool.changeover]
# id = "names"
# version = "1.0.0"
# services = { say = "names:say" }
# [tool.changeover.handlers]
# asked-for = { direction = "inbound", phase = "security" }
# modern = { direction = "inbound", phase = "limit" }
# ///
"""Says which pipeline answers, and how the client came."""

from changeover.plugin import CallContext, Request, Response, inbound, service


@inbound
def asked_for(request: Request, call: CallContext) -> Response | None:
    said = request.headers.get("host", "").partition(":")[0]
    return None if said == call.connection.sni else Response.problem(421, "Misdirected request")


@inbound
def modern(request: Request, call: CallContext) -> Response | None:
    return None if call.connection.alpn == "h2" else Response.problem(403, "HTTP/2 only")


@service
async def say(request: Request, call: CallContext) -> Response:
    return Response.text(f"{call.route} {call.connection.sni} {call.connection.alpn}")
'''


async def test_names_that_clients_ask_for_have_pipelines_of_their_own_whose_handlers_see_the_handshake(
    tmp_path: Path,
) -> None:
    for name in ("shop", "admin"):
        AUTHORITY.write(tmp_path / f"{name}.pem", tmp_path / f"{name}.key", f"{name}.example")
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "names.py").write_text(NAMES_PLUGIN)
    (tmp_path / "changeover.toml").write_text(NAMES)

    async def ask(name: str, said: str, protocol: str) -> tuple[int, str]:
        """What a client gets that asks for a certificate's name, and says a host."""
        host, _, port = server.addresses[0].rpartition(":")
        tls = AUTHORITY.client(protocol)
        if protocol == "h2":
            client = await Http2Client.connect(host, int(port), tls, f"{name}.example")
            answer = await client.answer(client.ask(authority=f"{said}.example"))
            await client.close()
            return answer.status, answer.body.decode()
        reader, writer = await asyncio.open_connection(host, int(port), ssl=tls, server_hostname=f"{name}.example")
        connection = Connection(reader, writer)
        await connection.send(f"GET / HTTP/1.1\r\nHost: {said}.example\r\n\r\n".encode())
        found = await connection.answer()
        connection.close()
        return found.status, found.body

    async with Server(config=tmp_path / "changeover.toml") as server:
        assert await ask("shop", "shop", "http/1.1") == (200, "shop.example/ shop.example http/1.1")
        assert await ask("shop", "shop", "h2") == (200, "shop.example/ shop.example h2")
        assert await ask("admin", "admin", "h2") == (200, "admin.example/ admin.example h2")
        assert (await ask("admin", "admin", "http/1.1"))[0] == 403
        assert (await ask("shop", "admin", "h2"))[0] == 421


LABELS = """
name = "labels"
bind = ["127.0.0.1:0", "127.0.0.2:0"]
workers = 2
proxies = ["127.0.0.1"]
[plugins]
dir = "plugins"
[[channels]]
bind = "127.0.0.1:0"
select = [{ client = ["10.0.0.0/8"], label = "inside" }, {}]
[[channels]]
bind = "127.0.0.2:0"
proxies = []
select = [{ label = "inside" }]
[[pipelines]]
match = { label = "inside" }
handlers = ["labels:careful"]
service = "labels:say"
[[pipelines]]
service = "labels:say"
[[pipelines]]
match = { label = "inside", path = "/live" }
service = "labels:live"
"""
LABELS_PLUGIN = '''# /// script
# [tool.changeover]
# id = "labels"
# version = "VERSION"
# services = { say = "labels:say", live = "labels:live" }
# handlers = { careful = "outbound" }
# ///
"""Says which pipeline answers."""

from changeover.plugin import *


@outbound
def careful(request: Request, response: Response, call: CallContext) -> None:
    response.headers["cache-control"] = "no-store"


@service
async def say(request: Request, call: CallContext) -> Response:
    return Response.text(f"VERSION {call.route} {call.connection.label}")


@websocket
async def live(socket: WebSocket, call: CallContext) -> None:
    await socket.accept()
    await socket.send(call.connection.label)
'''


async def test_a_rule_of_a_channel_leads_http_to_another_pipeline_by_client_and_by_address(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    plugin = tmp_path / "plugins" / "labels.py"
    plugin.write_text(LABELS_PLUGIN.replace("VERSION", "1.0"))
    (tmp_path / "changeover.toml").write_text(LABELS)
    inner, outer = "10.1.2.3", "192.0.2.9"
    async with Server(config=tmp_path / "changeover.toml", bind=["127.0.0.1:0", "127.0.0.2:0"], workers=2) as server:
        by_client, by_address = server.addresses

        async def connect(address: str, client: str = "") -> Connection:
            connection = await Connection.open(address)
            if client:
                await connection.send(f"PROXY TCP4 {client} 127.0.0.1 51234 80\r\n".encode())
            return connection

        async def seen(connection: Connection) -> tuple[str, str]:
            answer = await connection.get("/")
            return answer.body, answer.headers.get("cache-control", "")

        near, far = await connect(by_client, inner), await connect(by_client, outer)
        there = await connect(by_address)
        assert await seen(near) == await seen(there) == ("1.0 / @inside inside", "no-store")
        assert await seen(far) == ("1.0 / ", "")
        assert (await far.get("/live")).status == 200
        async with websockets.connect(f"ws://{by_address}/live") as client:
            assert await client.recv() == "inside"
        plugin.write_text(LABELS_PLUGIN.replace("VERSION", "2.0"))
        for strategy in (Strategy.SWAP, Strategy.ROLL):
            assert isinstance(await server.reload(strategy=strategy, force=True), Committed)
            assert await seen(near) == await seen(there) == ("2.0 / @inside inside", "no-store")
            assert await seen(far) == ("2.0 / ", "")
        for connection in (near, far, there):
            connection.close()
