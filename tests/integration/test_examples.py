"""Every example does what its README says: copied to a folder of its own, served for real, changed by hand."""

import asyncio
import http.client
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import websockets

from changeover.server import Committed, Milestone, Refused, Server, Strategy
from changeover.workers.protocol.refusal import Fault
from tests.asking import Asking, asking

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


class Answer(msgspec.Struct, frozen=True):
    """One whole response."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.text)


class Example:
    """One example, copied."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def server(self, workers: int = 2) -> Server:
        """Serve it by its configuration, on a free port."""
        return Server(config=self.folder / "changeover.toml", workers=workers)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that must be there."""
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new))

    def copy(self, file: str, to: str) -> None:
        shutil.copy(self.folder / file, self.folder / to)

    def python(self, *words: str) -> str:
        """Run Python in it; what it printed."""
        done = subprocess.run(
            [sys.executable, "-B", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
            env={**os.environ, "COLUMNS": "120"},
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


Take = Callable[[str], Example]


@pytest.fixture
def take(tmp_path: Path) -> Take:
    """Copies the example of a name."""

    def copied(name: str) -> Example:
        leftovers = shutil.ignore_patterns("__pycache__", ".*_cache")
        shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=leftovers)
        return Example(tmp_path / name)

    return copied


async def ask(server: Server, path: str, method: str = "GET", body: str = "", **headers: str) -> Answer:
    """One request on a connection of its own; `_` in a header's name is read as `-`."""

    def exchange() -> Answer:
        connection = http.client.HTTPConnection(server.addresses[0], timeout=10)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body or None, fields)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers), response.read().decode())
        finally:
            connection.close()

    return await asyncio.to_thread(exchange)


async def test_01_hello(take: Take) -> None:
    example = take("01-hello")
    async with Server(plugins=example.folder / "plugins", workers=2) as server:
        assert (await ask(server, "/hello")).text.startswith("hello from epoch 1, worker ")
        before = [slot.pid for slot in (await server.status()).slots]
        example.edit("plugins/hello.py", "hello from", "good day from")
        assert isinstance(await server.reload(), Committed)
        assert (await ask(server, "/hello")).text.startswith("good day from epoch 2, worker ")
        assert [slot.pid for slot in (await server.status()).slots] == before


async def test_02_swap(take: Take) -> None:
    example = take("02-swap")
    (example.folder / "plugins").mkdir(exist_ok=True)
    example.copy("versions/one.py", "plugins/prices.py")
    async with Server(plugins=example.folder / "plugins", workers=4) as server:
        assert (await ask(server, "/quote")).json == {"total": 100, "version": "1.0.0", "epoch": 1}
        example.copy("versions/two.py", "plugins/prices.py")
        assert isinstance(await server.reload(), Committed)
        example.copy("versions/broken.py", "plugins/prices.py")
        match await server.reload():
            case Refused(serving=2, epoch=3, refusals=refusals):
                assert {refused.refusal.source.strip() for refused in refusals} == {'DISCOUNT = int("1O")'}
            case other:
                pytest.fail(repr(other))
        assert (await ask(server, "/quote")).json == {"total": 90, "version": "2.0.0", "epoch": 2}
        assert isinstance(await server.rollback(), Committed)
        assert (await ask(server, "/quote")).json == {"total": 100, "version": "1.0.0", "epoch": 4}
        example.copy("versions/two.py", "plugins/prices.py")
        assert isinstance(await server.reload(), Refused)
        assert isinstance(await server.reload(force=True), Committed)


