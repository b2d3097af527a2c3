"""What a client may send, and how long it may take."""

import msgspec

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
            it; it still gets its answer.
        linger: After an answer that ends the connection, what the client still sends is read and dropped for this
            long, so that a reset does not destroy the answer.
        unread: Reading pauses at this many unread bytes.
        streams: Most requests at a time on one HTTP/2 connection; one more is refused, and asked again.
    """

    url: int = 8 * KIB
    head: int = 64 * KIB
    fields: int = 100
    body: int = 0
    head_timeout: float = 30.0
    body_timeout: float = 30.0
    keep_alive: float = 75.0
    first_byte: float = 75.0
    write_timeout: float = 60.0
    held: float = 30.0
    half_closed: float = 1.0
    linger: float = 2.0
    unread: int = 64 * KIB
    streams: int = 100
