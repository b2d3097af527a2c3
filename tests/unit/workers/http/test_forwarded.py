"""Who asked, behind proxies: chains are walked past those who are trusted, and nobody else is believed."""

import pytest

from changeover.workers.channel.connections import Connections
from changeover.workers.channel.limits import Limits
from changeover.workers.http.connection import HttpConnection
from changeover.workers.http.forwarded import FIELDS as FORWARDED_FIELDS
from changeover.workers.http.forwarded import Forwarding, Hop, read_forwarded
from changeover.workers.http.initializer import HttpInitializer
from changeover.workers.http.making import Making
from changeover.workers.http.site import Site
from changeover.workers.http2.initializer import Http2Initializer
from changeover.workers.serving.contract import Headers, Request
from changeover.workers.serving.handshake import HandshakeOutcome, Peer
from tests.http2_client import Http2Client
from tests.memory_connection import MemoryTransport, Nobody, nothing
from tests.websockets_wire import asking
from tests.wire import FakeDispatcher, WireServer, echo, get, serving

PROXY = ("10.0.0.1", 4000)
ALL = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix")


def asked(fields: dict[str, str], *, believed: tuple[str, ...] = ALL, peer: Peer = PROXY) -> Request:
    """A request as it is served that comes from a proxy with these fields."""
    headers = Headers([(name.encode(), value.encode("latin-1")) for name, value in {"host": "shop", **fields}.items()])
    request = Request("GET", "/a", headers=headers, client=peer)
    Forwarding(["10.0.0.0/8", "fd00::/8"], believed).apply(request)
    return request


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("192.0.2.1", ("192.0.2.1", 0)),
        ("192.0.2.1:5000", ("192.0.2.1", 5000)),
        ("2001:db8::1", ("2001:db8::1", 0)),
        ("[2001:DB8::1]:5000", ("2001:db8::1", 5000)),
        ("192.0.2.1, 10.0.0.2", ("192.0.2.1", 0)),
        ("invented, 192.0.2.7, 192.0.2.1, 10.0.0.2", ("192.0.2.1", 0)),
        ("10.0.0.3, 10.0.0.2", ("10.0.0.3", 0)),
        ("192.0.2.1, unknown, 10.0.0.2", ("10.0.0.2", 0)),
        ("192.0.2.1, ::ffff:10.0.0.2", ("192.0.2.1", 0)),
        ("unknown", PROXY),
        ("999.0.0.1", PROXY),
        ("127.0.0.1 or so", PROXY),
        ("", PROXY),
    ],
)
def test_the_client_is_the_first_from_the_right_who_is_not_trusted(chain: str, client: Peer) -> None:
    assert asked({"x-forwarded-for": chain}).client == client


def test_several_fields_are_one_chain() -> None:
    request = Request("GET", "/", client=PROXY)
    request.headers.raw += [(b"x-forwarded-for", b"192.0.2.1"), (b"x-forwarded-for", b"10.0.0.2")]
    Forwarding(["10.0.0.0/8"], ALL).apply(request)
    assert request.client == ("192.0.2.1", 0)


@pytest.mark.parametrize(
    ("chain", "proto", "scheme"),
    [
        ("192.0.2.1", "https", "https"),
        ("192.0.2.1", "HTTPS", "https"),
        ("192.0.2.1", "wss", "https"),
        ("192.0.2.1", "gopher", "http"),
        ("192.0.2.1, 10.0.0.2", "https", "https"),
        ("192.0.2.1, 10.0.0.2", "https, http", "https"),
        ("invented, 192.0.2.1, 10.0.0.2", "https, http, https", "http"),
        ("invented, 192.0.2.1", "https, http, http", "http"),
    ],
)
def test_the_scheme_is_that_by_which_the_client_asked(chain: str, proto: str, scheme: str) -> None:
    assert asked({"x-forwarded-for": chain, "x-forwarded-proto": proto}).scheme == scheme


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        ({"x-forwarded-host": "outer.example"}, "outer.example"),
        ({"x-forwarded-host": "outer.example:81", "x-forwarded-port": "82"}, "outer.example:81"),
        ({"x-forwarded-host": "outer.example", "x-forwarded-port": "82"}, "outer.example:82"),
        ({"x-forwarded-host": "outer.example", "x-forwarded-port": "80"}, "outer.example"),
        (
            {"x-forwarded-host": "outer.example", "x-forwarded-port": "443", "x-forwarded-proto": "https"},
            "outer.example",
        ),
        ({"x-forwarded-port": "82"}, "shop:82"),
        ({"x-forwarded-port": "82a"}, "shop"),
        ({"x-forwarded-host": "outer.example/path"}, "shop"),
        ({"x-forwarded-host": "h\xf6st"}, "shop"),
    ],
)
def test_the_host_is_that_which_the_client_asked_for(fields: dict[str, str], host: str) -> None:
    assert asked(fields).headers.all("host") == [host]


@pytest.mark.parametrize("prefix", ["/shop", "/shop/", "/a/b"])
def test_a_prefix_is_where_the_application_is_mounted(prefix: str) -> None:
    request = asked({"x-forwarded-prefix": prefix})
    assert (request.root_path, request.path) == (prefix.rstrip("/"), "/a")
    assert request.raw_path == prefix.rstrip("/").encode() + b"/a"


