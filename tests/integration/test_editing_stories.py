"""Editing a pipeline that serves: by command and by PATCH, under load, refused, outrun, taken back."""

import asyncio
import http.client
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from changeover.server import Committed, Server, Unchanged
from tests.service import Connection, Story
from tests.waits import until

PLUGIN = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "shop"
# version = "1.0"
# services = { shop = "shop:answer" }
# [tool.changeover.handlers]
# guard = { direction = "inbound", phase = "security" }
# stamp = "outbound"
# sign = "outbound"
# ///
from changeover.plugin import CallContext, Request, Response, inbound, outbound, service


@service
async def answer(request: Request, call: CallContext) -> Response:
    return Response.text(str(call.epoch))


@inbound
def guard(request: Request, call: CallContext) -> Response | None:
    return Response.problem(403, "No") if "x-evil" in request.headers else None


@outbound
def stamp(request: Request, response: Response, call: CallContext) -> None:
    response.headers["x-stamp"] = response.headers.get("x-stamp", "") + "stamp"


@outbound
def sign(request: Request, response: Response, call: CallContext) -> None:
    response.headers["x-stamp"] = response.headers.get("x-stamp", "") + "sign"
"""
COMMAND = (sys.executable, "-m", "changeover")
CONFIG = """
[[pipelines]]
name = "shop"
match = {{ path = "/shop" }}
handlers = {handlers}
service = "shop:shop"

[[pipelines]]
match = {{ path = "/shop", method = "DELETE" }}
service = "shop:shop"
"""


class Shop:
    """A story with one configured pipeline, and the ways to edit it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.config = story.folder / "changeover.toml"
        (story.plugins / "shop.py").write_text(PLUGIN)
        self.configure()

    def configure(self, handlers: str = "[]") -> None:
        self.config.write_text(CONFIG.format(handlers=handlers))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Server]:
        async with self.story.server(2, f"--config={self.config}") as server:
            yield server

    async def type(self, *words: str) -> tuple[int, str]:
        """Type a command; its exit status and what it prints."""
        command = (*COMMAND, *words, f"--runtime-dir={self.story.folder / 'runtime'}")
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    async def ask(
        self, method: str, target: str, body: object = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """Ask the control socket."""
        return await asyncio.to_thread(self._ask, method, target, body, headers)

    def _ask(self, method: str, target: str, body: object, headers: dict[str, str]) -> tuple[int, dict[str, str], Any]:
        connection = http.client.HTTPConnection("control")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(self.story.folder / "runtime" / "control.sock"))
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, target, None if body is None else msgspec.json.encode(body), fields)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, msgspec.json.decode(content)

    async def etag(self) -> str:
        status, headers, _ = await self.ask("GET", "/v1/pipelines/shop")
        assert status == 200
        return headers["etag"]

    async def patch(self, *edits: Mapping[str, object], etag: str) -> tuple[int, Any]:
        status, _, answer = await self.ask("PATCH", "/v1/pipelines/shop/handlers", {"edits": edits}, if_match=etag)
        return status, answer


@pytest.fixture
def shop(story: Story) -> Shop:
    return Shop(story)


