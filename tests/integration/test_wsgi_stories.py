"""WSGI applications as people have them, unmodified, in real workers: rolled under load, hung, and refused."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from changeover.server import Committed, Refused, Server, Strategy
from changeover.workers.runtime.heap import SELDOM
from tests.integration.test_django_stories import PROJECT
from tests.service import Connection, Story, gone, logged, status_when
from tests.waits import until

FLASK = """
import os
import threading
import time

from flask import Flask, Response, jsonify, request

VERSION = "1"
GATE = "{gate}"
app = Flask(__name__)


@app.get("/")
def hello():
    return f"hello from {VERSION}"


@app.get("/pid")
def pid():
    return str(os.getpid())


@app.post("/echo")
def echo():
    return jsonify(size=len(request.get_data()), form=request.form, threads=request.environ["wsgi.multithread"])


@app.get("/stream")
def stream():
    def pieces():
        yield f"{VERSION}\\n"
        while not os.path.exists(GATE):
            time.sleep(0.01)
        yield f"{VERSION}\\n"

    return Response(pieces(), mimetype="text/plain")


@app.get("/stuck")
def stuck():
    threading.Event().wait()


@app.get("/broken")
def broken():
    raise RuntimeError("secret")
"""
DJANGO = {
    **PROJECT,
    "bookshop/wsgi.py": """
        import os
        from django.core.wsgi import get_wsgi_application
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshop.settings")
        application = get_wsgi_application()
    """,
    "shelf/views.py": """
        from django.http import HttpResponse
        from shelf.models import Book

        def add(request, title):
            Book.objects.create(title=title)
            return HttpResponse("added by 1")

        def books(request):
            return HttpResponse("1: " + " ".join(Book.objects.order_by("id").values_list("title", flat=True)))

        def found(request):
            return HttpResponse(str(Book.objects.count()))
    """,
}


@pytest.fixture
def flask(story: Story) -> Path:
    file = story.folder / "shop.py"
    file.write_text(FLASK.replace("{gate}", str(story.gate)))
    return file


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


class Crowd:
    """Clients that ask one after the other, each on a connection that is kept.

    Attributes:
        bodies: What they were answered.
        failed: What else happened to them, and who was answered by an older version than before.
    """

    def __init__(self) -> None:
        self.bodies: list[str] = []
        self.failed: list[str] = []

    async def ask(self, connection: Connection, path: str) -> None:
        latest = ""
        while True:
            try:
                answer = await connection.get(path)
            except (OSError, EOFError) as error:
                self.failed.append(repr(error))
                return
            if answer.status != 200:
                self.failed.append(f"{answer.status} {answer.body}")
            if answer.body < latest:
                self.failed.append(f"{answer.body} behind {latest}")
            latest = answer.body
            self.bodies.append(answer.body)

    def answered(self, start: str) -> int:
        return sum(body.startswith(start) for body in self.bodies)


@asynccontextmanager
async def crowd(story: Story, server: Server, path: str, clients: int = 6) -> AsyncIterator[Crowd]:
    asking = Crowd()
    tasks = [asyncio.create_task(asking.ask(await story.connect(server), path)) for _ in range(clients)]
    try:
        yield asking
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)


@pytest.mark.parametrize(("setting", "threshold"), [("", str(SELDOM)), ("gc.set_threshold(1234, 5, 6)", "1234")])
async def test_the_collector_looks_seldom_in_workers_unless_the_application_says_how_often(
    story: Story, setting: str, threshold: str
) -> None:
    app = f"""
        import gc
        {setting}

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(gc.get_threshold()[0]).encode()]
    """
    (story.folder / "shop.py").write_text(dedent(app))
    async with story.server(1, app="shop:app") as server:
        connection = await story.connect(server)
        assert (await connection.get("/")).body == threshold


async def test_a_flask_application_is_rolled_under_load_and_no_request_fails(story: Story, flask: Path) -> None:
    async with story.server(2, app="shop:app") as server, crowd(story, server, "/") as asking:
        await until(lambda: asking.answered("hello from 1") > 50)
        edit(flask, 'VERSION = "1"', 'VERSION = "2"')
        assert isinstance(await server.reload(), Committed)
        await until(lambda: asking.answered("hello from 2") > 50)
        assert asking.failed == []
        first = next(number for number, body in enumerate(asking.bodies) if body == "hello from 2")
        assert asking.bodies[first:].count("hello from 1") < 6, "each of the others may have had one under way"


async def test_a_django_project_with_its_orm_is_rolled_under_load(story: Story) -> None:
    for name, text in DJANGO.items():
        file = story.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text).strip() + "\n")
    command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
    subprocess.run(command, cwd=story.folder, check=True, timeout=60)
    async with story.server(2, "--threads=2", app="bookshop.wsgi:application") as server:
        assert (await story.get(server, "/add/Emma")).body == "added by 1"
        async with crowd(story, server, "/books", 4) as asking:
            await until(lambda: asking.answered("1: Emma") > 20)
            edit(story.folder / "shelf" / "views.py", '"1: "', '"2: "')
            assert isinstance(await server.reload(), Committed)
            await until(lambda: asking.answered("2: Emma") > 20)
            assert asking.failed == []
        assert (await story.get(server, "/found")).body == "1"


async def test_a_plugin_is_swapped_beside_a_flask_application(story: Story, flask: Path) -> None:
    story.write("1.0")
    async with story.server(2, app="shop:app") as server, crowd(story, server, "/", 3) as asking:
        story.write("2.0")
        assert isinstance(await server.reload(strategy=Strategy.SWAP), Committed)
        assert (await story.get(server, "/shop")).words[0] == "2.0"
        await until(lambda: len(asking.bodies) > 20)
        assert asking.failed == []


async def test_a_stream_ends_on_the_version_that_it_began_on(story: Story, flask: Path) -> None:
    async with story.server(1, app="shop:app") as server:
        streaming = await story.connect(server)
        await streaming.ask("/stream")
        assert (await streaming.head())[0] == 200
        assert await streaming.chunk() == b"1\n"
        edit(flask, 'VERSION = "1"', 'VERSION = "2"')
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/")).body == "hello from 2"
        story.open_gate()
        assert [await streaming.chunk(), await streaming.chunk()] == [b"1\n", b""]


async def test_bodies_come_whole_and_errors_say_nothing(story: Story, flask: Path) -> None:
    async with story.server(1, "-k", "sync", app="shop:app") as server:
        connection = await story.connect(server)
        head = b"POST /echo HTTP/1.1\r\nhost: story\r\ncontent-length: 1000000\r\n\r\n"
        await connection.send(head + b"x" * 1_000_000)
        assert '"size":1000000,"threads":false' in (await connection.answer()).body.replace(" ", "")
        chunked = b"POST /echo HTTP/1.1\r\nhost: story\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        await connection.send(chunked)
        assert '"size":5' in (await connection.answer()).body.replace(" ", "")
        broken = await connection.get("/broken")
        assert (broken.status, "secret" in broken.body) == (500, False)
        await logged(server, "secret")


async def test_a_thread_that_hangs_costs_its_worker_a_recycle_and_says_where(story: Story, flask: Path) -> None:
    settings = {
        "CHANGEOVER_DEADLINES_HEARTBEAT": "200ms",
        "CHANGEOVER_DEADLINES_REQUEST": "2s",
        "CHANGEOVER_DRAIN_HTTP": "3s",
        "CHANGEOVER_DEADLINES_GRACEFUL": "5s",
    }
    async with story.server(1, app="shop:app", env=settings) as server:
        other, hung = await story.connect(server), await story.connect(server)
        pid = int((await other.get("/pid")).body)
        await hung.ask("/stuck")
        await status_when(server, lambda status: any(slot.pid not in (0, pid) for slot in status.slots), 30)
        async with asyncio.timeout(10):
            while int((await other.get("/pid")).body) == pid:
                await asyncio.sleep(0.02)
        assert (await hung.answer()).status == 503
        await gone(pid)
        await logged(server, "shop.py")
        await logged(server, " in stuck")


async def test_what_is_no_application_is_refused_with_what_it_looks_like(story: Story, flask: Path) -> None:
    async with story.server(1, "-k", "wsgi", app="shop:app") as server:
        edit(
            flask,
            "    raise RuntimeError",
            "    return ''\n\n\nasync def app(scope, receive, send):\n    raise RuntimeError",
        )
        outcome = await server.reload()
        assert isinstance(outcome, Refused)
        told = str(outcome.refusals)
        assert "is to be served as WSGI, and looks like ASGI" in told
        assert (await story.get(server, "/")).body == "hello from 1"


async def test_a_service_of_a_plugin_and_a_function_are_applications_too(story: Story) -> None:
    (story.folder / "own.py").write_text(
        "from changeover.plugin import Response, service\n\n"
        "@service\nasync def app(request, call):\n    return Response.text(f'native {request.path}')\n"
    )
    (story.plugins / "old.py").write_text(
        "# /// script\n"
        '# requires-python = ">=3.11"\n# [tool.changeover]\n# id = "old"\n# version = "1.0"\n'
        '# services = { site = { mount = "/old" } }\n# ///\n'
        "from changeover.plugin import wsgi\n\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return [f\"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}\".encode()]\n\n"
        "site = wsgi(app, threads=1)\n"
    )
    async with story.server(1, app="own:app") as server:
        assert (await story.get(server, "/a")).body == "native /a"
        assert (await story.get(server, "/old/b")).body == "/old /b"
        edit(story.plugins / "old.py", "/old", "/older")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/older/b")).body == "/older /b"
