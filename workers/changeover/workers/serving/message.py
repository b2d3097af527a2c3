"""Requests and responses as handlers and services see them.

Public: re-exported by `changeover.plugin`.
"""

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from typing import Any, NoReturn, TypeVar

import msgspec

from changeover.workers.errors import ChangeoverError
from changeover.workers.serving.body_pieces import at_once, nothing, timed, watched
from changeover.workers.serving.files import CONDITIONS, represent
from changeover.workers.serving.waiting import Waiting

T = TypeVar("T")
Body = bytes | AsyncIterator[bytes]

SMALL = 1024
"""Up to this size pieces of a body are put together: two bytes would cost forty otherwise."""

KNOWN_NAMES = 1024
"""Names of fields that were found fit and are remembered."""
LONGEST_KNOWN = 128
"""Characters of the longest of them: clients may make names up, and handlers repeat them."""

TO_GIVE = 'give Headers([(b"name", b"value")]), or set response.headers["name"] = "value"'
"""What to do where header fields were given in another form."""


class Headers(MutableMapping[str, str]):
    """Header fields in order; names compare without case, repeated fields are kept apart in `raw`.

    Args:
        raw: Pairs of lower-case name and value, latin-1. Kept, not copied.

    Raises:
        TypeError: They are no list; it says what to give.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: list[tuple[bytes, bytes]] | None = None) -> None:
        self.raw: list[tuple[bytes, bytes]] = [] if raw is None else raw if type(raw) is list else _listed(raw)

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode("latin-1")
        for key, value in self.raw:
            if key == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        key, encoded = _field(name, value)
        for index, (existing, _) in enumerate(self.raw):
            if existing == key:
                self.raw[index] = (key, encoded)
                self.raw[index + 1 :] = [pair for pair in self.raw[index + 1 :] if pair[0] != key]
                return
        self.raw.append((key, encoded))

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        wanted = name.lower().encode("latin-1")
        self.raw[:] = [pair for pair in self.raw if pair[0] != wanted]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key.decode("latin-1") for key, _ in self.raw))

    def __len__(self) -> int:
        return len({key for key, _ in self.raw})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key == name.lower().encode("latin-1") for key, _ in self.raw)

    def all(self, name: str) -> list[str]:
        """Every value of a field that may be repeated."""
        wanted = name.lower().encode("latin-1")
        return [value.decode("latin-1") for key, value in self.raw if key == wanted]

    def add(self, name: str, value: str) -> None:
        """Add a field beside others of the same name (`set-cookie`).

        Raises:
            ValueError: Name or value would break the response's framing.
        """
        self.raw.append(_field(name, value))

    def __repr__(self) -> str:
        return f"Headers({self.raw!r})"


_UNFIT = re.compile("[\r\n\0: ]|^$")
_BREAKING = re.compile("[\r\n\0]")
_keys: dict[str, bytes] = {}
"""Names that were found fit, and what they are in `Headers.raw`."""


def _field(name: str, value: str) -> tuple[bytes, bytes]:
    key = _keys.get(name)
    if (key is None and _UNFIT.search(name)) or (not _is_printable(value) and _BREAKING.search(value)):
        raise ValueError(f"{name!r}: {value!r} is no header field: a line break, NUL, or a colon or space in the name")
    return key or _learn(name), value.encode("latin-1")


def _is_printable(value: str) -> bool:
    """Whether it is text that certainly breaks nothing: told in a fraction of what a regular expression takes."""
    return type(value) is str and value.isprintable()


def _learn(name: str) -> bytes:
    key = name.lower().encode("latin-1")
    if len(name) <= LONGEST_KNOWN:
        if len(_keys) >= KNOWN_NAMES:
            _keys.clear()
        _keys[name] = key
    return key


def _listed(given: object) -> list[Any]:
    if isinstance(given, list):
        return given
    raise TypeError(f"headers are given as a {type(given).__name__}; {TO_GIVE}")


def given_headers(given: object) -> Headers:
    """The same, where they are header fields.

    Raises:
        TypeError: They are none; it says what to give.
    """
    if isinstance(given, Headers):
        return given
    raise TypeError(f"headers are given as a {type(given).__name__}; {TO_GIVE}")


class BodyTooLarge(ChangeoverError):
    """The request body is longer than the reader allowed; answered with 413.

    Attributes:
        limit: The bytes that were allowed.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(f"the request body is longer than {limit} bytes")