async def test_03_handlers(take: Take) -> None:
    example = take("03-handlers")
    async with example.server() as server:
        known = await ask(server, "/orders", x_key="k-anna")
        assert known.json == {"orders": [1, 2, 3], "of": "anna"}
        assert "server-timing" in known.headers
        assert known.headers["x-served-by"].startswith("epoch 1, worker ")
        unknown = await ask(server, "/orders")
        assert (unknown.status, "x-served-by" in unknown.headers, "server-timing" in unknown.headers) == (
            401,
            True,
            False,
        )
        health = await ask(server, "/health")
        assert (health.text, "x-served-by" in health.headers) == ("ok\n", False)
        assert (await ask(server, "/orders", x_key="k-anna", x_request_id="r1")).headers["x-request-id"] == "r1"
        assert "x-request-id" in unknown.headers
        example.edit("changeover.toml", '"gate:timed",', "")
        match await server.reload():
            case Committed(summary=summary):
                assert "gate" not in " ".join(summary).replace("gate:timed", ""), summary
            case other:
                pytest.fail(repr(other))
        assert "server-timing" not in (await ask(server, "/orders", x_key="k-ben")).headers
        example.edit("changeover.toml", "limit = 20", "limit = 1")
        assert isinstance(await server.reload(), Committed)
        told = [(await ask(server, "/orders", x_key="k-ben")).status for _ in range(3)]
        assert 429 in told


async def test_04_resources_and_configuration(take: Take) -> None:
    example = take("04-resources-and-config")
    async with example.server() as server:
        first = (await ask(server, "/quote")).json
        assert first == {"goods": {"reel": 12, "lamp": 100}, "currency": "EUR", "after": ""}
        example.edit("plugins/prices/rules/goods.toml", "lamp = 100\n", "lamp = 100\nscreen = 250\n")
        assert isinstance(await server.reload(), Committed)
        second = (await ask(server, "/quote")).json
        assert (second["goods"]["screen"], len(second["after"])) == (250, 6)
        example.edit("changeover.toml", "EUR", "CHF")
        assert isinstance(await server.reload(), Committed)
        assert (await ask(server, "/quote")).json["currency"] == "CHF"
        example.edit("changeover.toml", "{ currency", "{ currncy")
        assert isinstance(await server.reload(), Refused)
        assert (await ask(server, "/quote")).json["currency"] == "CHF"


async def test_05_a_starlette_application_keeps_its_pool_and_its_task_through_a_swap(take: Take) -> None:
    example = take("05-starlette-app")
    async with example.server() as server:
        before = (await ask(server, "/")).json
        assert (before["pool"], before["seen"]) == (1, {"greeting": "hello"})
        example.edit("plugins/greet.py", '"hello"', '"good day"')
        assert isinstance(await server.reload(), Committed)
        after = (await ask(server, "/")).json
        assert (after["pool"], after["seen"]) == (1, {"greeting": "good day"})
        assert (await ask(server, "/greet")).text == "good day from epoch 2\n"
        async with asyncio.timeout(10):
            while (await ask(server, "/")).json["beats"] <= after["beats"]:
                await asyncio.sleep(0.01)
        example.edit("app.py", "pool.beats += 1", "pool.beats += 2")
        assert isinstance(await server.reload(), Committed)
        assert (await ask(server, "/")).json["beats"] % 2 == 0


async def test_06_a_stream_of_fastapi_ends_whole_while_the_rule_in_front_is_swapped(take: Take) -> None:
    example = take("06-fastapi")
    async with example.server() as server:
        order = {"method": "POST", "body": '{"item": "reel"}', "content_type": "application/json"}
        assert (await ask(server, "/orders", **order, x_group="gold")).json == {"total": 80}
        stream = asyncio.create_task(ask(server, "/ticks"))
        async with asyncio.timeout(10):
            while not any(lease.kind == "stream" for slot in (await server.leases()).slots for lease in slot.leases):
                await asyncio.sleep(0.01)
        example.edit("plugins/rules.py", "20", "30")
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        assert (await stream).text == "0\n1\n2\n3\n4\n"
        assert (await ask(server, "/orders", **order, x_group="gold")).json == {"total": 70}
        assert (await ask(server, "/orders", "POST", "{}", content_type="application/json")).status == 422


def test_07_a_program_starts_a_server_and_reads_outcomes(take: Take) -> None:
    assert take("07-embedded").python("main.py").splitlines() == [
        "hello",
        "epoch 2 serves in 2 workers",
        "good day",
        "refused, epoch 2 serves on: SyntaxError: invalid syntax",
        "good day",
    ]


def test_08_a_plugin_is_tested_in_pytest(take: Take) -> None:
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error")
    assert "5 passed" in take("08-testing-a-plugin").python("-m", "pytest", *quiet)