class Crowd:
    """Clients that ask again and again on connections which nobody may close.

    Attributes:
        answered: How many answers came.
        stamps: Epoch -> every stamp that its answers had.
        failed: What went wrong.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.stamps: dict[str, set[str]] = {}
        self.failed: list[str] = []
        self._over = False

    @asynccontextmanager
    async def around(self, server: Server, clients: int = 8) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._one(server.addresses[0])) for _ in range(clients)]
        try:
            await self.more()
            yield
            await self.more()
        finally:
            self._over = True
            await asyncio.gather(*tasks)

    async def more(self) -> None:
        """Wait until a hundred further answers came."""
        enough = self.answered + 100
        await until(lambda: self.answered >= enough or self.failed, "clients are answered")

    async def _one(self, address: str) -> None:
        connection = await Connection.open(address)
        try:
            while not self._over:
                async with asyncio.timeout(10):
                    answer = await connection.get("/shop")
                assert answer.status == 200
                self.answered += 1
                self.stamps.setdefault(answer.body, set()).add(answer.headers.get("x-stamp", ""))
        except (OSError, EOFError, AssertionError, asyncio.IncompleteReadError) as error:
            self.failed.append(repr(error))
        finally:
            connection.close()


async def test_edits_under_load_fail_nothing_and_every_answer_is_of_one_epoch(shop: Shop) -> None:
    crowd = Crowd()
    async with shop.serving() as server, crowd.around(server):
        status, output = await shop.type("handler", "add", "shop", "shop:stamp", "--label", "a stamp")
        assert status == 0, output
        assert "pipeline shop: +shop:stamp" in output
        assert "undo: changeover rollback --to 1" in output
        await crowd.more()
        status, answer = await shop.patch({"op": "add", "handler": "shop:sign", "at": 0}, etag=await shop.etag())
        assert (status, answer["outcome"]["type"], answer["outcome"]["serving"]) == (200, "Committed", 3)
        await crowd.more()
        assert (await shop.type("handler", "replace", "shop", "shop:sign", "shop:guard"))[0] == 0
        await crowd.more()
        assert (await shop.type("handler", "remove", "shop", "shop:stamp", "--until", "retired"))[0] == 0
        await crowd.more()
        assert isinstance(await server.rollback(to=3), Committed)
    assert crowd.failed == []
    stamps = ("", "stamp", "signstamp", "stamp", "", "signstamp")
    assert crowd.stamps == {str(epoch): {stamp} for epoch, stamp in enumerate(stamps, 1)}


async def test_ready_made_handlers_are_added_told_otherwise_and_removed_while_they_serve(shop: Shop) -> None:
    async with shop.serving() as server:
        client = await Connection.open(server.addresses[0])
        told = ("--set", "limit=1", "--set", "per=3600", "--set", "key=header:x-api-key")
        status, output = await shop.type("handler", "add", "shop", "rate-limit", *told)
        assert (status, "pipeline shop: +rate-limit" in output) == (0, True), output
        assert (await shop.type("handler", "add", "shop", "request-id"))[0] == 0
        first, second = await client.get("/shop"), await client.get("/shop")
        assert (first.status, second.status) == (200, 429)
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        _, output = await shop.type("pipelines", "shop")
        assert "request-id  inbound, outbound  security  ready-made" in output, output
        assert '{"key":"header:x-api-key","limit":1,"per":3600}' in output, output
        assert [line for line in output.splitlines() if line.endswith("as meant")], output
        status, output = await shop.type(
            "handler", "replace", "shop", "rate-limit", "rate-limit", "--set", "limit=many"
        )
        assert (status, "limit: " in output) == (1, True), output
        assert (await shop.type("handler", "replace", "shop", "rate-limit", "rate-limit", "--set", "limit=99"))[0] == 0
        assert (await client.get("/shop")).status == 200
        assert (await shop.type("handler", "remove", "shop", "request-id"))[0] == 0
        assert "x-request-id" not in (await client.get("/shop")).headers
        client.close()


async def test_an_edit_needs_the_content_that_it_is_made_for(shop: Shop) -> None:
    add = {"op": "add", "handler": "shop:stamp", "at": 0}
    async with shop.serving() as server:
        before = await shop.etag()
        status, _, answer = await shop.ask("PATCH", "/v1/pipelines/shop/handlers", {"edits": [add]})
        assert (status, answer["type"]) == (428, "precondition-missing")
        assert before in answer["detail"]
        assert (await shop.patch(add, etag='"another"'))[0] == 412
        sign = {"op": "add", "handler": "shop:sign", "at": 0}
        answers = await asyncio.gather(*(shop.patch(edit, etag=before) for edit in (add, sign, add, sign)))
        assert sorted(status for status, _ in answers) == [200, 412, 412, 412]
        assert [answer["type"] for status, answer in answers if status == 412] == ["pipeline-changed"] * 3
        assert (await server.status()).epoch == 2
        shop.story.write("1.0", id="other", mount="/other")
        edited = await shop.etag()
        assert isinstance(await server.reload(), Committed)
        assert await shop.etag() == edited, "what changed elsewhere is no concern of this pipeline"
        assert (await shop.patch({"op": "add", "handler": "shop:guard"}, etag=edited))[0] == 200
        assert (await shop.patch({"op": "remove", "handler": "shop:guard"}, etag="*"))[0] == 200
        assert (await shop.ask("GET", "/v1/pipelines/nowhere"))[0] == 404


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        ({"op": "add", "handler": "shop:stanp"}, "shop 1.0 has no handler stanp; did you mean `stamp`?"),
        ({"op": "add", "handler": "nobody:stamp"}, "there is no plugin nobody"),
        ({"op": "add", "handler": "shop:stamp", "at": 0}, "$.handlers[1]: shop:stamp stands in this pipeline twice"),
        (
            {"op": "add", "handler": "shop:guard", "at": 1},
            "$.handlers[1]: shop:guard is of phase security and must",
        ),
        ({"op": "add", "handler": "shop:sign"}, "$.edits[0].handler: nothing says whether shop:sign comes before"),
        ({"op": "remove", "handler": "shop:sign"}, "$.edits[0].handler: shop:sign is not in this pipeline"),
    ],
)
async def test_an_edit_that_cannot_be_is_refused_and_nothing_changes(
    shop: Shop, edit: Mapping[str, object], reason: str
) -> None:
    shop.configure('["shop:stamp"]')
    crowd = Crowd()
    async with shop.serving() as server:
        before = await server.registry(0), await server.registry(1)
        async with crowd.around(server, 2):
            status, answer = await shop.patch(edit, etag=await shop.etag())
        assert (status, answer["outcome"]["type"]) == (409, "Refused")
        assert reason in answer["outcome"]["reason"]
        assert (await server.registry(0), await server.registry(1)) == before
        assert (await server.status()).epoch == 1
    assert (crowd.failed, crowd.stamps) == ([], {"1": {"stamp"}})


@pytest.mark.parametrize(
    ("edits", "status", "detail"),
    [
        ([], 422, "edits is empty"),
        ([{"op": "move", "handler": "shop:stamp"}], 422, "$.edits[0].op"),
        ([{"op": "add", "handler": "shop:stamp", "befor": "x"}], 422, "unknown field `befor`"),
    ],
)
async def test_a_body_that_cannot_be_read_is_answered_with_its_place(
    shop: Shop, edits: list[object], status: int, detail: str
) -> None:
    async with shop.serving():
        answered, _, answer = await shop.ask("PATCH", "/v1/pipelines/shop/handlers", {"edits": edits}, if_match="*")
        assert (answered, detail in answer["detail"]) == (status, True), answer


async def test_the_command_says_why_an_edit_is_refused_and_what_is_edited(shop: Shop) -> None:
    async with shop.serving() as server:
        status, output = await shop.type("handler", "add", "shop", "shop:stanp")
        assert (status, "did you mean `stamp`?" in output) == (1, True), output
        status, output = await shop.type("handler", "add", "shopp", "shop:stamp")
        assert (status, "there is no pipeline shopp" in output) == (1, True), output
        status, output = await shop.type("handler", "add", "shop", "shop:stamp", "--dry-run")
        assert (status, "pipeline shop: +shop:stamp" in output) == (0, True), output
        assert (await server.status()).edited == ()
        assert (await shop.type("handler", "add", "shop", "shop:stamp", "--label", "urgent"))[0] == 0
        assert (await server.status()).edited == ("shop",)
        assert "edited shop (not as the files say" in (await shop.type("status"))[1]
        assert '"urgent" pipeline shop: +shop:stamp' in (await shop.type("history"))[1]
        explained = (await shop.type("explain", "2"))[1]
        assert "pipeline shop: shop:stamp  (edited, not as its file said)" in explained
        assert "route DELETE /shop -> pipeline DELETE /shop" in explained


async def test_an_edit_outlives_reloads_and_restarts_until_its_file_says_something_else(shop: Shop) -> None:
    async with shop.serving() as server:
        assert (await shop.type("handler", "add", "shop", "shop:stamp"))[0] == 0
        unchanged = await server.reload()
        assert isinstance(unchanged, Unchanged)
        assert unchanged.notes == ("kept: pipeline shop as it was edited, not as its file says",)
        shop.story.write("1.0", id="other", mount="/other")
        assert isinstance(await server.reload(), Committed)
        assert (await shop.story.get(server, "/shop")).headers["x-stamp"] == "stamp"
    async with shop.serving() as server:
        assert (await shop.story.get(server, "/shop")).headers["x-stamp"] == "stamp"
        assert (await server.status()).edited == ("shop",)
        shop.configure('["shop:sign"]')
        status, output = await shop.type("reload")
        assert (status, "dropped: the edit of pipeline shop" in output) == (0, True), output
        assert (await shop.story.get(server, "/shop")).headers["x-stamp"] == "sign"
        assert (await server.status()).edited == ()


async def test_an_edit_is_taken_back_and_asked_for_again(shop: Shop) -> None:
    async with shop.serving() as server:
        assert (await shop.type("handler", "add", "shop", "shop:stamp"))[0] == 0
        assert isinstance(await server.rollback(), Committed)
        assert "x-stamp" not in (await shop.story.get(server, "/shop")).headers
        assert isinstance(await server.reload(), Unchanged)
        assert (await shop.type("handler", "add", "shop", "shop:stamp"))[0] == 0
        assert (await shop.story.get(server, "/shop")).headers["x-stamp"] == "stamp"


WRONG = [
    (
        '["shop:stamp", "shop:guard"]',
        "$.pipelines[0].handlers[1]: shop:guard is of phase security and must",
    ),
    ('["shop:stamp", "shop:stamp"]', "$.pipelines[0].handlers[1]: shop:stamp stands in this pipeline twice"),
    ('["shop:stanp"]', "$.pipelines[0].handlers[0]: shop 1.0 has no handler stanp; did you mean `stamp`?"),
    (
        '[]\n[[pipelines]]\nname = "again"\nmatch = { path = "/shop" }',
        "$.pipelines[1].match: /shop leads to $.pipelines[0] already",
    ),
]


@pytest.mark.parametrize(("handlers", "mistake"), WRONG)
async def test_what_check_refuses_is_refused_at_a_reload_too_and_nothing_changes(
    shop: Shop, handlers: str, mistake: str
) -> None:
    crowd = Crowd()
    async with shop.serving() as server:
        before = await server.registry(0), await server.registry(1)
        async with crowd.around(server, 2):
            shop.configure(handlers)
            status, output = await shop.type("reload")
            assert (status, f"{shop.config}: {mistake}" in output) == (1, True), output
        assert (await server.registry(0), await server.registry(1)) == before
    command = (*COMMAND, "check", f"--config={shop.config}", f"--plugins={shop.story.plugins}")
    checked = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert (checked.returncode, f"{shop.config}: {mistake}" in checked.stderr) == (1, True), checked.stderr
    assert (crowd.failed, crowd.stamps) == ([], {"1": {""}})


ROUTES = """
[[pipelines]]
match = { path = "=/one", method = ["GET", "POST"] }
service = "shop:shop"
handlers = ["shop:stamp"]
[[pipelines]]
match = { host = "*.shop.example" }
service = "shop:shop"
handlers = ["shop:sign"]
[[pipelines]]
match = { path = "/one/*", header = { x-tenant = "big" } }
service = "shop:shop"
"""


async def test_requests_find_their_way_by_path_host_header_and_method(shop: Shop) -> None:
    shop.config.write_text(ROUTES)

    async def asked(head: str) -> tuple[int, str, str]:
        await connection.send(f"{head}\r\ncontent-length: 0\r\n\r\n".encode())
        answer = await connection.answer()
        return answer.status, answer.headers.get("x-stamp", ""), answer.headers.get("allow", "")

    async with shop.serving() as server:
        connection = await shop.story.connect(server)
        assert await asked("POST /one HTTP/1.1\r\nhost: any") == (200, "stamp", "")
        assert await asked("PUT /one HTTP/1.1\r\nhost: any") == (405, "", "GET, HEAD, POST")
        assert await asked("PUT /one HTTP/1.1\r\nhost: a.shop.example") == (200, "sign", "")
        assert await asked("GET /one/two HTTP/1.1\r\nhost: any\r\nX-Tenant: big") == (200, "", "")
        assert await asked("GET /one/two HTTP/1.1\r\nhost: any") == (404, "", "")
        shop.config.write_text(ROUTES.replace("match = { path", 'match = { host = "b.example", path'))
        assert isinstance(await server.reload(), Committed)
        assert await asked("GET /one HTTP/1.1\r\nhost: any") == (421, "", "")
        assert await asked("GET /one HTTP/1.1\r\nhost: b.example") == (200, "stamp", "")
