"""What leaves and enters a whole service: large files, event streams, the access log, and who is believed."""

import asyncio
import json
import os
import re
import time

import pytest
import websockets
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode

from tests.hostile import hostile, resident, worker_of
from tests.http2_client import Http2Client
from tests.service import Connection, Story
from tests.waits import until

GIB = 1 << 30
LATE = 0.5
"""Seconds that other work of the machine may add."""
GROWTH = 24 * 1024 * 1024
"""Bytes that a worker may grow by while it sends a file of any size."""


@pytest.mark.slow
async def test_a_file_of_a_gibibyte_is_sent_in_the_memory_of_a_few_pieces(story: Story) -> None:
    with (story.folder / "large").open("wb") as file:
        file.truncate(GIB)
        file.seek(GIB - 4)
        file.write(b"last")
    async with hostile(story) as server:
        pid = await worker_of(server)
        connection = await story.connect(server)
        await connection.get("/hello")
        before = highest = resident(pid)
        await connection.ask("/large")
        status, headers = await connection.head()
        assert (status, headers["content-length"]) == (200, str(GIB))
        left, piece = GIB, b""
        while left:
            piece = await connection.read(min(left, 1 << 20))
            left -= len(piece)
            if left % 64 == 0:
                highest = max(highest, resident(pid))
        assert piece.endswith(b"last")
        assert highest - before < GROWTH
        assert (await connection.get("/hello")).body == "hello"


@pytest.mark.slow
async def test_who_reads_a_file_slowly_costs_no_more(story: Story) -> None:
    with (story.folder / "large").open("wb") as file:
        file.truncate(GIB)
    async with hostile(story) as server:
        pid = await worker_of(server)
        before = resident(pid)
        connections = [await story.connect(server) for _ in range(20)]
        for connection in connections:
            await connection.ask("/large")
            await connection.head()
        assert (await (await story.connect(server)).get("/hello")).body == "hello"
        assert resident(pid) - before < len(connections) * 2 * 1024 * 1024


async def test_a_silent_event_stream_hears_within_a_second_that_its_client_left(story: Story) -> None:
    async with hostile(story) as server:
        connection = await story.connect(server)
        await connection.ask("/events")
        status, headers = await connection.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert await connection.chunk() == b"data: first\n\n"
        left = time.time()
        connection.close()
        heard = story.folder / "heard"
        await until(heard.exists, "the application to hear of it")
        await until(lambda: heard.read_bytes())
        assert json.loads(heard.read_bytes()) - left < 1.0 + LATE


async def test_an_event_stream_whose_client_is_reset_hears_of_it_at_once(story: Story) -> None:
    async with hostile(story) as server:
        connection = await story.connect(server)
        await connection.ask("/events")
        await connection.head()
        await connection.chunk()
        left = time.time()
        connection.reset()
        heard = story.folder / "heard"
        await until(lambda: heard.exists() and heard.read_bytes(), "the application to hear of it")
        assert json.loads(heard.read_bytes()) - left < 1.0


async def test_each_event_leaves_when_it_is_made(story: Story) -> None:
    async with hostile(story) as server:
        connection = await story.connect(server)
        await connection.ask("/events")
        await connection.head()
        assert await asyncio.wait_for(connection.chunk(), 5) == b"data: first\n\n"
        (story.folder / "second").touch()
        assert await asyncio.wait_for(connection.chunk(), 5) == b"data: second\n\n"


LOGGED = re.compile(
    r'192\.0\.2\.1 - - \[.*\] "GET /hello HTTP/1\.1" 200 5 epoch=1 worker=0 route=app request=r-1 ms=\d'
)


async def test_every_request_is_told_in_a_file_that_may_be_moved_away(story: Story) -> None:
    log = story.folder / "access.log"
    flags = (f"--access-logfile={log}", "--proxy-headers")
    async with hostile(story, flags=flags) as server:
        connection = await story.connect(server)
        await connection.send(
            b"GET /hello HTTP/1.1\r\nHost: x\r\nX-Request-Id: r-1\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
        )
        await connection.answer()
        await until(lambda: log.exists() and LOGGED.match(log.read_text()), "the request to be told")
        os.rename(log, story.folder / "access.log.1")
        await connection.send(b"GET / HTTP/9.9\r\n\r\n")
        assert (await connection.head())[0] == 505
        await until(lambda: log.exists() and '"-" 505' in log.read_text(), "a new file with what is no request")
        assert len((story.folder / "access.log.1").read_text().splitlines()) == 1


async def test_what_is_told_last_is_written_before_the_worker_is_gone(story: Story) -> None:
    log = story.folder / "access.log"
    async with hostile(story, flags=(f"--access-logfile={log}", "--access-log-format=json")) as server:
        connection = await story.connect(server)
        for _ in range(50):
            await connection.get("/hello")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["target"] for line in lines] == ["/hello"] * 50
    assert {(line["epoch"], line["route"], line["size"]) for line in lines} == {(1, "app", 5)}


