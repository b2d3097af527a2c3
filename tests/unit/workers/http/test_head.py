"""Heads: what is served, what is refused, and with which status."""

import pytest

from changeover.workers.channel.limits import Limits
from changeover.workers.http.faults import BadMessage
from changeover.workers.http.fields import CHUNKED, Expectation
from changeover.workers.http.head import KNOWN_SIZE, PREFACE, Head, HeadParser

LIMITS = Limits(url=64, head=1024, fields=8, body=1000)


def parse(text: str, limits: Limits = LIMITS) -> Head:
    return HeadParser(limits).parse(text.replace("\n", "\r\n").encode("latin-1"))


def status_of(raw: bytes, limits: Limits = LIMITS) -> int:
    with pytest.raises(BadMessage) as caught:
        HeadParser(limits).parse(raw)
    return caught.value.status


def test_a_plain_head_yields_its_facts() -> None:
    head = parse("GET /a%20b/c?x=%20&y HTTP/1.1\nHost: shop.example:8000\nX-One: 1\nx-one: 2\n\n")
    assert (head.method, head.version, head.persistent, head.length) == ("GET", "1.1", True, 0)
    assert (head.target.path, head.target.raw_path, head.target.query) == ("/a b/c", b"/a%20b/c", b"x=%20&y")
    assert head.fields == ((b"host", b"shop.example:8000"), (b"x-one", b"1"), (b"x-one", b"2"))
    assert head.expectation is Expectation.NONE


def test_a_percent_encoded_path_is_decoded_as_utf_8() -> None:
    assert parse("GET /caf%C3%A9 HTTP/1.1\nHost: a\n\n").target.path == "/café"


@pytest.mark.parametrize(
    ("fields", "length"),
    [("Content-Length: 5", 5), ("Content-Length: 0", 0), ("Transfer-Encoding: chunked", CHUNKED), ("X: 1", 0)],
)
def test_the_length_of_a_body_is_told_by_one_field(fields: str, length: int) -> None:
    assert parse(f"POST / HTTP/1.1\nHost: a\n{fields}\n\n").length == length


@pytest.mark.parametrize(
    ("version", "connection", "persistent"),
    [
        ("1.1", "", True),
        ("1.1", "Connection: close\n", False),
        ("1.1", "Connection: x, Close\n", False),
        ("1.1", "Connection: keep-alive\nConnection: close\n", False),
        ("1.0", "", False),
        ("1.0", "Connection: Keep-Alive\n", True),
        ("1.0", "Connection: keep-alive, close\n", False),
    ],
)
def test_the_client_says_whether_the_connection_goes_on(version: str, connection: str, persistent: bool) -> None:
    assert parse(f"GET / HTTP/{version}\nHost: a\n{connection}\n").persistent is persistent


