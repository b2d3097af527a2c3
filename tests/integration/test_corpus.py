"""What gunicorn's corpus of raw requests makes of our connections: the same requests, the same refusals.

Wherever we differ, a table says so and why; a difference that is not in it fails, and so does a line that is not true.
"""

import re
from dataclasses import dataclass, field

import pytest

from changeover.workers.serving.exchange import Exchange
from tests.corpus import HOSTLESS, Case, cases
from tests.memory_connection import MemoryConnection
from tests.wire import FakeDispatcher

pytestmark = pytest.mark.xdist_group("corpus")

FRAGMENT = "a fragment is the client's own and never sent (RFC 9112, 3.2); servers that drop it disagree on the path"
EXTENSION = "the extension is no token or quoted string (RFC 9112, 7.1.1)"
CODING = "the only transfer coding served is chunked, alone: nobody else's decoder can disagree about the end"
SPACES = "space before the colon is refused, whatever the configuration (RFC 9112, 5.1)"
METHOD = "methods are those that httptools knows"
CUT = "its body ends before its Content-Length; gunicorn gives the application what has come"
FOLDED = "folded fields are refused, whatever the configuration (RFC 9112, 5.2)"
PROXIED = "a PROXY header is read before HTTP, on addresses with `proxies` (see the tests of the channel)"
USERINFO = "user and password in a target are refused (RFC 9110, 4.2.4)"
TUNNEL = "CONNECT is for proxies"

REFUSED = {
    **dict.fromkeys(("005",), (400, FRAGMENT)),
    **dict.fromkeys(("013",), (400, EXTENSION)),
    **dict.fromkeys(("025", "025_line", "029", "030"), (501, CODING)),
    **dict.fromkeys(("rfc9112_smuggle_gzip_chunked_01", "rfc9112_smuggle_te_identity_chunked_01"), (501, CODING)),
    **dict.fromkeys(("028",), (400, SPACES)),
    **dict.fromkeys(("031", "031compat", "031compat2"), (501, METHOD)),
    **dict.fromkeys(("099",), (400, CUT)),
    **dict.fromkeys(("compat_obs_fold", "compat_obs_fold_huge"), (400, FOLDED)),
    **dict.fromkeys(("pp_01", "pp_02"), (501, PROXIED)),
    **dict.fromkeys(("pp_04", "pp_05"), (400, PROXIED)),
    **dict.fromkeys(("rfc9112_target_absolute_userinfo_01",), (400, USERINFO)),
    **dict.fromkeys(("rfc9112_target_authority_connect_01", "rfc9112_target_authority_ipv6_01"), (501, TUNNEL)),
}
"""What gunicorn serves and we do not: how we answer, and why."""

LIMIT = "our limits are larger, and on the whole head: 8 KiB of target, 64 KiB of head, 100 fields"
UNDERSCORE = "fields with `_` are passed on as they are: ASGI and plugins see names as sent, nothing folds `_` and `-`"
SCHEME = "contradicting fields about the scheme mean nothing unless somebody trusts them"
REPEATED = "a repeated Content-Type is the application's to judge: it does not change where the message ends"
BLANK = "any number of empty lines before a request is skipped"

SERVED = {
    **dict.fromkeys(("006", "007", "008", "010", "011", "012", "017", "limit_header_default_01"), LIMIT),
    **dict.fromkeys(("040", "chunked_07"), UNDERSCORE),
    **dict.fromkeys(("019",), SCHEME),
    **dict.fromkeys(("041",), REPEATED),
    **dict.fromkeys(("rfc9112_leading_crlf_02",), BLANK),
}
"""What gunicorn refuses and we serve, and why."""

READ_OTHERWISE = {"040": UNDERSCORE}
"""What both serve, with other fields."""

ENDED = frozenset({"001", "pp_01", "pp_02", "pp_03"})
"""No head at all: the client leaves before there is anything to answer."""

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass
class Reading:
    """What became of a case: the requests that were read whole, and the statuses of all answers."""

    requests: list[tuple[str, str, list[tuple[str, str]], bytes]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    closed: bool = False

    async def answer(self, exchange: Exchange) -> None:
        request = exchange.request
        body = await request.body()
        query = f"?{request.query.decode()}" if request.query else ""
        fields = [(name.decode().upper(), value.decode("latin-1")) for name, value in request.headers.raw]
        self.requests.append((request.method, request.raw_path.decode() + query, fields, body))
        exchange.start(200, [])
        exchange.end()


async def read(raw: bytes, *, shut: bool) -> Reading:
    """Send `raw`; the client then shuts its write side, or waits."""
    reading = Reading()
    memory = MemoryConnection(FakeDispatcher(reading.answer))
    memory.feed(raw)
    await memory.settle()
    reading.closed = memory.transport.closed
    if shut:
        memory.connection.eof_received()
        await memory.settle()
    reading.statuses = [int(each) for each in STATUS.findall(memory.transport.written)]
    assert not memory.dispatcher.faults
    return reading


def expected(case: Case) -> list[tuple[str, str, list[tuple[str, str]], bytes]]:
    """What gunicorn reads, as our connections say it; of some cases it says what comes first, and then an error."""
    read = [each for each in case.expected if isinstance(each, dict)]
    return [(each["method"], target(each["uri"]), _fields(each["headers"]), each["body"] or b"") for each in read]


def target(uri: str) -> str:
    """An absolute-form without scheme and host, which goes into the Host field."""
    return re.sub(r"^https?://[^/]*", "", uri)


def _fields(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name.upper(), value) for name, value in fields if name.upper() != "HOST"]


def without_host(reading: Reading) -> list[tuple[str, str, list[tuple[str, str]], bytes]]:
    return [(method, path, _fields(fields), body) for method, path, fields, body in reading.requests]


def corpus(kind: str) -> list[Case]:
    found = cases(kind)
    assert len(found) > 50, "the corpus is not where it was"
    return found


async def test_what_is_valid_is_read_alike() -> None:
    wrong: dict[str, object] = {}
    for case in corpus("valid"):
        reading = await read(case.with_host, shut=True)
        if case.name in REFUSED:
            status, _ = REFUSED[case.name]
            right = reading.statuses == [status] and not reading.requests
        else:
            right = (without_host(reading) == expected(case)) is (case.name not in READ_OTHERWISE)
        if not right:
            wrong[case.name] = (reading, expected(case))
    assert wrong == {}


async def test_what_is_invalid_is_refused_and_the_connection_closed() -> None:
    wrong: dict[str, object] = {}
    for case in corpus("invalid"):
        reading = await read(case.with_host, shut=case.name in ENDED | {"rfc9112_chunked_missing_final_crlf_01"})
        if case.name in SERVED:
            right = reading.statuses[:1] == [200]
        elif case.name in ENDED:
            right = not reading.statuses and not reading.requests
        else:
            right = len(reading.statuses) == 1 and reading.statuses[0] >= 400 and not reading.requests
        if not right:
            wrong[case.name] = (case.raw[:200], reading)
    assert wrong == {}


async def test_http_1_1_without_host_is_refused() -> None:
    read_otherwise = [case for case in corpus("valid") if case.name not in REFUSED]
    hostless = [case for case in read_otherwise if HOSTLESS.match(case.raw, case.raw.find(b"\r\n") + 2)]
    assert hostless
    for case in hostless:
        reading = await read(case.raw, shut=False)
        assert (reading.statuses, reading.closed, reading.requests) == ([400], True, []), case.name
