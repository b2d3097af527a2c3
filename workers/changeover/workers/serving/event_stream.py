"""Where a stream of server-sent events may end, so that its client does not lose half an event. Pure.

Such a client connects again by itself, whatever the reason that the stream ended for. So one that
the server has to end need not look broken, as long as no event of it is.
"""

from changeover.workers.serving.exchange import RawHeaders

AT_REST = b"\n\n"
"""What a stream ends with that nothing was written of."""
_LOOK = 4
"""Bytes of the longest empty line, with the end of the line before it."""
_OTHERWISE_MEASURED = frozenset({b"content-length", b"content-encoding"})


def following(tail: bytes, piece: bytes) -> bytes:
    """What a stream ends with once `piece` was written behind `tail`."""
    return piece[-_LOOK:] if len(piece) >= _LOOK else (tail + piece)[-_LOOK:]


def may_end(fields: RawHeaders, tail: bytes) -> bool:
    """Whether a response may end here as if this were all of it.

    Args:
        fields: Its head's.
        tail: What was written of it ends so.
    """
    is_stream = False
    for name, value in fields:
        name = name.lower()
        if name in _OTHERWISE_MEASURED:
            return False
        if name == b"content-type":
            is_stream = value.partition(b";")[0].strip().lower() == b"text/event-stream"
    return is_stream and tail.replace(b"\r\n", b"\n").replace(b"\r", b"\n").endswith(AT_REST)
