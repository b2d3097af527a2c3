"""Bodies take their own bytes and leave the rest alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.http.body import MAX_EXTRA, MAX_LINE, Body, body_of, least_to_come
from changeover.workers.http.faults import BadMessage
from changeover.workers.http.fields import CHUNKED

CONTENT = b'5\r\nhello\r\n6;name=value;x="y"\r\n world\r\n0\r\nX-Trailer: 1\r\nY: 2\r\n\r\n'
NEXT = b"GET / HTTP/1.1\r\n"


def feed_in_pieces(body: Body, raw: bytes, size: int) -> tuple[bytes, bytes]:
    """Content and what was left alone."""
    content, offset = b"", 0
    while offset < len(raw) and not body.complete:
        piece, taken = body.feed(raw[offset : offset + size])
        content += piece
        offset += taken
    return content, raw[offset:]


@given(st.integers(1, 100))
def test_a_chunked_body_is_the_same_however_it_arrives(size: int) -> None:
    body = body_of(CHUNKED, 0)
    assert feed_in_pieces(body, CONTENT + NEXT, size) == (b"hello world", NEXT)
    assert body.complete


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.integers(1, 400))
def test_any_chunks_come_out_joined(chunks: list[bytes], size: int) -> None:
    raw = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    assert feed_in_pieces(body_of(CHUNKED, 0), raw + NEXT, size) == (b"".join(chunks), NEXT)


@given(st.binary(max_size=50), st.integers(1, 60))
def test_a_body_of_known_length_ends_there(content: bytes, size: int) -> None:
    body = body_of(len(content), 0)
    assert feed_in_pieces(body, content + NEXT, size) == (content, NEXT)
    assert body.complete


REFUSED = {
    "a bare line feed": b"5\nhello\r\n0\r\n\r\n",
    "a line feed after an extension": b"5;a=b\nhello\r\n0\r\n\r\n",
    "no line end after the content": b"5\r\nhelloXX0\r\n\r\n",
    "a line feed after the content": b"5\r\nhello\n0\r\n\r\n",
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space behind": b"5 \r\nhello\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\n",
    "nothing": b"\r\n",
    "a size beyond 60 bits": b"FFFFFFFFFFFFFFFF\r\n",
    "a carriage return in an extension": b"5;a\rb\r\nhello\r\n",
    "a NUL in an extension": b"5;a\0b\r\nhello\r\n",
    "a trailer without a name": b"0\r\n: x\r\n\r\n",
    "a folded trailer": b"0\r\nX: 1\r\n 2\r\n\r\n",
    "a length among the trailers": b"0\r\nContent-Length: 5\r\n\r\n",
    "a coding among the trailers": b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "an endless size line": b"5;" + b"a" * MAX_LINE,
    "an endless trailer": b"0\r\nX: " + b"a" * MAX_LINE,
    "many extensions": b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * (MAX_EXTRA // 30),
    "many trailers": b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * (MAX_EXTRA // 30),
}


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("raw", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_chunked_body_is_refused(raw: bytes, size: int) -> None:
    with pytest.raises(BadMessage, match="400"):
        feed_in_pieces(body_of(CHUNKED, 0), raw, size)


def test_a_chunked_body_longer_than_allowed_is_refused_at_the_size_line() -> None:
    body = body_of(CHUNKED, 9)
    body.feed(b"5\r\nhello\r\n")
    with pytest.raises(BadMessage, match="413"):
        body.feed(b"5\r\n")


def test_what_is_to_come_is_known_as_far_as_it_was_told() -> None:
    body = body_of(10, 0)
    body.feed(b"four")
    assert [least_to_come(each) for each in (None, body, body_of(CHUNKED, 0))] == [0, 6, 0]
