"""Clients that others wrote, where they are installed: h2load and wrk ask much, a browser speaks over WebSockets."""

import asyncio
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from changeover.server import Committed, Server
from tests.certificates import Authority
from tests.service import Story
from tests.waits import until

AUTHORITY = Authority()
H2LOAD, WRK = shutil.which("h2load"), shutil.which("wrk")
CHROMIUM, FIREFOX = shutil.which("chromium"), shutil.which("firefox-esr") or shutil.which("firefox")
with_h2load = pytest.mark.skipif(H2LOAD is None, reason="h2load is not installed (nghttp2-client)")
with_wrk = pytest.mark.skipif(WRK is None, reason="wrk is not installed")
with_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
with_firefox = pytest.mark.skipif(FIREFOX is None, reason="firefox is not installed (firefox-esr)")
over_both = pytest.mark.parametrize("scheme", ["http", "https"])

APP = """
from pathlib import Path

HERE = Path(__file__).parent


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await speak(receive, send)
    elif scope["type"] == "http":
        await answer(scope, receive, send)


async def speak(receive, send):
    await receive()
    await send({{"type": "websocket.accept", "subprotocol": "chat.v2"}})
    while (message := await receive())["type"] == "websocket.receive":
        await send({{"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")}})


async def answer(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/told":
        (HERE / scope["query_string"].decode()).write_bytes(body)
    pieces = [bytes(65536)] * 16 if scope["path"] == "/large" else [(HERE / "page.html").read_bytes()]
    await send({{"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]}})
    for piece in pieces:
        await send({{"type": "http.response.body", "body": piece, "more_body": True}})
    await send({{"type": "http.response.body", "body": b""}})


VERSION = "{version}"
"""
PAGE = """<!doctype html>
<script>
const told = (name, facts) => fetch("/told?" + name, {method: "POST", body: JSON.stringify(facts)});
const opened = () => {
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/chat", ["chat.v1", "chat.v2"]);
  socket.binaryType = "arraybuffer";
  return socket;
};
const first = opened(), echoes = [];
first.onopen = () => { first.send("h\\u00e9llo"); first.send(new Uint8Array(200000).fill(7)); };
first.onmessage = ({data}) => {
  echoes.push(typeof data === "string" ? data : [data.byteLength, new Uint8Array(data)[199999]]);
  if (echoes.length === 2) first.close(4000, "enough");
};
first.onclose = ({code, reason, wasClean}) => {
  const page = performance.getEntriesByType("navigation")[0].nextHopProtocol;
  const {protocol, extensions} = first;
  told("first", {page, protocol, extensions, echoes, code, reason, wasClean}).then(() => {
    const second = opened();
    second.onopen = () => told("open", {});
    second.onclose = ({code, reason, wasClean}) => told("second", {code, reason, wasClean});
  });
};
</script>
"""
ALONE = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--ignore-certificate-errors",
    "--remote-debugging-port=0",
)  # fmt: skip
"""What a browser is told so that it asks nobody but the service."""
COMPRESSING = "permessage-deflate"
WITH_WINDOWS = f"{COMPRESSING}; server_max_window_bits=12; client_max_window_bits=12"
"""What was agreed on, as Chromium tells it; Firefox tells of no windows."""
QUIET = """
user_pref("app.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("extensions.update.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("services.settings.server", "");
user_pref("toolkit.telemetry.enabled", false);
"""
"""The same for one that reads it from a file."""


class Shop:
    """An application that echoes, and takes what a page tells of itself."""

    def __init__(self, story: Story) -> None:
        self.folder = story.folder
        self._story = story
        AUTHORITY.write(self.folder / "cert.pem", self.folder / "key.pem", "127.0.0.1")
        (self.folder / "page.html").write_text(PAGE)
        self.write("1")

    def write(self, version: str) -> None:
        (self.folder / "main.py").write_text(APP.format(version=version))

    @asynccontextmanager
    async def server(self, scheme: str) -> AsyncIterator[tuple[Server, str]]:
        """Serve; and the address in the words of a client."""
        secured = (f"--certfile={self.folder}/cert.pem", f"--keyfile={self.folder}/key.pem")
        told_soon = {"CHANGEOVER_DRAIN_WEBSOCKET": "1s"}
        flags = secured if scheme == "https" else ()
        async with self._story.server(1, *flags, app="main:app", env=told_soon) as server:
            yield server, f"{scheme}://{server.addresses[0]}"

    async def told(self, name: str) -> dict[str, object]:
        """What the page told."""
        file = self.folder / name
        await until(lambda: file.exists() and file.read_bytes(), f"the page to tell of: {name}", 30)
        found: dict[str, object] = json.loads(file.read_bytes())
        return found


@pytest.fixture
def shop(story: Story) -> Shop:
    return Shop(story)


