"""One connection's frames, headers and windows: the library's state machine, within bounds. Pure: bytes in, events out.

The library does not decide three things here. GOAWAY, said or heard, would end its state machine
with answers under way; so it neither writes nor sees one. Streams beyond those allowed are
refused one by one, where it would end the connection. And it does not judge fields (see `head`).
"""

import struct
from collections.abc import Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from changeover.workers.channel.limits import Limits
from changeover.workers.http2 import frames
from changeover.workers.http2.faults import Violation
from changeover.workers.http2.frames import Frames
from changeover.workers.http2.ledger import Ledger

WINDOW = 256 * 1024
"""Bytes of one body that a client may send before the application takes them."""
SHARED_WINDOW = 1024 * 1024
"""Bytes of all bodies of a connection together."""
PIECE = 16 * 1024
"""Most bytes of a body in one frame: after it the next stream has its turn."""
TABLE = 4096
"""Most bytes of fields of responses that are remembered for a client, whatever it would like."""
ENDLESS = 2**31 - 1
"""A stream's number that none is above."""
NO_ERROR, REFUSED_STREAM = 0x0, 0x7
PING = b"farewell"

_CONFIGURATION = H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class _Engine(H2Connection):
    MAX_CLOSED_STREAMS = 4096

    def let_go(self) -> None:
        """Hear nothing more: what hears holds this, and this holds it."""
        self._frame_dispatch_table.clear()


class Session:
    """What is said on a connection.

    Args:
        limits: Bounds on it.
        now: Seconds of some clock.

    Attributes:
        ledger: What the client may still ask for that gets it nothing.
        bid_farewell: Whether the client said GOAWAY: it opens no stream any more.
    """

    __slots__ = ("_engine", "_frames", "_said", "bid_farewell", "ledger")

    def __init__(self, limits: Limits, now: float) -> None:
        self.ledger = Ledger(now)
        self.bid_farewell = False
        self._frames = Frames(limits.head)
        self._said: list[bytes] = []
        self._engine = engine = _Engine(_CONFIGURATION)
        engine.local_settings = _settings(limits, limits.streams)
        engine.decoder.max_header_list_size = 2 * limits.head  # up to there it is answered, and not cut off
        engine.initiate_connection()
        engine.local_settings = _settings(limits, ENDLESS)
        engine.increment_flow_control_window(SHARED_WINDOW - engine.inbound_flow_control_window)

    @property
    def begun(self) -> bool:
        """Whether the client is in the middle of a frame, or of the fields of a message."""
        return self._frames.begun

    @property
    def last(self) -> int:
        """Number of the last stream that the client has opened."""
        return self._engine.highest_inbound_stream_id

    def add(self, data: bytes) -> None:
        """Append what the client sent."""
        self._frames.add(data)

    def receive(self, now: float) -> Sequence[Event] | None:
        """What the client's next frame says, to be dealt with before the one behind it; None while none is complete.

        Raises:
            Violation: The connection cannot go on.
        """
        frame = self._frames.take()
        if frame is None:
            return None
        self.ledger.charge(frame, now)
        if frame.kind == frames.GOAWAY:
            self.bid_farewell = True
            return ()
        try:
            events = self._engine.receive_data(frame.raw)
        except ProtocolError as error:
            raise Violation(int(error.error_code), str(error), said=True) from None
        if self._engine.encoder.header_table_size > TABLE:
            self._engine.encoder.header_table_size = TABLE
        return events

    def start(self, number: int, fields: Sequence[tuple[bytes, bytes]], *, last: bool) -> None:
        """Say a response's head; `last` when there is nothing behind it."""
        self._engine.send_headers(number, fields, end_stream=last)

    @property
    def is_stopped(self) -> bool:
        """Whether the client lets no byte of any body come."""
        return self._engine.outbound_flow_control_window <= 0

    def room(self, number: int) -> int:
        """Most bytes of a body that the next frame of a stream can carry now."""
        window = self._engine.local_flow_control_window(number)
        return max(0, min(window, self._engine.max_outbound_frame_size, PIECE))

    def write(self, number: int, data: bytes, *, last: bool) -> None:
        """Say a piece of a body; `last` when there is nothing behind it."""
        self._engine.send_data(number, data, end_stream=last)
        self.ledger.earn()

    def acknowledge(self, number: int, size: int) -> None:
        """Let the client send as many bytes again."""
        self._engine.acknowledge_received_data(size, number)

    def reset(self, number: int, code: int) -> None:
        """End a stream at once."""
        self._engine.reset_stream(number, code)

    def part(self, last: int, code: int = NO_ERROR, fact: str = "") -> None:
        """Say GOAWAY: no stream above `last` is or will be served."""
        debug = fact.encode("ascii", "replace")
        payload = struct.pack("!II", last, code) + debug
        self._collect()
        self._said.append(len(payload).to_bytes(3, "big") + bytes((frames.GOAWAY, 0, 0, 0, 0, 0)) + payload)

    def ping(self) -> None:
        """Ask for a sign that everything said until now has arrived."""
        self._engine.ping(PING)

    def take(self) -> list[bytes]:
        """What is to be sent, in order, once."""
        self._collect()
        said, self._said = self._said, []
        return said

    def close(self) -> None:
        """The connection is gone."""
        self._engine.let_go()

    def _collect(self) -> None:
        data = self._engine.data_to_send()
        if data:
            self._said.append(data)


def _settings(limits: Limits, streams: int) -> Settings:
    return Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: streams,
            SettingCodes.INITIAL_WINDOW_SIZE: WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: limits.head,
        },
    )
