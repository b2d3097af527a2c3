"""What the standard library's own WSGI handler answers, and what we answer, is the same."""

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.handlers import SimpleHandler

from hypothesis import given, settings
from hypothesis import strategies as st

from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.wsgi import WsgiApplication, WsgiCallable
from tests.exchange import Served

Start = Callable[..., Callable[[bytes], object]]
Answer = tuple[int, list[tuple[str, str]], bytes]


class Oracle(SimpleHandler):
    """Answers without the fields of a server."""

    http_version = "1.1"
    origin_server = False


def by_the_standard_library(app: WsgiCallable, body: bytes) -> Answer:
    out = io.BytesIO()
    base = {"REQUEST_METHOD": "POST", "PATH_INFO": "/", "SERVER_PROTOCOL": "HTTP/1.1", "CONTENT_LENGTH": str(len(body))}
    handler = Oracle(io.BytesIO(body), out, io.StringIO(), base)
    handler.run(app)
    head, _, rest = out.getvalue().partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), fields(tuple(line.split(": ", 1)) for line in lines), rest


def fields(pairs: Iterable[tuple[str, ...]]) -> list[tuple[str, str]]:
    """Without Content-Length, which either side may add."""
    return sorted((name.lower(), value) for name, value in pairs if name.lower() != "content-length")


async def by_us(app: WsgiCallable, body: bytes) -> Answer:
    application = WsgiApplication("app", app)
    try:
        answer = await Served(Pipeline("shop", (), application)).post("/", body)
    finally:
        await application.close(5)
    ours = fields((name.decode(), value.decode("latin-1")) for name, value in answer.fields)
    return answer.status, ours, answer.body


class Script:
    """An application that does what was drawn: writes, pieces, a head that comes early, late or twice."""

    def __init__(self, status: str, headers: list[tuple[str, str]], writes: list[bytes], pieces: list[bytes], how: str):
        self.status, self.headers, self.writes, self.pieces, self.how = status, headers, writes, pieces, how

    def __call__(self, environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
        read = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        if self.how == "replaced":
            start_response("200 OK", [("X-Replaced", "yes")])
            try:
                raise LookupError
            except LookupError as error:
                write = start_response(self.status, self.headers, (type(error), error, error.__traceback__))
        elif self.how == "late":
            return self._late(start_response, read)
        else:
            write = start_response(self.status, self.headers)
        for piece in self.writes:
            write(piece)
        return [*self.pieces, read] if self.how == "list" else iter([*self.pieces, read])

    def _late(self, start_response: Start, read: bytes) -> Iterator[bytes]:
        start_response(self.status, self.headers)
        yield from [*self.pieces, read]


NAMES = st.sampled_from(["X-One", "x-two", "Set-Cookie", "ETag"])
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=255, exclude_categories=("Cc", "Zs")), min_size=1)
PIECES = st.lists(st.binary(max_size=40), max_size=4)
SCRIPTS = st.builds(
    Script,
    st.sampled_from(["200 OK", "201 Created", "404 Not Found", "503 No"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    PIECES,
    PIECES,
    st.sampled_from(["list", "iterator", "replaced", "late"]),
)


@settings(max_examples=150, deadline=None)
@given(script=SCRIPTS, body=st.binary(max_size=50))
async def test_both_answer_alike(script: Script, body: bytes) -> None:
    assert await by_us(script, body) == by_the_standard_library(script, body)


def raising(environ: dict[str, Any], start_response: Start) -> Iterable[bytes]:
    start_response("200 OK", [])
    raise RuntimeError("before the head")


async def test_both_answer_500_when_it_raises_before_its_head() -> None:
    assert (await by_us(raising, b""))[0] == by_the_standard_library(raising, b"")[0] == 500