async def said(program: str | None, *arguments: str) -> str:
    """What a program prints that ends by itself."""
    assert program is not None
    process = await asyncio.create_subprocess_exec(
        program, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return out.decode()


def succeeded(out: str) -> int:
    """How many requests did, by the word of h2load; none did not."""
    found = re.search(r"(\d+) done, (\d+) succeeded, 0 failed, 0 errored, 0 timeout", out)
    assert found is not None, out
    assert found[1] == found[2], out
    return int(found[2])


@with_h2load
@over_both
async def test_h2load_gets_every_answer_on_many_streams_of_few_connections(shop: Shop, scheme: str) -> None:
    upload = shop.folder / "upload"
    upload.write_bytes(bytes(300_000))
    async with shop.server(scheme) as (_, url):
        out = await said(H2LOAD, "-n2000", "-c4", "-m100", f"{url}/")
        assert f"Application protocol: {'h2' if scheme == 'https' else 'h2c'}" in out
        assert succeeded(out) == 2000
        assert succeeded(await said(H2LOAD, "-n100", "-c4", "-m10", "-d", str(upload), f"{url}/")) == 100
        out = await said(H2LOAD, "-n100", "-c2", "-m10", f"{url}/large")
        assert succeeded(out) == 100
        assert re.search(rf"\({100 * 16 * 65536}\) data", out), out
        assert succeeded(await said(H2LOAD, "-n20", "-c1", "-m5", "-w14", "-W14", f"{url}/large")) == 20
        assert succeeded(await said(H2LOAD, "--h1", "-n1000", "-c4", f"{url}/")) == 1000


@with_h2load
async def test_h2load_loses_nothing_in_a_swap(shop: Shop, story: Story) -> None:
    story.write("1.0.0")
    over = asyncio.Event()

    async def ask(url: str) -> int:
        """Ask for two seconds again and again, until everything was swapped."""
        answered = 0
        while not over.is_set():
            answered += succeeded(await said(H2LOAD, "-D2", "-c2", "-m10", f"{url}/"))
        return answered

    async with shop.server("http") as (server, url):
        asking = asyncio.create_task(ask(url))
        for version in ("1.0.1", "1.0.2", "1.0.3"):
            story.write(version)
            assert isinstance(await server.reload(), Committed)
        over.set()
        assert await asking > 100


@with_wrk
@over_both
async def test_wrk_gets_every_answer(shop: Shop, scheme: str) -> None:
    async with shop.server(scheme) as (_, url):
        for path in ("/", "/large"):
            out = await said(WRK, "-t1", "-c16", "-d1s", url + path)
            answered = re.search(r"(\d+) requests in", out)
            assert answered is not None, out
            assert int(answered[1]) > 100
            assert not re.search("Non-2xx|Socket errors", out), out


def chromium(folder: Path) -> list[str]:
    """What starts it, but for the page."""
    assert CHROMIUM is not None
    return [CHROMIUM, *ALONE, f"--user-data-dir={folder / 'browser'}"]


def firefox(folder: Path) -> list[str]:
    """The same."""
    assert FIREFOX is not None
    profile = folder / "browser"
    profile.mkdir()
    (profile / "user.js").write_text(QUIET)
    return [FIREFOX, "--headless", "--no-remote", "--profile", str(profile)]


@asynccontextmanager
async def browsing(folder: Path, start: list[str], url: str) -> AsyncIterator[None]:
    """A browser that has been sent to a page."""
    with (folder / "browser.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *start, url, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "HOME": str(folder)}
        )
    try:
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("browser", "scheme", "extensions"),
    [
        pytest.param(chromium, "http", WITH_WINDOWS, marks=with_chromium, id="chromium-http"),
        pytest.param(chromium, "https", WITH_WINDOWS, marks=with_chromium, id="chromium-https"),
        pytest.param(firefox, "http", COMPRESSING, marks=with_firefox, id="firefox-http"),
    ],
)
async def test_a_browser_speaks_over_a_websocket_and_hears_of_a_roll(
    shop: Shop, browser: Callable[[Path], list[str]], scheme: str, extensions: str
) -> None:
    async with shop.server(scheme) as (server, url), browsing(shop.folder, browser(shop.folder), f"{url}/"):
        assert await shop.told("first") == {
            "page": "h2" if scheme == "https" else "http/1.1",
            "protocol": "chat.v2",
            "extensions": extensions,
            "echoes": ["h\u00e9llo", [200_000, 7]],
            "code": 4000,
            "reason": "enough",
            "wasClean": True,
        }
        await until((shop.folder / "open").exists, "the second one to be open")
        shop.write("2")
        assert isinstance(await server.reload(), Committed)
        assert await shop.told("second") == {"code": 1012, "reason": "service restart", "wasClean": True}
