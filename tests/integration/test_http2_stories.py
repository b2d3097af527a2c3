"""HTTP/2 in a real service: clients as people have them, swaps and rolls under load, a library that is missing."""

import asyncio
import shutil
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from changeover.server import Committed, Server
from changeover.supervisor.artifacts import channels
from changeover.supervisor.cli import main
from tests.certificates import Authority
from tests.http2_client import Http2Client
from tests.service import Story, logged, status_when
from tests.waits import until

AUTHORITY = Authority()
APP = """
import asyncio
from pathlib import Path

GATE = Path("{gate}")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        while not GATE.exists():
            await asyncio.sleep(0.005)
    if scope["path"] == "/large":
        await send({{"type": "http.response.start", "status": 200, "headers": []}})
        for _ in range(160):
            await send({{"type": "http.response.body", "body": bytes(65536), "more_body": True}})
        await send({{"type": "http.response.body", "body": b""}})
        return
    text = f"{version} {{scope['http_version']}} {{scope['scheme']}} {{len(body)}}".encode()
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}})
    await send({{"type": "http.response.body", "body": text}})
"""
CURL = shutil.which("curl")
LOAD = 24
"""Requests at a time."""


class Shop:
    """An application behind a certificate, and clients that check it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.chain, self.key = story.folder / "cert.pem", story.folder / "key.pem"
        self.authorities = story.folder / "ca.pem"
        AUTHORITY.write(self.chain, self.key, "shop.example", "127.0.0.1")
        AUTHORITY.write_own(self.authorities)
        self._clients: list[Http2Client] = []
        self.write("1")

    def write(self, version: str) -> None:
        (self.story.folder / "main.py").write_text(APP.format(version=version, gate=self.story.gate))

    @asynccontextmanager
    async def server(self, *, secured: bool = True, env: dict[str, str] | None = None) -> AsyncIterator[Server]:
        tls = (f"--certfile={self.chain}", f"--keyfile={self.key}") if secured else ()
        async with self.story.server(2, *tls, app="main:app", env=env) as server:
            try:
                yield server
            finally:
                for client in self._clients:
                    await client.close()

    async def connect(self, server: Server, *, secured: bool = True) -> Http2Client:
        host, _, port = server.addresses[0].rpartition(":")
        client = await Http2Client.connect(host, int(port), AUTHORITY.client("h2") if secured else None)
        self._clients.append(client)
        return client

    async def curl(self, server: Server, path: str, *options: str, scheme: str = "https") -> tuple[bytes, str]:
        """The body, and protocol and status."""
        if CURL is None:
            pytest.fail("these stories need curl")
        port = server.addresses[0].rpartition(":")[2]
        said = ("-sS", "--max-time", "30", "-w", "%{stderr}%{http_version} %{http_code}", "--cacert", self.authorities)
        process = await asyncio.create_subprocess_exec(
            CURL, *map(str, said), *options, f"{scheme}://127.0.0.1:{port}{path}", stdout=-1, stderr=-1
        )
        out, err = await process.communicate()
        return out, err.decode()


@pytest.fixture
def shop(story: Story) -> Shop:
    return Shop(story)


class Load:
    """Clients that ask all the time, each on a connection of its own, and honour GOAWAY as RFC 9113 says."""

    def __init__(self, shop: Shop, server: Server) -> None:
        self.answers: Counter[str] = Counter()
        self.failed: list[str] = []
        self._shop = shop
        self._server = server
        self._over = False

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.ensure_future(self._client()) for _ in range(4)]
        await until(lambda: self.answers.total() > LOAD)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        await asyncio.gather(*self._tasks)

    async def saw(self, version: str) -> None:
        await until(lambda: self.answers[version] > LOAD, f"answers of version {version}; failed: {self.failed}")

    async def _client(self) -> None:
        clients = [await self._shop.connect(self._server)]

        async def ask() -> None:
            while not self._over:
                await self._ask(clients)

        await asyncio.gather(*(ask() for _ in range(LOAD // 4)))

    async def _ask(self, clients: list[Http2Client]) -> None:
        client = clients[-1]
        if client.goaways or client.closed:
            if client is clients[-1]:
                clients.append(await self._shop.connect(self._server))
            return
        answer = await client.get("/")
        if answer.ended and answer.status == 200:
            self.answers[answer.body.decode().split()[0]] += 1
        elif not answer.refused:
            self.failed.append(repr(answer))


async def test_curl_is_answered_over_tls_and_with_prior_knowledge(shop: Shop) -> None:
    async with shop.server() as server:
        assert await shop.curl(server, "/", "--http2") == (b"1 2 https 0", "2 200")
        assert await shop.curl(server, "/", "--http1.1") == (b"1 1.1 https 0", "1.1 200")
    async with shop.server(secured=False) as server:
        assert await shop.curl(server, "/", "--http2-prior-knowledge", scheme="http") == (b"1 2 http 0", "2 200")
        assert await shop.curl(server, "/", scheme="http") == (b"1 1.1 http 0", "1.1 200")


async def test_curl_takes_and_gives_large_bodies(shop: Shop) -> None:
    upload = shop.story.folder / "upload"
    upload.write_bytes(bytes(20 * 1024 * 1024))
    async with shop.server() as server:
        body, said = await shop.curl(server, "/large", "--http2")
        assert (len(body), said) == (160 * 65536, "2 200")
        given = await shop.curl(server, "/", "--http2", "-T", str(upload))
        assert given == (f"1 2 https {20 * 1024 * 1024}".encode(), "2 200")


async def test_httpx_is_answered_on_streams_of_one_connection(shop: Shop) -> None:
    async with shop.server() as server:
        port = server.addresses[0].rpartition(":")[2]
        async with httpx2.AsyncClient(http2=True, verify=AUTHORITY.client()) as client:
            url = f"https://127.0.0.1:{port}/"
            answers = await asyncio.gather(*(client.post(url, content=bytes(size)) for size in range(0, 200_000, 9999)))
            assert {answer.http_version for answer in answers} == {"HTTP/2"}
            assert [answer.text.split()[-1] for answer in answers] == [str(size) for size in range(0, 200_000, 9999)]


async def test_a_swap_under_load_loses_no_request_and_no_connection(shop: Shop) -> None:
    shop.story.write("1.0.0")
    async with shop.server() as server:
        client = await shop.connect(server)
        async with Load(shop, server) as load:
            for version in ("1.0.1", "1.0.2", "1.0.3"):
                shop.story.write(version)
                assert isinstance(await server.reload(), Committed)
                assert (await client.get("/shop")).body.decode().split()[0] == version
            await load.saw("1")
        assert load.failed == []
        assert not client.goaways


async def test_a_roll_under_load_loses_no_request(shop: Shop) -> None:
    async with shop.server() as server, Load(shop, server) as load:
        for version in "23":
            shop.write(version)
            assert isinstance(await server.reload(), Committed)
            await load.saw(version)
        await status_when(server, lambda status: len(status.slots) == 2)
    assert load.failed == []


async def test_in_a_roll_a_stream_under_way_ends_on_the_old_code_and_none_begins_there(shop: Shop) -> None:
    async with shop.server() as server:
        client = await shop.connect(server)
        assert (await client.get("/")).body == b"1 2 https 0"
        slow = client.ask("/slow")
        idle = await shop.connect(server)
        assert (await idle.get("/")).status == 200
        shop.write("2")
        assert isinstance(await server.reload(), Committed)
        await until(lambda: client.goaways == [(slow, 0, b"")])
        assert (await client.answer(client.ask("/"))).refused
        await until(lambda: idle.closed)
        assert idle.goaways == [(1, 0, b"")]
        assert (await (await shop.connect(server)).get("/")).body == b"2 2 https 0"
        shop.story.open_gate()
        assert (await client.answer(slow)).body == b"1 2 https 0"
        await until(lambda: client.closed)
        await status_when(server, lambda status: len(status.slots) == 2)


async def test_a_stream_past_its_deadline_in_a_roll_is_answered_that_it_was_ended(shop: Shop) -> None:
    async with shop.server(env={"CHANGEOVER_DRAIN_HTTP": "0.3"}) as server:
        client = await shop.connect(server)
        slow = client.ask("/slow")
        await status_when(server, lambda status: any(slot.leases for slot in status.slots))
        shop.write("2")
        assert isinstance(await server.reload(), Committed)
        assert (await client.answer(slow)).status == 503
        await until(lambda: client.closed)


async def test_a_service_that_stops_finishes_what_is_under_way(shop: Shop) -> None:
    async with shop.server(secured=False) as server:
        client = await shop.connect(server, secured=False)
        assert (await client.get("/")).status == 200
        slow = client.ask("/slow")
        await status_when(server, lambda status: any(slot.leases for slot in status.slots))
        server.signal(signal.SIGTERM)
        await until(lambda: len(client.goaways) == 2)
        shop.story.open_gate()
        assert (await client.answer(slow)).body == b"1 2 http 0"
        await logged(server, "finished")


def test_http_2_that_is_asked_for_by_name_and_missing_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "main.py").write_text(APP.format(version="1", gate=tmp_path / "gate"))
    AUTHORITY.write(tmp_path / "cert.pem", tmp_path / "key.pem", "shop.example")
    (tmp_path / "changeover.toml").write_text(
        f'app = {{ target = "main:app", dir = "{tmp_path}" }}\n'
        f'tls = {{ certificate = "{tmp_path}/cert.pem", key = "{tmp_path}/key.pem", alpn = ["h2", "http/1.1"] }}\n'
    )
    arguments = ["check", f"--config={tmp_path / 'changeover.toml'}"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    monkeypatch.setattr(channels, "speaks_http2", lambda: False)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1
    assert "$.tls.alpn: HTTP/2 needs the library h2, which is not installed here: pip install" in result.output
