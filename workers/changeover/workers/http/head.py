"""A request's head: from raw bytes to facts, in one step.

httptools parses and is strict about syntax; what it leaves open is closed here and in `fields` and
`target`: sizes and counts, versions, Host, codings. Pure: bytes in, `Head` or `BadMessage` out.
"""

import re

import httptools

from changeover.workers.channel.limits import Limits
from changeover.workers.http.faults import BadMessage, PriorKnowledge
from changeover.workers.http.fields import Expectation, RawFields, judge, tokens
from changeover.workers.http.target import split_target
from changeover.workers.serving.request_head import RequestHead

LINE = b"\r\n"
END = b"\r\n\r\n"
CR = 13
PREFACE = b"PRI * HTTP/2.0\r\n\r\n"
"""What a client begins with that knows of HTTP/2 here; it looks like a head of HTTP/1.1, and is none."""
LINE_EXTRA = 32
"""Bytes of a request line beside its target: the longest method that httptools knows, version, spaces."""

KNOWN_SIZE = 1024
"""Longest head that is remembered."""
KNOWN_HEADS = 256
"""Most heads that are remembered."""

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
BLANK_LF = re.compile(rb"\n\n|(?<!\r)\n\r\n")
VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}


class Head(RequestHead, frozen=True):
    """A complete request head, and what it says of its connection.

    See `RequestHead` for what it asks.

    Attributes:
        persistent: Whether the client wants the connection to stay open.
        length: Bytes of the body, 0 for none, or `CHUNKED`.
        expectation: What the client waits for.
        websocket: Whether the connection is to go on as a WebSocket.
        plain: Whether an answer needs to say nothing of the connection, and may have a body: what most requests allow.
        held: Bytes of a body that may be held if they are there already; 0 where it is decoded, or asked for, or none.
    """

    persistent: bool
    length: int
    expectation: Expectation
    websocket: bool = False
    plain: bool = False
    held: int = 0

    @property
    def takes_trailers(self) -> bool:
        """Whether the client said that it takes fields behind a body."""
        return b"trailers" in tokens([value for name, value in self.fields if name == b"te"])