def test_one_parser_goes_on_after_any_message() -> None:
    parser = HeadParser(LIMITS)
    plain = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
    for before in (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ):
        parser.parse(before)
        assert parser.parse(plain).target.path == "/plain"
    for refused in (b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"):
        with pytest.raises(BadMessage):
            parser.parse(refused)
        assert parser.parse(plain).target.path == "/plain"


def test_an_upgrade_that_is_not_offered_is_an_ordinary_request() -> None:
    head = parse("POST / HTTP/1.1\nHost: a\nUpgrade: h2c\nConnection: Upgrade\nContent-Length: 3\n\n")
    assert (head.length, head.persistent) == (3, True)


def test_the_authority_of_an_absolute_target_overrules_host() -> None:
    head = parse("GET http://real.example:81/x?y HTTP/1.1\nHost: other\n\n")
    assert head.fields == ((b"host", b"real.example:81"),)
    assert (head.target.path, head.target.query) == ("/x", b"y")
    assert parse("GET HTTP://a HTTP/1.1\nHost: a\n\n").target.raw_path == b"/"


def test_options_may_ask_for_the_server_itself() -> None:
    assert parse("OPTIONS * HTTP/1.1\nHost: a\n\n").target.path == "*"


@pytest.mark.parametrize(
    "host", ["a", "a.b-c_d", "127.0.0.1:80", "[::1]", "[::1]:8000", "a:", "", "xn--bcher-kva.example"]
)
def test_a_valid_host_is_taken(host: str) -> None:
    assert parse(f"GET / HTTP/1.1\nHost: {host}\n\n").fields == ((b"host", host.encode()),)


@pytest.mark.parametrize(
    "host", ["a/b", "a b", "a?b", "a#b", "a@b", "a\\b", "[::1", "::1", "a:b", "a:123456", "a\x80", "a,b:c", "<a>"]
)
def test_an_invalid_host_is_refused(host: str) -> None:
    assert status_of(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1")) == 400


def line(text: str) -> bytes:
    return f"{text}\r\nHost: a\r\n\r\n".encode("latin-1")


def with_fields(*fields: str, version: str = "1.1", method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} / HTTP/{version}", "Host: a", *fields, "", ""]).encode("latin-1")


REFUSED = {
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, with_fields("Host: a")),
    "two hosts on 1.0": (400, with_fields("Host: b", version="1.0")),
    "unknown method": (501, line("FROB / HTTP/1.1")),
    "method in lower case": (501, line("get / HTTP/1.1")),
    "a line feed before the method": (400, line("\nGET / HTTP/1.1")),
    "a line feed before HEAD": (400, line("\nHEAD / HTTP/1.1")),
    "a method that is no token": (400, line("GE(T / HTTP/1.1")),
    "HTTP/2.0": (505, line("GET / HTTP/2.0")),
    "HTTP/1.7": (505, line("GET / HTTP/1.7")),
    "HTTP/0.9": (505, line("GET / HTTP/0.9")),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\n"),
    "no version": (400, line("GET /")),
    "another protocol": (400, line("GET / RTSP/1.0")),
    "two spaces": (400, line("GET  / HTTP/1.1")),
    "a space at the end": (400, line("GET / HTTP/1.1 ")),
    "a space in the target": (400, line("GET /a b HTTP/1.1")),
    "a fragment": (400, line("GET /#a HTTP/1.1")),
    "a target outside ascii": (400, line("GET /\xe9 HTTP/1.1")),
    "a target without a slash": (400, line("GET a HTTP/1.1")),
    "another scheme": (400, line("GET ftp://a/ HTTP/1.1")),
    "an absolute target without a host": (400, line("GET http:///x HTTP/1.1")),
    "an absolute target with user info": (400, line("GET http://u@a/ HTTP/1.1")),
    "a star for GET": (400, line("GET * HTTP/1.1")),
    "CONNECT": (501, line("CONNECT a:80 HTTP/1.1")),
    "an authority for GET": (400, line("GET a:80 HTTP/1.1")),
    "length and coding": (400, with_fields("Content-Length: 5", "Transfer-Encoding: chunked")),
    "coding and length": (400, with_fields("Transfer-Encoding: chunked", "Content-Length: 5")),
    "a length twice": (400, with_fields("Content-Length: 5", "Content-Length: 5")),
    "two lengths": (400, with_fields("Content-Length: 5", "Content-Length: 6")),
    "a list of lengths": (400, with_fields("Content-Length: 5, 5")),
    "a signed length": (400, with_fields("Content-Length: +5")),
    "a negative length": (400, with_fields("Content-Length: -5")),
    "a hexadecimal length": (400, with_fields("Content-Length: 0x5")),
    "an empty length": (400, with_fields("Content-Length:")),
    "a length beyond 64 bits": (400, with_fields("Content-Length: 99999999999999999999999")),
    "coding on 1.0": (400, with_fields("Transfer-Encoding: chunked", version="1.0")),
    "another coding": (400, with_fields("Transfer-Encoding: gzip")),
    "another coding under chunks": (501, with_fields("Transfer-Encoding: gzip, chunked")),
    "chunks not last": (400, with_fields("Transfer-Encoding: chunked, gzip")),
    "chunks twice": (400, with_fields("Transfer-Encoding: chunked", "Transfer-Encoding: chunked")),
    "chunks with a tab before": (400, with_fields("Transfer-Encoding: \x0bchunked")),
    "chunks spelt differently": (400, with_fields("Transfer-Encoding: xchunked")),
    "a name with a space": (400, with_fields("Content-Length : 5")),
    "a name with a leading space": (400, with_fields(" X: 5")),
    "a folded value": (400, with_fields("X: 1", " 2")),
    "an empty name": (400, with_fields(": 5")),
    "no colon": (400, with_fields("X")),
    "a bare line feed": (400, b"GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n"),
    "a bare carriage return": (400, b"GET / HTTP/1.1\r\nHost: a\rX: 1\r\n\r\n"),
    "a NUL": (400, with_fields("X: a\0b")),
    "another expectation": (417, with_fields("Expect: tea")),
    "a body that is too long": (413, with_fields("Content-Length: 1001")),
    "too many fields": (431, with_fields(*(f"X-{n}: 1" for n in range(8)))),
    "a head that is too long": (431, with_fields("X: " + "a" * 1024)),
    "a target that is too long": (414, line("GET /" + "a" * 100 + " HTTP/1.1")),
}


@pytest.mark.parametrize(("status", "raw"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_served_is_refused(status: int, raw: bytes) -> None:
    assert status_of(raw) == status


def test_an_expectation_means_nothing_on_1_0() -> None:
    assert parse("POST / HTTP/1.0\nExpect: 100-continue\nContent-Length: 1\n\n").expectation is Expectation.NONE
    assert parse("POST / HTTP/1.1\nHost: a\nExpect: 100-Continue\nContent-Length: 1\n\n").expectation is (
        Expectation.CONTINUE
    )


def test_a_message_that_came_whole_is_told_from_one_that_did_not() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    parser = HeadParser(LIMITS)
    for _ in range(2):
        assert parser.parse_whole(head + b"body") == (parser.parse(head), head, b"body")
    for other in (
        b"",
        head,
        head[:-1],
        head + b"bod",
        head + b"body!",
        b"\r\n" + head + b"body",
        with_fields("X: " + "x" * KNOWN_SIZE, "Content-Length: 4") + b"body",
        with_fields("Transfer-Encoding: chunked") + b"0\r\n\r\n",
        with_fields("Content-Length: 4", "Expect: 100-continue") + b"body",
        PREFACE + b"SM\r\n\r\n",
    ):
        assert HeadParser(Limits()).parse_whole(other) is None, other
    with pytest.raises(BadMessage, match="longer than 1000 bytes"):
        parser.parse_whole(with_fields("Content-Length: 1001") + b"x" * 1001)


@pytest.mark.parametrize(
    ("fields", "held"),
    [
        ((), 0),
        (("Content-Length: 0",), 0),
        (("Content-Length: 7",), 7),
        (("Content-Length: 7", "Expect: 100-continue"), 0),
        (("Transfer-Encoding: chunked",), 0),
    ],
)
def test_a_body_may_be_held_whose_length_is_known_and_that_nobody_waits_to_be_asked_for(
    fields: tuple[str, ...], held: int
) -> None:
    assert HeadParser(LIMITS).parse(with_fields(*fields)).held == held
