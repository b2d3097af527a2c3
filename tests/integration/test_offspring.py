"""Children that user code forks off or executes: they outlive their worker, and hold nothing of it."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from pathlib import Path

import psutil
import pytest

from changeover.server import Server
from tests.integration.test_service_stories import run_command
from tests.service import Connection, Story, gone, kill, logged
from tests.waits import until

PLUGIN = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "family"
# version = "1.0"
# services = {{ family = {{ mount = "/family" }} }}
# ///
import asyncio
import ctypes
import multiprocessing
import os
import subprocess
import time

from changeover.plugin import CallContext, Request, Response, service

KEPT = []


def sleep():
    while True:
        time.sleep(1)


def fork():
    pid = os.fork()
    if pid == 0:
        sleep()
    return pid


def forked_by_multiprocessing():
    process = multiprocessing.get_context("fork").Process(target=sleep)
    process.start()
    KEPT.append(process)
    return process.pid


def executed():
    process = subprocess.Popen(["sleep", "1000"], close_fds=False)
    KEPT.append(process)
    return process.pid


def forked_behind_pythons_back():
    pid = ctypes.PyDLL(None).fork()  # with the interpreter's lock held: the child has no thread that would give it back
    if pid == 0:
        ctypes.CDLL(None).execl(b"/bin/sh", b"sh", b"-c", b"exec sleep 1000", None)
    return pid


@service
async def family(request: Request, call: CallContext) -> Response:
    if request.path == "/pid":
        return Response.json({{"worker": os.getpid()}})
    make = {{
        "/fork": fork,
        "/multiprocessing": forked_by_multiprocessing,
        "/exec": executed,
        "/c": forked_behind_pythons_back,
    }}
    child = await asyncio.to_thread(make[request.path])
    return Response.json({{"worker": os.getpid(), "child": child}})
"""


def write(story: Story) -> None:
    (story.plugins / "family.py").write_text(PLUGIN.format())


def sockets_of(pid: int) -> set[str]:
    """The sockets that a process has, in the words of /proc."""
    found = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
    return {link for link in found if link.startswith("socket:")}


def let_go(child: int, worker: int) -> bool:
    """Whether they share nothing but the pair of sockets with which the worker's loop wakes itself."""
    return len(sockets_of(child) & sockets_of(worker)) <= 2


async def born(connection: Connection, how: str) -> tuple[int, int]:
    """Have the worker fork; the worker and its child."""
    answer = await connection.get(f"/family/{how}")
    assert answer.status == 200, answer
    told = json.loads(answer.body)
    return told["worker"], told["child"]


async def stopped(server: Server) -> None:
    server.signal(signal.SIGTERM)
    await logged(server, "finished: asked to stop")


@pytest.mark.parametrize("how", ["fork", "multiprocessing", "exec"])
@pytest.mark.parametrize("bind", ["127.0.0.1:0", "0.0.0.0:0", "[::]:0", "unix:{folder}/web.sock"])
async def test_a_child_holds_no_socket_of_its_worker(story: Story, how: str, bind: str) -> None:
    write(story)
    child = 0
    try:
        async with story.server(workers=1, bind=bind.format(folder=story.folder)) as server:
            [address] = server.addresses
            connection = await Connection.open(address.replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]"))
            worker, child = await born(connection, how)
            await until(lambda: let_go(child, worker), f"{sockets_of(child)} to be let go of")
            server.signal(signal.SIGTERM)
            assert await connection.at_end()
            connection.close()
            await gone(worker)
            await logged(server, "finished: asked to stop")
        assert psutil.pid_exists(child)
        assert "stays held" not in server.logs
        if not bind.startswith("unix"):
            host, _, port = address.rpartition(":")
            family = socket.AF_INET6 if "[" in host else socket.AF_INET
            socket.create_server((host.strip("[]"), int(port)), family=family).close()
    finally:
        if child:
            kill(child)


async def test_a_child_that_is_told_to_stop_stops_and_its_worker_does_not(story: Story) -> None:
    write(story)
    async with story.server(workers=1) as server:
        connection = await story.connect(server)
        worker, child = await born(connection, "fork")
        try:
            await until(lambda: let_go(child, worker))
            os.kill(child, signal.SIGTERM)
            await until(lambda: psutil.Process(child).status() == psutil.STATUS_ZOMBIE, "the child to end")
            assert json.loads((await connection.get("/family/pid")).body)["worker"] == worker
        finally:
            kill(child)


async def test_who_holds_an_address_all_the_same_is_named_at_the_stop_and_at_the_start(story: Story) -> None:
    """C code that forks and keeps the socket: no hook of Python's runs in it."""
    (story.plugins / "keeper.py").write_text(
        PLUGIN.format()
        .replace("family", "keeper")
        .replace("def fork():", "def fork():\n    for fd in os.listdir('/proc/self/fd'): inherit(int(fd))")
        .replace(
            "def sleep():",
            "def inherit(fd):\n    try: os.set_inheritable(fd, True)\n    except OSError: pass\n\n\ndef sleep():",
        )
        .replace(
            "    pid = os.fork()\n    if pid == 0:\n        sleep()\n    return pid",
            "    return forked_behind_pythons_back()",
        )
    )
    child = 0
    try:
        async with story.server(workers=1) as server:
            connection = await story.connect(server)
            answer = await connection.get("/keeper/fork")
            child = json.loads(answer.body)["child"]
            await until(
                lambda: Path(f"/proc/{child}/cmdline").read_bytes().startswith(b"sleep"), "the child to be sleep"
            )
            await stopped(server)
            await until(
                lambda: f"stays held by pid {child} (sleep 1000); `kill {child}` ends it" in server.logs, server.logs
            )
            [address] = server.addresses
        again = await asyncio.create_subprocess_exec(*run_command(story, address), stderr=asyncio.subprocess.PIPE)
        _, said = await again.communicate()
        assert again.returncode == 1
        assert f"cannot listen on {address}: in use, held by pid {child} (sleep 1000)" in said.decode()
    finally:
        if child:
            kill(child)
