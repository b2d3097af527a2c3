"""A client that speaks HTTP/2 with the library's own state machine, and anything else that it is told to."""

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from tests.waits import until

GOAWAY = 7
Fields = Iterable[tuple[str, str]]


@dataclass
class Answer:
    """What came of one stream.

    Attributes:
        status: Of the response; 0 before its head.
        informed: Statuses of interim responses.
        fields: Of its head.
        body: As far as it has come.
        trailers: Fields behind it.
        frames: Sizes of the pieces in which it came.
        ended: Whether it is complete.
        reset: With what code it was broken off; None if it was not.
        refused: Whether the server said that it will never be served: it may be asked again.
    """

    status: int = 0
    informed: list[int] = field(default_factory=list)
    fields: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[str, str] = field(default_factory=dict)
    frames: list[int] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None
    refused: bool = False

    @property
    def cut(self) -> bool:
        return self.reset is not None or self.refused

    @property
    def over(self) -> bool:
        return self.ended or self.cut


class Http2Client:
    """A connection, read in the background.

    Attributes:
        engine: The state machine.
        answers: By number of the stream.
        goaways: Last stream and error code of each GOAWAY, with the words that came along.
        order: Streams in the order in which pieces of bodies came.
        pongs: What came back.
        taking: Whether windows are opened again.
        closed: Whether the connection has ended.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, window: int | None = None) -> None:
        self.engine = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.engine.config.validate_outbound_headers = False
        self.engine.config.normalize_outbound_headers = False
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int, bytes]] = []
        self.order: list[int] = []
        self.pongs: list[bytes] = []
        self.taking = True
        self.closed = False
        self.writer = writer
        self._reader = reader
        self._raw = b""
        if window is not None:
            self.engine.local_settings.initial_window_size = window
            self.engine.local_settings.acknowledge()
        self.engine.initiate_connection()
        self.flush()
        self._reading = asyncio.ensure_future(self._read())

    @classmethod
    async def connect(
        cls, host: str, port: int, tls: ssl.SSLContext | None = None, name: str = "shop.example", **more: Any
    ) -> "Http2Client":
        """Open a connection."""
        secured: dict[str, Any] = {} if tls is None else {"ssl": tls, "server_hostname": name}
        return cls(*await asyncio.open_connection(host, port, **secured), **more)

    def flush(self) -> None:
        """Send what the state machine has to say."""
        data = self.engine.data_to_send()
        if data and not self.closed:
            self.writer.write(data)

    def send(self, data: bytes) -> None:
        """Send anything at all."""
        self.flush()
        self.writer.write(data)

    def ask(
        self, path: str = "/", method: str = "GET", fields: Fields = (), *, more: bool = False, authority: str = "test"
    ) -> int:
        """Send a request's head; `more` when a body follows."""
        head = [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path), *fields]
        return self.ask_raw(head, more=more)

    def ask_raw(self, head: Fields, *, more: bool = False) -> int:
        """Send a request's head, whatever it is."""
        number = self.engine.get_next_available_stream_id()
        self.answers[number] = Answer()
        self.engine.send_headers(number, list(head), end_stream=not more)
        self.flush()
        return number

    async def give(self, number: int, body: bytes, *, last: bool = True) -> None:
        """Send a body, as the server lets it."""
        while body:
            await until(lambda: self.answers[number].cut or self.engine.local_flow_control_window(number) > 0)
            if self.answers[number].cut:
                return
            room = min(self.engine.local_flow_control_window(number), self.engine.max_outbound_frame_size)
            self.engine.send_data(number, body[:room])
            body = body[room:]
            self.flush()
        if last:
            self.engine.end_stream(number)
            self.flush()

    async def answer(self, number: int) -> Answer:
        """What came of a stream, once that is known."""
        await until(lambda: self.answers[number].over or self.closed, f"the answer on stream {number}")
        return self.answers[number]

    async def get(self, path: str = "/", fields: Fields = ()) -> Answer:
        return await self.answer(self.ask(path, fields=fields))

    async def post(self, path: str, body: bytes, fields: Fields = ()) -> Answer:
        number = self.ask(path, "POST", fields, more=True)
        await self.give(number, body)
        return await self.answer(number)

    def give_up(self, number: int, code: int = 8) -> None:
        """Reset a stream."""
        self.engine.reset_stream(number, code)
        self.flush()

    async def close(self) -> None:
        self._reading.cancel()
        self.writer.close()
        with suppress(ConnectionError, TimeoutError, ssl.SSLError):
            await asyncio.wait_for(self.writer.wait_closed(), 3)

    async def _read(self) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while data := await self._reader.read(65536):
                self._raw += data
                self._go_on()
        self.closed = True

    def _go_on(self) -> None:
        while len(self._raw) >= 9:
            size = 9 + int.from_bytes(self._raw[:3], "big")
            if len(self._raw) < size:
                return
            frame, self._raw = self._raw[:size], self._raw[size:]
            if frame[3] == GOAWAY:
                self._part(frame[9:])
                continue
            try:
                events = self.engine.receive_data(frame)
            except ProtocolError:
                self.closed = True
                raise
            for event in events:
                self._on(event)
            self.flush()

    def _part(self, payload: bytes) -> None:
        """The state machine would end streams under way, so it does not hear of it."""
        last, code = int.from_bytes(payload[:4], "big"), int.from_bytes(payload[4:8], "big")
        self.goaways.append((last, code, payload[8:]))
        for number, answer in self.answers.items():
            answer.refused = answer.refused or number > last

    def _on(self, event: Event) -> None:
        if isinstance(event, PingAckReceived):
            self.pongs.append(bytes(event.ping_data or b""))
        number = getattr(event, "stream_id", None)
        if not number or number not in self.answers:
            return
        answer = self.answers[number]
        if isinstance(event, ResponseReceived):
            answer.fields = {str(name): str(value) for name, value in event.headers or ()}
            answer.status = int(answer.fields.pop(":status"))
        elif isinstance(event, TrailersReceived):
            answer.trailers = {str(name): str(value) for name, value in event.headers or ()}
        elif isinstance(event, InformationalResponseReceived):
            answer.informed += [int(value) for name, value in event.headers or () if str(name) == ":status"]
        elif isinstance(event, DataReceived):
            answer.body += event.data or b""
            answer.frames.append(len(event.data or b""))
            self.order.append(number)
            if self.taking and event.flow_controlled_length:
                self.engine.acknowledge_received_data(event.flow_controlled_length, number)
        elif isinstance(event, StreamEnded):
            answer.ended = True
        elif isinstance(event, StreamReset):
            answer.reset = int(event.error_code or 0)
            answer.refused = answer.reset == 7