class HeadParser:
    """Parses complete heads, one after the other, for any number of connections.

    A client that keeps asking the same sends the same head, byte for byte; short ones
    are remembered until `forget`, which somebody should call every second or so.

    Args:
        limits: Bounds on a head.

    Attributes:
        known: The heads that are remembered, by their bytes, of which there are no more than `KNOWN_SIZE`.
    """

    __slots__ = ("_complete", "_fields", "_limits", "_parser", "_target", "known")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.known: dict[bytes, Head] = {}
        self._parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        """Called by httptools."""
        self._target = url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._fields.append((name.lower(), value))

    def on_message_complete(self) -> None:
        """Called by httptools: the message has no body."""
        self._complete = True

    def parse(self, raw: bytes) -> Head:
        """Parse one head.

        Args:
            raw: From its first byte to the empty line that ends it, inclusive.

        Raises:
            BadMessage: It cannot be served.
        """
        known = self.known.get(raw)
        if known is not None:
            return known
        try:
            head, upgrade = self._parse(raw)
        except BadMessage as error:
            error.bodiless = raw.startswith(b"HEAD ")
            self._renew()
            raise
        if upgrade or head.length or not head.persistent:
            self._renew()
        if not upgrade and len(raw) <= KNOWN_SIZE and len(self.known) < KNOWN_HEADS:
            self.known[raw] = head
        return head

    def parse_alone(self, raw: bytes) -> Head | None:
        """Parse what was read, if it is one complete head and nothing else.

        Raises:
            BadMessage: It cannot be served.
        """
        return self.parse(raw) if 0 < raw.find(END) == len(raw) - len(END) and raw[0] != CR else None

    def parse_whole(self, data: bytes) -> tuple[Head, bytes, bytes] | None:
        """Parse what was read, if it is a short head, all of a body that may be held, and nothing else.

        Returns:
            The head, its bytes, and the body.

        Raises:
            BadMessage: It cannot be served.
        """
        size = data.find(END, 0, KNOWN_SIZE) + len(END)
        if size <= len(END) or data[0] == CR:
            return None
        raw = data[:size]
        try:
            head = self.parse(raw)
        except PriorKnowledge:
            return None
        return (head, raw, data[size:]) if len(data) - size == head.held else None

    def forget(self) -> None:
        """Forget the heads that were seen."""
        self.known.clear()

    def _renew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    def _parse(self, raw: bytes) -> tuple[Head, bool]:
        self._target, self._complete = b"", False
        self._fields: RawFields = []
        line = raw[: raw.find(LINE)]
        check_size(len(raw), len(line), self._limits)
        upgrade = False
        try:
            self._parser.feed_data(raw)
        except httptools.HttpParserUpgrade:
            upgrade = True
        except httptools.HttpParserError as error:
            raise _fault(line, error) from None
        if b" \r\n" in raw or b"\t" in raw:  # the parser leaves what is no part of a value at its end
            self._fields = [(name, value.strip(b" \t")) for name, value in self._fields]
        head = self._judged(line, upgrade=upgrade)
        if self._complete == (head.length != 0) and not upgrade:
            raise BadMessage(400, "the fields contradict each other about the body")
        return head, upgrade

    def _judged(self, line: bytes, *, upgrade: bool) -> Head:
        fields = self._fields
        version = VERSIONS.get(line[-8:])
        if version is None and line == PREFACE[:-4]:
            raise PriorKnowledge
        if version is None:
            raise BadMessage(505 if line[-8:-3] == b"HTTP/" else 400, "HTTP/1.1 and HTTP/1.0 are served")
        if len(fields) > self._limits.fields:
            raise BadMessage(431, f"the request has more than {self._limits.fields} header fields")
        facts = judge(fields, version, self._limits.body)
        named = TOKEN.match(line)
        if named is None:  # the parser passes over line feeds before it
            raise BadMessage(400, "the request line begins with no method")
        method = named[0].decode("ascii")
        if len(line) != len(method) + len(self._target) + 10:
            raise BadMessage(400, "the request line has more than two spaces")
        target = split_target(method, self._target)
        if target.authority is not None:
            fields = [(key, target.authority if key == b"host" else value) for key, value in fields]
        websocket = upgrade and method == "GET" and version == "1.1" and not facts.length and _wants_websocket(fields)
        kept = tuple(fields)
        plain = version == "1.1" and facts.persistent and method != "HEAD"
        told = (facts.persistent, facts.length, facts.expectation)
        held = facts.length if facts.length > 0 and facts.expectation is Expectation.NONE else 0
        return Head(method, target, kept, version, *told, websocket=websocket, plain=plain, held=held)


def check_size(size: int, line: int, limits: Limits) -> None:
    """Hold a head, or what has come of it, to the limits.

    Args:
        size: Bytes of the head.
        line: Bytes of its request line.
        limits: Bounds on a head.

    Raises:
        BadMessage: It is too long.
    """
    if line > limits.url + LINE_EXTRA:
        raise BadMessage(414, f"the request target is longer than {limits.url} bytes")
    if size > min(limits.head, limits.unread):
        raise BadMessage(431, f"the request head is longer than {limits.head} bytes")


def check_beginning(raw: bytearray, start: int, limits: Limits) -> None:
    """Refuse an incomplete head that cannot become a valid one, instead of waiting for its end.

    Args:
        raw: What has come of it.
        start: Everything before this offset was checked already.
        limits: Bounds on a head.

    Raises:
        BadMessage: Waiting is of no use.
    """
    if TOKEN.match(raw[:1]) is None and raw != b"\r":
        raise BadMessage(400, "this is no HTTP/1.1 request")
    end = raw.find(LINE)
    full = min(limits.head, limits.unread)
    check_size(len(raw) + (len(raw) >= full), len(raw) if end < 0 else end, limits)
    if BLANK_LF.search(raw, max(0, start - 3)):
        raise BadMessage(400, "lines end with CR LF")


def _wants_websocket(fields: RawFields) -> bool:
    return tokens([value for name, value in fields if name == b"upgrade"]) == {b"websocket"}


def _fault(line: bytes, error: httptools.HttpParserError) -> BadMessage:
    if isinstance(error, httptools.HttpParserInvalidMethodError) and TOKEN.fullmatch(line.partition(b" ")[0]):
        return BadMessage(501, "this method is not served")
    if "HTTP version" in str(error):
        return BadMessage(505, "HTTP/1.1 and HTTP/1.0 are served")
    return BadMessage(400, str(error) or "this is no HTTP/1.1 request")