class BodyInvalid(ChangeoverError, msgspec.ValidationError):
    """The request body is not the JSON that the reader asked for; answered with 400.

    It is a `msgspec.ValidationError` (and `DecodeError`) too, so either name catches it.
    """


class Request:
    """One request. Its body is read once, in pieces (`stream`) or whole (`body`, `json`).

    Attributes:
        method: Upper case.
        path: Percent-decoded, without the query and without `root_path`.
        root_path: The prefix of a mounted route; empty when the route is not mounted.
        raw_path: As it came, prefix included, without the query.
        query: As it came, without `?`.
        headers: Fields in order.
        http_version: `1.1` or `1.0`.
        scheme: `http` or `https`.
        client: Peer address and port; None on a Unix socket.
        server: Own address and port, or path and None on a Unix socket.
        held_body: The whole body when it is at hand: there is none, it came with the head and nobody has taken it, or
            `body` or `json` has read it; else None.
    """

    __slots__ = (
        "_receive",
        "_trailers",
        "client",
        "headers",
        "held_body",
        "http_version",
        "method",
        "path",
        "query",
        "raw_path",
        "root_path",
        "scheme",
        "server",
    )

    _trailers: list[tuple[bytes, bytes]]  # only requests that may have some have it

    def __init__(
        self,
        method: str,
        path: str,
        *,
        raw_path: bytes = b"",
        query: bytes = b"",
        headers: Headers | None = None,
        http_version: str = "1.1",
        scheme: str = "http",
        client: tuple[str, int] | None = None,
        server: tuple[str, int | None] | None = None,
        receive: Callable[[], Awaitable[bytes | None]] | None = None,
    ) -> None:
        self.method = method
        self.path = path
        self.root_path = ""
        self.raw_path = raw_path or path.encode()
        self.query = query
        self.headers = Headers() if headers is None else headers
        self.http_version = http_version
        self.scheme = scheme
        self.client = client
        self.server = server
        self.held_body: bytes | None = b"" if receive is None else None
        self._receive = receive

    @property
    def trailers(self) -> Headers:
        """Fields that the client sent behind a chunked body: there once the body was read to its end, empty before."""
        return Headers(getattr(self, "_trailers", []))

    def expect_trailers(self, fields: list[tuple[bytes, bytes]]) -> None:
        """Say where the fields behind the body will be found: for who reads it off a connection."""
        self._trailers = fields

    async def stream(self) -> AsyncIterator[bytes]:
        """The body in the pieces in which it arrives.

        Raises:
            Disconnected: The client went away before the end of the body.
        """
        if self.held_body is not None and self._receive is not None:  # it was read
            if self.held_body:
                yield self.held_body
            return
        while (piece := await self.receive()) is not None:
            if piece:
                yield piece

    async def receive(self) -> bytes | None:
        """The next piece of the body as the client sends it, or None at its end.

        Raises:
            Disconnected: The client went away before the end of the body.
        """
        if self._receive is not None:
            return await self._receive()
        return self.take_held() or None

    def take_held(self) -> bytes | None:
        """The whole body if it is at hand; one that came with the head is kept no longer, as none is that is read."""
        body = self.held_body
        if body and self._receive is None:
            self.held_body = None
        return body

    def watch_body(self, see: Callable[[bytes], None]) -> None:
        """Have `see` called with each piece of the body before whoever reads it; what it raises, they get."""
        if self._receive is None and (body := self.take_held()):
            self._receive = at_once(body)
        if self._receive is not None:
            self._receive = watched(self._receive, see)

    def time_body(self, waiting: Waiting) -> None:
        """Have noted in `waiting` who waits for a piece of the body, and when one comes."""
        inner = self._receive
        if inner is not None:
            self._receive = timed(inner, waiting)

    async def body(self, limit: int = 16 * 1024 * 1024) -> bytes:
        """The whole body.

        Args:
            limit: Most bytes to hold.

        Raises:
            BodyTooLarge: The body is longer than `limit`; answered with 413. So is every later attempt to read it.
        """
        if self.held_body is None:
            pieces: list[bytes] = []
            size = 0
            async for piece in self.stream():
                size += len(piece)
                if size > limit:
                    self._refuse(limit)
                if pieces and len(piece) + len(pieces[-1]) <= SMALL:
                    pieces[-1] += piece
                else:
                    pieces.append(piece)
            self.held_body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        elif self._receive is None:
            if len(self.held_body) > limit:
                self._refuse(limit)
            self._receive = nothing
        return self.held_body

    def _refuse(self, limit: int) -> NoReturn:
        """Let the rest of the body, and what was dropped of it, pass for the whole never."""
        self._receive, self.held_body = _refused(limit), None
        raise BodyTooLarge(limit)

    async def json(self, type: type[T] = Any, limit: int = 16 * 1024 * 1024) -> T:  # type: ignore[assignment]
        """The body as JSON, checked against `type`.

        Raises:
            BodyInvalid: It is not JSON, or not a `type`; answered with 400.
        """
        body = await self.body(limit)
        try:
            return msgspec.json.decode(body, type=type)
        except msgspec.DecodeError as error:
            raise BodyInvalid(str(error)) from error