async def test_09_a_flask_application_runs_in_threads_beside_plugins(take: Take) -> None:
    example = take("09-flask")
    async with example.server() as server:
        before = (await ask(server, "/")).json
        assert (before["thread"], before["seen"]) == ("changeover app 0", {"greeting": "hello"})
        example.edit("plugins/greet.py", '"hello"', '"good day"')
        assert isinstance(await server.reload(), Committed)
        assert (await ask(server, "/")).json["seen"] == {"greeting": "good day"}
        example.edit("app.py", "thread=", "by=")
        assert isinstance(await server.reload(), Committed)
        assert (await ask(server, "/")).json["by"] == "changeover app 0"


class Raw:
    """A client of a raw protocol that stays connected."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, server: Server) -> "Raw":
        host, _, port = server.addresses[0].rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def line(self) -> str:
        return (await asyncio.wait_for(self._reader.readline(), 10)).decode().rstrip("\n")

    async def say(self, line: str) -> str:
        self.send(f"{line}\n".encode())
        return await self.line()

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def frame(self, **message: Any) -> None:
        content = msgspec.json.encode(message)
        self.send(len(content).to_bytes(4) + content)

    async def answer(self) -> Any:
        length = await asyncio.wait_for(self._reader.readexactly(4), 10)
        return msgspec.json.decode(await self._reader.readexactly(int.from_bytes(length)))

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self._reader.read(), 10)

    def close(self) -> None:
        self._writer.close()


async def test_11_a_line_protocol_switches_between_two_messages_and_goes_to_new_processes(take: Take) -> None:
    example = take("11-lines")
    example.edit("changeover.toml", "8011", "0")
    async with example.server() as server:
        client = await Raw.connect(server)
        assert await client.line() == "store, at your service"
        assert await client.say("set colour blue") == "ok"
        assert await client.say("version") == "1.0.0, epoch 1"
        example.edit("plugins/store.py", "1.0.0", "1.1.0")
        swapped = await server.reload(until=Milestone.RETIRED)
        assert isinstance(swapped, Committed)
        assert await client.say("version") == "1.1.0, epoch 2"
        assert await client.say("get colour") == "blue"
        assert await client.say("HELLO") == "error: do not shout"

        pids = {slot.pid for slot in (await server.status()).slots}
        client.send(b"get col")  # half a message goes over, too
        assert isinstance(await server.reload(strategy=Strategy.ROLL, until=Milestone.RETIRED), Committed)
        async with asyncio.timeout(10):
            while pids & {slot.pid for slot in (await server.status()).slots}:
                await asyncio.sleep(0.02)
        assert await client.say("our") == "blue"
        assert await client.say("version") == "1.1.0, epoch 3"

        example.edit("plugins/store.py", "    chain.service(Store())\n", "")
        example.edit("plugins/store.py", "    chain.inbound(", "    chain.service(Store())\n    chain.inbound(")
        match await server.reload():
            case Refused(serving=3, refusals=refusals):
                assert {refused.refusal.fault for refused in refusals} == {Fault.CONTRACT}
                assert {refused.refusal.unit for refused in refusals} == {"plugin store"}
                assert "'shout' is registered behind the service" in refusals[0].refusal.summary
            case other:
                pytest.fail(repr(other))
        assert await client.say("version") == "1.1.0, epoch 3"
        assert await client.say("keys") == "colour"
        assert await client.line() == "."
        client.send(b"quit\n")
        assert await client.rest() == b"bye\n"
        client.close()


async def test_12_frames_keep_their_sum_through_a_swap_and_a_roll_and_a_refusal(take: Take) -> None:
    example = take("12-frames")
    example.edit("changeover.toml", "8012", "0")
    async with example.server() as server:
        client = await Raw.connect(server)
        client.frame(do="Add", number=7)
        assert await client.answer() == {"is": "Sum", "sum": 7, "epoch": 1, "answers": 1}
        client.frame(do="Pause", seconds=8.0)
        client.frame(do="Add", number=1)
        example.edit("plugins/sums/plugin.toml", "1.0.0", "1.1.0")
        async with asyncio.timeout(10):
            while not any("sums:frames" in lease.path for it in (await server.leases()).slots for lease in it.leases):
                await asyncio.sleep(0.005)
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        assert [(await client.answer())["epoch"] for _ in range(2)] == [1, 2]

        with (example.folder / "changeover.toml").open("a") as configuration:
            configuration.write("\n[plugins.sums]\nconfig = { most = 0 }\n")
        match await server.reload():
            case Refused(serving=2, refusals=refusals):
                assert {refused.refusal.fault for refused in refusals} == {Fault.CONFIG}
                assert refusals[0].refusal.hook == "initializer frames"
                assert "nothing could be added" in refusals[0].refusal.summary
            case other:
                pytest.fail(repr(other))
        client.frame(do="Add", number=1)
        assert await client.answer() == {"is": "Sum", "sum": 9, "epoch": 2, "answers": 1}

        example.edit("changeover.toml", "most = 0", "most = 10")
        assert isinstance(await server.reload(strategy=Strategy.ROLL, until=Milestone.RETIRED), Committed)
        client.frame(do="Add", number=11)
        assert await client.answer() == {"is": "Refusal", "why": "at most 10"}
        client.frame(do="Add", number=1)
        answer = await client.answer()
        assert (answer["sum"], answer["epoch"]) == (10, (await server.status()).epoch)
        client.send((9).to_bytes(4) + b"not json!")
        assert b"malformed message" in await client.rest()
        client.close()


async def test_12_an_initializer_that_no_plugin_has_is_refused_with_the_path_of_the_mistake(take: Take) -> None:
    example = take("12-frames")
    example.edit("changeover.toml", "8012", "0")
    async with example.server() as server:
        client = await Raw.connect(server)
        example.edit("changeover.toml", "sums:frames", "sums:frame")
        match await server.reload():
            case Refused(serving=1, refusals=(refused,)):
                assert "$.channels[0].select[0].initializer: sums 1.0.0 has no initializer frame; did you mean" in (
                    refused.refusal.summary
                )
            case other:
                pytest.fail(repr(other))
        client.frame(do="Add", number=2)
        assert (await client.answer())["sum"] == 2
        client.close()


async def test_13_codes_mean_the_same_in_a_version_with_another_form_of_state(take: Take) -> None:
    example = take("13-codec")
    example.copy("versions/one.py", "plugins/codec.py")
    async with example.server(workers=1) as server:
        code = (await ask(server, "/read", x_topic="shipping/containers")).headers["x-topic"]
        assert code == "~8d6cd5"
        assert (await ask(server, "/read", x_topic=code)).text == "what there is to read about shipping/containers\n"
        assert (await ask(server, "/read", x_topic="~000000")).status == 400
        example.copy("versions/two.py", "plugins/codec.py")
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        again = await ask(server, "/read", x_topic=code)
        assert again.text == "what there is to read about shipping/containers\n"
        assert (again.headers["x-topic"], again.headers["x-asked"]) == (code, "1")
        example.edit("plugins/codec.py", "2.0.0", "2.1.0")
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        assert (await ask(server, "/read", x_topic=code)).headers["x-asked"] == "2"
        assert isinstance(await server.rollback(to=1), Committed)
        assert (await ask(server, "/read", x_topic=code)).status == 400
        async with asyncio.timeout(20):
            while not any("codec 1.0.0 begins without the state of 2.1.0" in told.line for told in await server.told()):
                await asyncio.sleep(0.01)


async def test_14_what_was_counted_goes_on_in_the_next_version_and_under_other_limits(take: Take) -> None:
    async def visit() -> int:
        return (await ask(server, "/hello", x_client="ann")).status

    example = take("14-rate-limiter")
    async with example.server(workers=1) as server:
        assert [await visit() for _ in range(4)] == [200, 200, 200, 429]
        example.edit("plugins/limiter/plugin.toml", "1.0.0", "1.0.1")
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        assert await visit() == 429
        example.edit("plugins/limiter/limits.toml", "3", "4")
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        assert [await visit() for _ in range(2)] == [200, 429]
        example.edit("plugins/limiter/limits.toml", "4", '"many"')
        match await server.reload():
            case Refused(serving=3, refusals=(refused,)):
                assert refused.refusal.hook == "on_resources"
            case other:
                pytest.fail(repr(other))
        assert await visit() == 429
        assert (await ask(server, "/hello", x_client="ben")).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()))
def test_every_example_passes_the_type_checker(take: Take, name: str) -> None:
    example = take(name)
    cache = str(ROOT / ".mypy_cache")
    for file in sorted(example.folder.rglob("*.py")):
        example.python("-m", "mypy", "--strict", "--cache-dir", cache, str(file.relative_to(example.folder)))


async def test_10_websocket(take: Take) -> None:
    example = take("10-websocket")
    async with Server(plugins=example.folder / "plugins") as server:
        url = f"ws://{server.addresses[0]}"
        async with websockets.connect(f"{url}/echo") as echo, websockets.connect(f"{url}/tally") as tally:

            async def said(client: websockets.ClientConnection, message: str) -> str | bytes:
                await client.send(message)
                return await asyncio.wait_for(client.recv(), 10)

            assert (await said(echo, "hello"), await said(tally, "a")) == ("1: hello", "1: 1 message")
            example.edit("plugins/rooms.py", "VERSION = 1", "VERSION = 2")
            assert isinstance(await server.reload(), Committed)
            assert (await said(echo, "hello"), await said(tally, "b")) == ("1: hello", "2: 2 messages")


async def swapped(server: Server, example: Example, file: str, versions: list[str], asked: Asking) -> None:
    """Replace one version by the next, each as soon as everybody was answered behind the commit of the one before."""
    for old, new in itertools.pairwise(versions):
        example.edit(file, old, new)
        assert isinstance(await server.reload(), Committed)
        await asked.some(2)


VERSIONS = [f"1.{number}.0" for number in range(9)]


async def test_15_pricing_of_a_fastapi_application_is_swapped_under_load(take: Take) -> None:
    example = take("15-fastapi-pricing")
    paths = ("/cart?items=reel&items=lamp&items=screen", "/cart?items=reel", "/receipt?items=reel&items=screen")
    async with example.server() as server:
        pids = [slot.pid for slot in (await server.status()).slots]
        async with asking(server.addresses[0], lambda number: paths[number % 3], 9) as asked:
            await swapped(server, example, "plugins/pricing/plugin.toml", VERSIONS, asked)
        assert asked.failed == []
        carts = [[line["by"] for line in msgspec.json.decode(told)] for told in itertools.chain(*asked.answers[::3])]
        assert {len(cart) for cart in carts} == {3}
        assert [cart for cart in carts if cart[0] != cart[1] or cart[1] != cart[2]] == []
        assert len({cart[0][0] for cart in carts}) > 2
        assert {told[-1] for told in asked.answers[2::3]} == {'{"reel":1080,"screen":20000}'}
        assert [slot.pid for slot in (await server.status()).slots] == pids
        example.edit("plugins/pricing/sales.toml", "reel = 10", "reel = ten")
        assert isinstance(await server.reload(), Refused)
        assert (await ask(server, "/receipt?items=reel")).json == {"reel": 1080}


def test_15_functions_that_ask_plugins_are_tested_without_a_server(take: Take) -> None:
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "error")
    assert "2 passed" in take("15-fastapi-pricing").python("-m", "pytest", *quiet)


async def test_16_pricing_of_a_django_application_is_swapped_under_load(take: Take) -> None:
    example = take("16-django-pricing")
    query = "?items=reel&items=lamp&items=screen"
    async with example.server() as server:
        async with asking(server.addresses[0], lambda number: ("/cart", "/list")[number % 2] + query, 8) as asked:
            await swapped(server, example, "plugins/pricing.py", VERSIONS, asked)
        assert asked.failed == []
        carts = [[line["by"] for line in msgspec.json.decode(told)] for told in itertools.chain(*asked.answers[::2])]
        lists = [[line.split()[2] for line in told.splitlines()] for told in itertools.chain(*asked.answers[1::2])]
        assert {len(each) for each in carts + lists} == {3}
        assert [each for each in carts + lists if len(set(each)) > 1] == []
        assert len({each[0] for each in carts}) > 2
        assert len({each[0] for each in lists}) > 2