@pytest.mark.parametrize("prefix", ["shop", "//evil.example", "/a b", "/", "http://evil.example", "/a?b"])
def test_what_is_no_prefix_is_ignored(prefix: str) -> None:
    assert asked({"x-forwarded-prefix": prefix}).root_path == ""


def test_a_field_that_no_proxy_writes_is_not_believed() -> None:
    fields = {"x-forwarded-for": "192.0.2.1", "x-forwarded-host": "evil.example", "forwarded": "for=192.0.2.9"}
    request = asked(fields, believed=("x-forwarded-for",))
    assert request.client == ("192.0.2.1", 0)
    assert request.headers["host"] == "shop"
    request = asked(fields, believed=("forwarded",))
    assert (request.client, request.headers["host"]) == (("192.0.2.9", 0), "shop")


@pytest.mark.parametrize(
    ("written", "hops"),
    [
        ("for=192.0.2.1", [Hop("192.0.2.1")]),
        ('For="[2001:db8::1]:80";proto=https;by=x', [Hop("[2001:db8::1]:80", "https")]),
        ('for=_a, for=b;host="shop:81"', [Hop("_a"), Hop("b", host="shop:81")]),
        ('for="a\\"b"', [Hop('a"b')]),
        ("for=a;for=b", []),
        ("for=a b", []),
        ("for=", []),
        ('for="a', []),
        ("for=a;", []),
        ("for = a", []),
        (", for=a", []),
        ("for=[::1]", []),
    ],
)
def test_forwarded_is_read_as_its_grammar_says_or_not_at_all(written: str, hops: list[Hop]) -> None:
    assert read_forwarded([written]) == hops


def test_a_chain_of_forwarded_is_walked_and_says_how_the_client_asked() -> None:
    chain = "for=invented;proto=http, for=192.0.2.1;proto=https;host=outer.example, for=10.0.0.2;proto=http;host=inner"
    request = asked({"forwarded": chain}, believed=("forwarded",))
    assert (request.client, request.scheme) == (("192.0.2.1", 0), "https")
    assert request.headers["host"] == "outer.example"


async def served(peer: Peer, fields: str) -> Request:
    """The request of a connection from `peer`."""
    dispatcher = FakeDispatcher(echo)
    making = Making(Forwarding(["10.0.0.0/8"], ALL), None, 0)
    site = Site(dispatcher, Limits(), making=making)
    connection = HttpConnection(site, Nobody(), nothing, HandshakeOutcome(client=peer))
    connection.connection_made(MemoryTransport())
    raw = get("/a", fields)
    connection.get_buffer(-1)[: len(raw)] = raw
    connection.buffer_updated(len(raw))
    return dispatcher.seen[0].request


FIELDS = "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\nForwarded: for=192.0.2.9\r\nX-Other: 1\r\n"


async def test_a_trusted_peer_is_believed_and_its_fields_stay_as_sent() -> None:
    request = await served(PROXY, FIELDS)
    assert (request.client, request.scheme) == (("192.0.2.1", 0), "https")
    assert request.headers["x-forwarded-for"] == "192.0.2.1"


async def test_whoever_connects_to_a_unix_socket_is_believed() -> None:
    assert (await served(None, FIELDS)).client == ("192.0.2.1", 0)


async def test_nobody_else_is_believed_and_their_fields_reach_no_application() -> None:
    request = await served(("192.0.2.66", 1), FIELDS)
    assert (request.client, request.scheme) == (("192.0.2.66", 1), "http")
    assert [name for name, _ in request.headers.raw] == [b"host", b"x-other"]


def untrusting(server: WireServer) -> None:
    """Let a served address believe nobody who connects to it."""
    making, limits = Making(Forwarding(["10.0.0.0/8"], ALL), None, 0), Limits()
    http2 = Http2Initializer(server.dispatcher, limits, making=making)
    server.connections = Connections(HttpInitializer(server.dispatcher, limits, making=making, http2=http2), limits)


async def test_a_request_for_a_websocket_is_believed_no_more_than_others() -> None:
    async with serving() as server:
        untrusting(server)
        client = await server.client()
        client.send(asking("/", FIELDS))
        await client.response()
        names = [name for name, _ in server.dispatcher.seen[0].request.headers.raw]
        assert b"x-other" in names
        assert not FORWARDED_FIELDS.intersection(names)


async def test_a_stream_of_http2_is_believed_no_more_than_others() -> None:
    async with serving() as server:
        untrusting(server)
        client = await Http2Client.connect(*server.listener.getsockname())
        said = [(line.partition(": ")[0].lower(), line.partition(": ")[2]) for line in FIELDS.splitlines()]
        await client.get("/", said)
        request = server.dispatcher.seen[0].request
        assert [name for name, _ in request.headers.raw] == [b"host", b"x-other"]
        assert request.client is not None
        assert (request.client[0], request.scheme) == ("127.0.0.1", "http")
        await client.close()