STREAM = ("GET /hello HTTP/2.0", 200, 5, True)
CHAT = ("GET /chat HTTP/1.1", 101, 7, True)
REFUSED = ("GET /nothing HTTP/1.1", 403, 0, True)
LINE = re.compile(
    r'127\.0\.0\.1 - - \[.*?\] "(.*?)" (\d+) (\d+|-)( "-" "test")? epoch=1 worker=0 route=app request=- ms=\S+(.*)'
)


def told(line: str, form: str) -> tuple[str, int, int, bool]:
    """What a line says was asked, its status and bytes, and whether it is complete."""
    if form == "json":
        said = json.loads(line)
        version = "2.0" if said["version"] == "2" else said["version"]
        return f"{said['method']} {said['target']} HTTP/{version}", said["status"], said["size"], said["complete"]
    found = LINE.fullmatch(line)
    assert found is not None, line
    assert (found[4] is not None) is (form == "combined")
    return found[1], int(found[2]), 0 if found[3] == "-" else int(found[3]), not found[5]


@pytest.mark.parametrize("form", ["common", "combined", "json"])
async def test_streams_and_websockets_are_told_in_every_format(story: Story, form: str) -> None:
    log = story.folder / "access.log"
    async with hostile(story, flags=(f"--access-logfile={log}", f"--access-log-format={form}")) as server:
        host, _, port = server.addresses[0].rpartition(":")
        client = await Http2Client.connect(host, int(port))
        assert (await client.get("/hello", [("user-agent", "test")])).body == b"hello"
        await client.close()
        url = f"ws://{server.addresses[0]}"
        with pytest.raises(InvalidStatus):
            await websockets.connect(f"{url}/nothing", user_agent_header="test")
        async with websockets.connect(f"{url}/chat", user_agent_header="test") as chat:
            await chat.send("goodbye")
            assert await chat.recv() == "goodbye"
        await until(lambda: log.exists() and log.read_text().count("\n") == 3, "three lines")
        lasting = await websockets.connect(f"{url}/chat", user_agent_header="test")
    await lasting.wait_closed()
    assert lasting.close_code == CloseCode.SERVICE_RESTART
    last = ("GET /chat HTTP/1.1", 101, 0, True)
    assert [told(line, form) for line in log.read_text().splitlines()] == [STREAM, REFUSED, CHAT, last]


async def test_a_request_that_fails_has_one_id_in_the_log_and_in_the_access_log(story: Story) -> None:
    log = story.folder / "access.log"
    (story.folder / "main.py").write_text("async def app(scope, receive, send):\n    raise RuntimeError\n")
    flags = (f"--access-logfile={log}", "--access-log-format=json")
    async with story.server(1, *flags, app="main:app") as server:
        assert (await story.get(server, "/boom")).status == 500
        failed = re.compile(r"GET /boom failed on epoch 1, route app, request ([0-9a-f]{32})")
        await until(lambda: failed.search(server.logs) and log.exists() and log.read_text(), "it to be told twice")
        found = failed.search(server.logs)
        assert found is not None
        assert json.loads(log.read_text())["request_id"] == found[1]


async def test_an_application_that_fails_before_anything_has_left_is_a_500_also_behind_its_start(story: Story) -> None:
    (story.folder / "main.py").write_text("""
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/piece":
        await send({"type": "http.response.body", "body": b"secret", "more_body": True})
    raise RuntimeError
""")
    async with story.server(1, app="main:app") as server:
        for path in ("/start", "/piece"):
            answer = await story.get(server, path)
            assert (answer.status, answer.body) == (500, "Internal Server Error\n")
        await until(lambda: server.logs.count("failed on epoch 1, route app") == 2, "both to be logged")


FORWARDED = b"X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: outer.example\r\n"


async def ask(connection: Connection) -> dict[str, object]:
    await connection.send(b"GET /asked HTTP/1.1\r\nHost: inner\r\n" + FORWARDED + b"\r\n")
    found: dict[str, object] = json.loads((await connection.answer()).body)
    return found


@pytest.mark.parametrize(
    ("flags", "client", "url", "kept"),
    [
        ((), "127.0.0.1", "http://inner/asked", True),
        (("--proxy-headers",), "192.0.2.1", "https://inner/asked", True),
        (("--forwarded-allow-ips=127.0.0.1,10.0.0.0/8",), "192.0.2.1", "https://inner/asked", True),
        (("--forwarded-allow-ips=*",), "192.0.2.1", "https://inner/asked", True),
        (("--forwarded-allow-ips=10.0.0.0/8",), "127.0.0.1", "http://inner/asked", False),
    ],
)
async def test_only_trusted_proxies_say_who_asked(
    story: Story, flags: tuple[str, ...], client: str, url: str, kept: bool
) -> None:
    async with hostile(story, flags=flags) as server:
        seen = await ask(await story.connect(server))
        assert (seen["client"], seen["url"]) == (client, url)
        fields = seen["fields"]
        assert isinstance(fields, list)
        assert ("x-forwarded-for" in fields) is kept
