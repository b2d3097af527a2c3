"""Raw protocols in a real service: over TLS, beside HTTP at one address, and where nothing is for a connection."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from changeover.server import Committed, Milestone, Refused, Server, Strategy
from changeover.supervisor.core.records.pipeline import PipelineEventTold
from changeover.workers.protocol.observed import PipelineEventKind
from tests.certificates import Authority
from tests.service import UNREHEARSED, logged, status_when

AUTHORITY = Authority()
CONFIG = """
name = "feed"
bind = ["127.0.0.1:0"]
workers = 2
[plugins]
dir = "plugins"
[tls]
certificate = "cert.pem"
key = "key.pem"
alpn = ["feed", "http/1.1", "odd"]
[[channels]]
bind = "127.0.0.1:0"
select = [{ initializer = "feed:lines", alpn = "feed" }, { alpn = "http/1.1" }]
"""
PLUGIN = '''# /// script
# [tool.changeover]
# id = "feed"
# version = "{version}"
# initializers = ["lines"]
# services = {{ about = {{ mount = "/about" }} }}
# ///
"""Says who the client is."""

from changeover.plugin import *


@service
async def about(request: Request, call: CallContext) -> Response:
    return Response.text("{version}")


@initializer
def lines(chain: Chain, channel: Served) -> None:
    chain.codec(LineCodec(goodbyes={{Goodbye.LEAVING: "bye"}}))
    chain.service(who)


async def who(message: str, call: MessageCall) -> str:
    outcome = call.channel.outcome
    return f"{version} {{call.epoch}} {{outcome.tls}} {{outcome.alpn}} {{outcome.sni}}"
'''


class Feed:
    """A service that speaks two protocols at one address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers = 2
        (folder / "plugins").mkdir()
        AUTHORITY.write(folder / "cert.pem", folder / "key.pem", "feed.example")
        (folder / "changeover.toml").write_text(CONFIG)
        self.write("1.0.0")

    def write(self, version: str, text: str = PLUGIN, **more: object) -> None:
        (self.folder / "plugins" / "feed.py").write_text(text.format(version=version, **more))

    def server(self, rehearsed: bool = True) -> Server:
        env = None if rehearsed else UNREHEARSED
        return Server(config=self.folder / "changeover.toml", workers=self.workers, env=env)


