"""All ready-made handlers together, in real workers, around a FastAPI application and a native service."""

import asyncio
import gzip
import http.client
import re
from pathlib import Path

import msgspec
import pytest

from changeover.server import Committed, Refused, Server
from changeover.supervisor.core.records.pipeline import PipelineEventTold
from tests.service import Story

CONFIGURATION = """
name = "shop"
[app]
target = "shop:app"
[plugins]
dir = "plugins"
[[pipelines]]
match = {{ path = "/" }}
service = "app"
handlers = [{handlers}]
[[pipelines]]
match = {{ path = "/native", method = ["GET", "POST"] }}
service = "prices:quote"
handlers = [{handlers}]
"""
HANDLERS = """
  "request-id",
  { use = "access-log", skip = ["/health"] },
  { use = "cors", origins = ["https://*.shop.example"], credentials = true },
  { use = "compression", min_size = 100 },
  "errors",
  { use = "rate-limit", limit = 8, per = "1h", key = "header:x-key" },
  { use = "body-limit", limit = 1000 },
  { use = "timeout", after = "2s" },
  { use = "load-shed", not_ready = 100 },
  { use = "retry", first = "5ms" },
  { use = "concurrency-limit", limit = 50 },
"""
APPLICATION = """
import asyncio
from fastapi import FastAPI, Request

app = FastAPI()

@app.get("/words")
async def words() -> dict[str, str]:
    return {"words": "the same words " * 50}

@app.post("/echo")
async def echo(request: Request) -> int:
    return len(await request.body())

@app.get("/slow")
async def slow() -> None:
    await asyncio.sleep(60)

@app.get("/broken")
async def broken() -> None:
    raise RuntimeError("secret")
"""
PLUGIN = """# /// script
# [tool.changeover]
# id = "prices"
# version = "VERSION"
# services = { quote = "prices:Quote" }
# ///
import asyncio
from changeover.plugin import CallContext, NotReady, Request, Response, Service

class Quote(Service):
    asked = 0

    def ready(self):
        self.asked += 1
        if self.asked % 2:
            raise NotReady

    async def __call__(self, request: Request, call: CallContext) -> Response:
        if request.path.endswith("/slow"):
            await asyncio.sleep(60)
        if request.path.endswith("/broken"):
            raise RuntimeError("secret")
        if request.method == "POST":
            return Response.json(len(await request.body()))
        return Response.json({"words": "the same words " * 50, "version": "VERSION"})
"""


class Answer(msgspec.Struct, frozen=True):
    """One whole response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Shop:
    """A folder with everything, and a server of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "plugins").mkdir()
        (folder / "shop.py").write_text(APPLICATION)
        self.plugin("1.0")
        self.configure(HANDLERS)

    def plugin(self, version: str) -> None:
        (self.folder / "plugins" / "prices.py").write_text(PLUGIN.replace("VERSION", version))

    def configure(self, handlers: str) -> None:
        (self.folder / "changeover.toml").write_text(CONFIGURATION.format(handlers=handlers))

    def server(self) -> Server:
        return Server(config=self.folder / "changeover.toml", bind=["127.0.0.1:0"], workers=1)