def _refused(limit: int) -> Callable[[], Awaitable[bytes | None]]:
    """What a body is read through whose beginning was dropped: the rest must not pass for the whole."""

    async def receive() -> bytes | None:
        raise BodyTooLarge(limit)

    return receive


class Response:
    """An answer: status, headers, and a body of bytes or an asynchronous iterator of bytes.

    A body that comes in pieces may be followed by `trailers`, which can be set until its last piece.
    """

    __slots__ = ("_trailers", "body", "headers", "status")

    _trailers: Headers

    def __init__(self, body: Body = b"", status: int = 200, headers: Headers | None = None) -> None:
        self.body = body
        self.status = status
        self.headers = Headers() if headers is None else headers if type(headers) is Headers else given_headers(headers)

    @property
    def trailers(self) -> Headers:
        """Fields behind the body: sent to clients that ask for them (`TE: trailers`), dropped for all others."""
        try:
            return self._trailers
        except AttributeError:  # most have none, and do not pay for it
            self._trailers = Headers()
            return self._trailers

    @classmethod
    def file(cls, path: str | os.PathLike[str], request: "Request | None" = None) -> "Response":
        """A file, read in pieces as the client takes them; as much of it as `request` asks for.

        Args:
            path: Of a regular file.
            request: Whose Range, If-Range, If-None-Match and If-Modified-Since are heeded; None to send all of it.

        Raises:
            OSError: It is none, or cannot be read.
        """
        fields = {} if request is None else {name: request.headers.get(name, "") for name in CONDITIONS}
        found = represent(os.fspath(path), "" if request is None else request.method, fields)
        headers = Headers([(name.encode(), value.encode("latin-1")) for name, value in found.fields])
        return cls(b"" if found.piece is None else found.piece.stream(), found.status, headers)

    @classmethod
    def text(cls, text: str, status: int = 200) -> "Response":
        """Plain text, UTF-8."""
        return cls(text.encode(), status, Headers([(b"content-type", b"text/plain; charset=utf-8")]))

    @classmethod
    def html(cls, html: str, status: int = 200) -> "Response":
        """HTML, UTF-8."""
        return cls(html.encode(), status, Headers([(b"content-type", b"text/html; charset=utf-8")]))

    @classmethod
    def json(cls, value: object, status: int = 200) -> "Response":
        """JSON of anything that msgspec encodes."""
        return cls(msgspec.json.encode(value), status, Headers([(b"content-type", b"application/json")]))

    @classmethod
    def problem(cls, status: int, title: str, detail: str = "") -> "Response":
        """An error as `application/problem+json` (RFC 9457)."""
        body = {"status": status, "title": title} | ({"detail": detail} if detail else {})
        return cls(msgspec.json.encode(body), status, Headers([(b"content-type", b"application/problem+json")]))