class Client:
    """One that speaks TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, server: Server, *alpn: str) -> "Client":
        host, _, port = server.addresses[0].rpartition(":")
        context = AUTHORITY.client(*alpn)
        return cls(*await asyncio.open_connection(host, int(port), ssl=context, server_hostname="feed.example"))

    @classmethod
    async def in_clear(cls, server: Server) -> "Client":
        host, _, port = server.addresses[0].rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def say(self, text: str) -> str:
        self._writer.write(text.encode())
        return (await asyncio.wait_for(self._reader.readline(), 10)).decode()

    async def rest(self) -> str:
        return (await asyncio.wait_for(self._reader.read(), 10)).decode()

    def close(self) -> None:
        self._writer.close()


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    return Feed(tmp_path)


async def test_two_protocols_share_an_address_and_what_is_for_neither_is_closed_and_told(
    feed: Feed,
) -> None:
    async with feed.server() as server:
        lines = await Client.connect(server, "feed")
        assert await lines.say("who\n") == "1.0.0 1 TLSv1.3 feed feed.example\n"
        http = await Client.connect(server, "http/1.1")
        assert await http.say("GET /about HTTP/1.1\r\nhost: feed\r\n\r\n") == "HTTP/1.1 200 OK\r\n"
        odd = await Client.connect(server, "odd")
        assert await odd.rest() == ""
        told = "a connection at 127.0.0.1:0: no rule matched (alpn odd, sni feed.example, tls TLSv1.3)"
        await logged(server, told)
        feed.write("1.1.0")
        assert isinstance(await server.reload(), Committed)
        assert await lines.say("who\n") == "1.1.0 2 TLSv1.3 feed feed.example\n"
        for client in (lines, http, odd):
            client.close()


KEEPING = '''# /// script
# [tool.changeover]
# id = "feed"
# version = "{version}"
# plugin = "feed:Feed"
# initializers = ["lines"]
# ///
"""Writes down what is asked of it."""

from pathlib import Path

from changeover.plugin import *


def note(what: str) -> None:
    with Path("{log}").open("a") as log:
        log.write("{version} " + what + "\\n")


class Feed(Plugin[None]):
    def on_unload(self) -> None:
        note("unloaded")

    @initializer
    def lines(self, chain: Chain, channel: Served) -> None:
        chain.codec(LineCodec())
        chain.service(Keeping())


class Keeping(MessageService):
    def opened(self, channel: Channel) -> None:
        channel.write("welcome")

    def __call__(self, message: str, call: MessageCall) -> str:
        return "{version}"

    def export_state(self, channel: Channel) -> bytes:
        note("exported")
        return b"x"

    def import_state(self, channel: Channel, state: bytes) -> None:
        note("imported")
'''


async def test_each_reason_why_an_initializer_failed_is_told_however_soon_it_follows_another(feed: Feed) -> None:
    reasons = ("1 / 0", "raise PermissionError('no')", "chain.service(who)")
    async with feed.server(rehearsed=False) as server:
        for reason in reasons:
            feed.write("1.0.1", PLUGIN.replace("    chain.service(who)", f"    chain.service(who)\n    {reason}"))
            assert isinstance(await server.reload(), Refused)

        async def told() -> set[str]:
            records = [each.record for each in await server.told() if each.type == "PipelineEventTold"]
            events = [msgspec.json.decode(each, type=PipelineEventTold) for each in records]
            failed = [each for each in events if each.kind is PipelineEventKind.INITIALIZER_FAILED]
            return {each.detail.partition(":")[0] for each in failed if each.subject == "feed:lines"}

        async with asyncio.timeout(5):
            while await told() != {"crash", "capability", "contract"}:
                await asyncio.sleep(0.05)


async def test_the_old_version_exports_what_it_knows_of_a_silent_client_before_it_is_unloaded(feed: Feed) -> None:
    log = feed.folder / "noted"
    feed.write("1.0.0", KEEPING, log=log)
    feed.workers = 1
    async with feed.server(rehearsed=False) as server:
        client = await Client.connect(server, "feed")
        assert await client.say("") == "welcome\n"
        feed.write("1.1.0", KEEPING, log=log)
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        assert log.read_text().splitlines() == ["1.0.0 exported", "1.1.0 imported", "1.0.0 unloaded"]
        assert await client.say("who\n") == "1.1.0\n"
        client.close()


async def test_in_a_roll_a_raw_connection_over_tls_gets_the_protocols_own_goodbye(feed: Feed) -> None:
    async with feed.server() as server:
        client = await Client.connect(server, "feed")
        assert await client.say("who\n") == "1.0.0 1 TLSv1.3 feed feed.example\n"
        feed.write("1.1.0")
        assert isinstance(await server.reload(strategy=Strategy.ROLL), Committed)
        assert await client.say("who\n") == "bye\n"
        assert await client.rest() == ""
        again = await Client.connect(server, "feed")
        assert (await again.say("who\n")).startswith("1.1.0 2 ")
        await status_when(server, lambda status: len(status.slots) == 2)
        for each in (client, again):
            each.close()


def guarded(text: str) -> str:
    """The protocol with a handler in front of its service, which refuses one message."""
    service = "    chain.service(who)"
    assert service in text
    gate = "\n\nasync def gate(message, call):\n    if message == 'break':\n        raise ValueError('broken')\n"
    return text.replace(service, f"    chain.inbound('gate', gate)\n{service}") + gate


async def test_a_raw_protocol_has_a_row_in_the_registry_and_counts_of_its_own(feed: Feed) -> None:
    feed.write("1.0.0", guarded(PLUGIN))
    name = "127.0.0.1:0 feed:lines"
    async with feed.server() as server:
        talking, failing = await Client.connect(server, "feed"), await Client.connect(server, "feed")
        for _ in range(3):
            await talking.say("who\n")
        assert await failing.say("break\n") == ""
        view = next(each for each in (await server.pipelines()).pipelines if each.id == name)
        assert (view.address, view.counts.hits, view.failed) == ("127.0.0.1:0", 4, 1)
        assert view.counts.ends == {"internal error": 1}
        [gate] = view.handlers
        assert (gate.name, gate.direction, gate.phase, gate.version) == ("feed:gate", "inbound", "app", "1.0.0")
        assert (gate.counts.failed, gate.counts.timed > 0) == (1, True)
        assert view.service is not None
        assert view.service.name == "feed:lines"
        assert view.initializer is not None
        assert (view.initializer.name, view.initializer.category) == ("lines", "message")
        registry = await server.pipeline_registry(name)
        assert [(worker.deviation, worker.epoch) for worker in registry.workers] == [("", 1), ("", 1)]
        assert sum(worker.counts.hits for worker in registry.workers) == 4
        status = await status_when(server, lambda status: any(each.hits == 4 for each in status.pipelines))
        [line] = [each for each in status.pipelines if each.id == name]
        assert (line.failed, line.service) == (1, "feed:lines")
        assert sum(slot.requests for slot in status.slots) <= 4, "each message is counted once"
        feed.write("1.1.0", guarded(PLUGIN))
        assert isinstance(await server.reload(), Committed)
        await talking.say("who\n")
        view = next(each for each in (await server.pipelines()).pipelines if each.id == name)
        assert (view.counts.hits, view.handlers[0].version, view.since) == (5, "1.1.0", 2)
        talking.close()


CHOOSING = """
name = "feed"
bind = ["127.0.0.1:0"]
[plugins]
dir = "plugins"
[[channels]]
bind = "127.0.0.1:0"
select = [{ initializer = "feed:lines", use = "feed:of-lines" }, { initializer = "http" }]
"""
SELECTOR = (
    PLUGIN.replace("# services", '# selectors = ["of-lines"]\n# services')
    + """

def of_lines(outcome: HandshakeOutcome) -> bool:
    return outcome.listener == "127.0.0.1:0" and {lines}
"""
)


async def test_a_plugin_says_which_connections_a_rule_is_for_and_a_new_version_says_otherwise(feed: Feed) -> None:
    (feed.folder / "changeover.toml").write_text(CHOOSING)
    feed.write("1.0.0", SELECTOR, lines=True)
    async with feed.server() as server:
        first, *_ = clients = [await Client.in_clear(server)]
        assert (await first.say("who\n")).startswith("1.0.0 1 ")
        feed.write("2.0.0", SELECTOR, lines=False)
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        assert (await first.say("who\n")).startswith("2.0.0 2 "), "an open connection was selected anew"
        clients.append(await Client.in_clear(server))
        assert await clients[-1].say("GET /about HTTP/1.1\r\nhost: feed\r\n\r\n") == "HTTP/1.1 200 OK\r\n"
        feed.write("3.0.0", SELECTOR, lines="None.no")
        assert isinstance(await server.reload(until=Milestone.RETIRED), Committed)
        clients.append(await Client.in_clear(server))
        assert await clients[-1].say("GET /about HTTP/1.1\r\nhost: feed\r\n\r\n") == "HTTP/1.1 200 OK\r\n"
        await logged(server, "selector raised AttributeError")
        for client in clients:
            client.close()
