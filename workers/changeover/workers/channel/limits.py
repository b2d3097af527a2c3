"""What a client may send, and how long it may take."""

import msgspec

from changeover.workers.protocol.document import Bytes

KIB = 1024


class Limits(msgspec.Struct, frozen=True):
    """Bounds on one connection and one request; sizes in bytes, times in seconds.

    Attributes:
        url: Longest request target; 414 beyond.
        head: Longest request head, all fields together; 431 beyond. At most 64 KiB: an unread head must fit one
            handover message.
        fields: Most header fields; 431 beyond.
        body: Longest request body, 0 = unlimited; 413 beyond.
        head_timeout: From the first byte of a head to its last; 408 beyond.
        body_timeout: Between two pieces of a body; 408 beyond.
        keep_alive: An idle connection is closed after this.
        first_byte: An accepted connection that has said nothing yet is closed after this.
        write_timeout: A client that takes nothing of a response for this long is cut off.
        held: A request that may not be dispatched for this long is answered with 503.
        half_closed: A client that shut its write side is reported as gone after this, while nothing is written to
            it; it still gets its answer, but for a stream that pauses for as long: that is over then.
        linger: After an answer that ends the connection, what the client still sends is read and dropped for this
            long, so that a reset does not destroy the answer.
        unread: Reading pauses at this many unread bytes.
        message: Longest message of a WebSocket, decompressed; closed with 1009 beyond.
        messages: A WebSocket reads no further at this many messages that the application has not taken.
        deflate: Whether messages of WebSockets are compressed where the client can.
        ping_interval: A WebSocket that is silent for this long is asked by a ping whether the client is there; 0 =
            never.
        ping_timeout: A WebSocket whose client answers no ping for this long is closed; 0 = never.
        close_timeout: From our closing frame to the client's; the connection is cut beyond.
        streams: Most requests at a time on one HTTP/2 connection; one more is refused, and asked again.
    """

    url: Bytes = 8 * KIB
    head: Bytes = 64 * KIB
    fields: int = 100
    body: Bytes = 0
    head_timeout: float = 30.0
    body_timeout: float = 30.0
    keep_alive: float = 75.0
    first_byte: float = 75.0
    write_timeout: float = 60.0
    held: float = 30.0
    half_closed: float = 0.5
    linger: float = 2.0
    unread: Bytes = 64 * KIB
    message: Bytes = 16 * KIB * KIB
    messages: int = 32
    deflate: bool = True
    ping_interval: float = 20.0
    ping_timeout: float = 20.0
    close_timeout: float = 10.0
    streams: int = 100
