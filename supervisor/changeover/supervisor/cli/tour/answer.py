"""One response, read by the library that workers read requests with."""

import asyncio

import httptools

PIECE = 65536
"""Most bytes that are read at once."""


class NoResponse(Exception):
    """What came is no response of HTTP/1.1."""


class Answer:
    """Takes the bytes of one response.

    Attributes:
        status: Its status, 0 before its head is complete.
        fields: Its fields, names in lower case.
        body: Its body, without chunks' frames.
        complete: Whether all of it has come.
    """

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._reason = b""
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.body = bytearray()
        self.complete = False

    @property
    def line(self) -> str:
        """Its first line, for people."""
        return f"HTTP/1.1 {self.status} {self._reason.decode('latin-1')}".rstrip()

    def feed(self, piece: bytes) -> None:
        """Take what came next.

        Raises:
            NoResponse: It cannot be read.
        """
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserError as error:
            raise NoResponse(f"no response of HTTP/1.1: {error}") from error

    def on_status(self, reason: bytes) -> None:
        """httptools' protocol."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools' protocol."""
        self.fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        """httptools' protocol."""
        self.status = self._parser.get_status_code()

    def on_body(self, piece: bytes) -> None:
        """httptools' protocol."""
        self.body += piece

    def on_message_complete(self) -> None:
        """httptools' protocol."""
        self.complete = True


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Read one whole response; the caller sets the deadline.

    Raises:
        IncompleteReadError: The connection ended first.
        NoResponse: What came is none.
    """
    answer = Answer()
    while not answer.complete:
        piece = await reader.read(PIECE)
        if not piece:
            raise asyncio.IncompleteReadError(bytes(answer.body), None)
        answer.feed(piece)
    return answer