async def ask(server: Server, path: str, method: str = "GET", body: object = None, **fields: str) -> Answer:
    """One request on a connection of its own; a body that is no bytes is sent in chunks."""

    def exchange() -> Answer:
        connection = http.client.HTTPConnection(server.addresses[0], timeout=10)
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        try:
            connection.request(method, path, body, named)  # type: ignore[arg-type]
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    return await asyncio.to_thread(exchange)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("below", ["", "/native"], ids=["FastAPI", "native"])
async def test_all_together_do_what_each_of_them_does(shop: Shop, below: str) -> None:
    async with shop.server() as server:
        page = await ask(server, f"{below}/words", accept_encoding="gzip", origin="https://a.shop.example", x_key="1")
        assert page.status == 200
        assert b"the same words" in gzip.decompress(page.body)
        assert page.headers["content-encoding"] == "gzip"
        assert page.headers["access-control-allow-origin"] == "https://a.shop.example"
        assert {name.strip() for name in page.headers["vary"].split(",")} == {"Accept-Encoding", "Origin"}
        assert re.fullmatch("[0-9a-f]{32}", page.headers["x-request-id"])

        asked = {"origin": "https://a.shop.example", "access_control_request_method": "POST", "x_key": "2"}
        preflight = await ask(server, f"{below}/words", "OPTIONS", **asked)
        assert (preflight.status, preflight.headers["access-control-max-age"]) == (204, "600")

        chunks = await ask(server, f"{below}/echo", "POST", iter([b"x" * 600, b"x" * 600]), x_key="3")
        assert chunks.status == 413
        assert (await ask(server, f"{below}/echo", "POST", b"x" * 1000, x_key="3")).body == b"1000"

        slow = await ask(server, f"{below}/slow", x_key="4", x_request_id="r4")
        assert (slow.status, msgspec.json.decode(slow.body)["request_id"]) == (504, "r4")

        broken = await ask(server, f"{below}/broken", x_key="5", x_request_id="r5", origin="https://b.shop.example")
        assert (broken.status, broken.headers["content-type"]) == (500, "application/problem+json")
        assert (broken.headers["x-request-id"], b"secret" in broken.body) == ("r5", False)
        assert broken.headers["access-control-allow-origin"] == "https://b.shop.example"

        told = [(await ask(server, f"{below}/words", x_key="6")).status for _ in range(9)]
        assert told == [200] * 8 + [429]


async def test_counts_outlive_a_plugin_beside_them_and_start_again_with_other_settings(shop: Shop) -> None:
    async with shop.server() as server:
        assert [(await ask(server, "/native", x_key="1")).status for _ in range(8)] == [200] * 8
        shop.plugin("2.0")
        assert isinstance(await server.reload(), Committed)
        assert (await ask(server, "/native", x_key="1")).status == 429
        assert b'"version":"2.0"' in (await ask(server, "/native", x_key="2")).body
        shop.configure(HANDLERS.replace("limit = 8", "limit = 9"))
        match await server.reload():
            case Committed(summary=summary):
                assert "pipeline GET,POST /native: rate-limit is told otherwise" in summary
            case other:
                pytest.fail(repr(other))
        assert (await ask(server, "/native", x_key="1")).status == 200


async def test_a_mistake_in_settings_is_told_with_its_path_and_changes_nothing(shop: Shop) -> None:
    async with shop.server() as server:
        shop.configure(HANDLERS.replace("limit = 8", "limit = 0"))
        match await server.reload():
            case Refused() as refused:
                told = repr(refused)
                assert "$.pipelines[0].handlers[5].limit" in told
                assert "must be at least 1" in told
            case other:
                pytest.fail(repr(other))
        assert (await ask(server, "/native")).status == 200
        assert (await server.status()).epoch == 1


SHEDDING = """
[[pipelines]]
match = { path = "/" }
service = "app"
handlers = [{ use = "load-shed", not_ready = 0, clogged = 2, rest = "50ms" }]
"""
ENDLESS = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/endless":
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})
    await send({"type": "http.response.body", "body": b"hello"})
"""


async def test_clients_that_take_nothing_start_shedding_over_sockets_and_their_leave_stops_it(story: Story) -> None:
    (story.folder / "main.py").write_text(ENDLESS)
    config = story.folder / "changeover.toml"
    config.write_text(SHEDDING)
    async with story.server(1, f"--config={config}", app="main:app") as server:
        asking = await story.connect(server)

        async def answered(status: int) -> None:
            async with asyncio.timeout(15):
                while (answer := await asking.get("/")).status != status:
                    await asyncio.sleep(0.02)
            assert ("retry-after" in answer.headers) is (status == 503)

        first, second = [await story.connect(server) for _ in range(2)]
        await first.ask("/endless")
        await answered(200)
        await second.ask("/endless")
        await answered(503)
        first.reset()
        second.reset()
        await answered(200)
        async with asyncio.timeout(5):
            while (await told(server))[:2] != ["shedding began", "shedding ended"]:
                await asyncio.sleep(0.02)


async def told(server: Server) -> list[str]:
    """What `load-shed` told, in its order."""
    records = [each.record for each in await server.told() if each.type == "PipelineEventTold"]
    events = [msgspec.json.decode(each, type=PipelineEventTold) for each in records]
    return [each.kind.value for each in events if each.subject == "load-shed"]
