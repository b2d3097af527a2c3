"""Heads of responses: what an application may say, and what the server adds."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from changeover.workers.http.faults import BadResponse
from changeover.workers.http.response import (
    Framing,
    choose_framing,
    connection_lines,
    encode_head,
    error_response,
    framing_lines,
)


def test_fields_keep_their_order_and_repetition() -> None:
    head = encode_head(200, [(b"set-cookie", b"a"), (b"x", b"1"), (b"set-cookie", b"b")])
    assert head.lines == b"HTTP/1.1 200 OK\r\nset-cookie: a\r\nx: 1\r\nset-cookie: b\r\n"
    assert (head.length, head.persistent, head.dated, head.served) == (None, True, False, False)


def test_framing_fields_are_taken_from_the_application_and_written_by_the_server() -> None:
    head = encode_head(200, [(b"Content-Length", b"5"), (b"connection", b"keep-alive, Close"), (b"date", b"d")])
    assert head.lines == b"HTTP/1.1 200 OK\r\ndate: d\r\ncontent-length: 5\r\n"
    assert b"length" not in encode_head(204, [(b"content-length", b"0")]).lines
    assert (head.length, head.persistent, head.dated) == (5, False, True)
    assert encode_head(200, [(b"transfer-encoding", b"chunked"), (b"server", b"x")]).served


def test_a_status_without_a_phrase_is_sent_without_one() -> None:
    assert encode_head(299, []).lines == b"HTTP/1.1 299 \r\n"


@given(st.text(alphabet="ab\r\n\0", min_size=1, max_size=8).filter(lambda text: set(text) & set("\r\n\0")))
def test_a_value_that_would_split_the_response_is_refused(value: str) -> None:
    with pytest.raises(BadResponse):
        encode_head(200, [(b"location", value.encode()), (b"x", b"1")])


@pytest.mark.parametrize("name", [b"", b"a b", b"a:", b"a\r\nb", b"a\n", b"\xe9", b"a\0"])
def test_a_name_that_is_no_token_is_refused(name: bytes) -> None:
    with pytest.raises(BadResponse):
        encode_head(200, [(name, b"1")])


@pytest.mark.parametrize(
    "fields",
    [
        [(b"content-length", b"-1")],
        [(b"content-length", b"x")],
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"transfer-encoding", b"gzip")],
    ],
)
def test_framing_that_cannot_be_served_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(BadResponse):
        encode_head(200, fields)


@pytest.mark.parametrize("status", [0, 99, 100, 101, 199, 600, 1000])
def test_only_final_statuses_are_sent(status: int) -> None:
    with pytest.raises(BadResponse):
        encode_head(status, [])


@pytest.mark.parametrize(
    ("status", "method", "version", "length", "framing"),
    [
        (200, "GET", "1.1", 5, Framing.LENGTH),
        (200, "GET", "1.1", 0, Framing.LENGTH),
        (200, "GET", "1.1", None, Framing.CHUNKED),
        (200, "GET", "1.0", None, Framing.CLOSE),
        (200, "HEAD", "1.1", 5, Framing.NOTHING),
        (204, "GET", "1.1", None, Framing.NOTHING),
        (304, "GET", "1.1", 5, Framing.NOTHING),
    ],
)
def test_the_framing_follows_from_status_method_version_and_length(
    status: int, method: str, version: str, length: int | None, framing: Framing
) -> None:
    head = encode_head(status, [])
    assert choose_framing(head, method, version, length) is framing


def test_framing_and_connection_are_told() -> None:
    assert framing_lines(Framing.LENGTH, 200, 5) == b"content-length: 5\r\n"
    assert framing_lines(Framing.CHUNKED, 200, None) == b"transfer-encoding: chunked\r\n"
    assert framing_lines(Framing.NOTHING, 204, 0) == b""
    assert connection_lines("1.1", persistent=True) == b""
    assert connection_lines("1.0", persistent=True) == b"connection: keep-alive\r\n"
    assert connection_lines("1.1", persistent=False) == b"connection: close\r\n"


def test_an_answer_of_the_server_s_own_says_that_it_is_the_last() -> None:
    lines, body = error_response(431, "too long")
    assert lines.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert b"connection: close\r\n" in lines
    assert b"content-length: %d\r\n" % len(body) in lines


def test_long_names_are_sent_and_not_kept() -> None:
    tracemalloc.start()
    for number in range(100):
        name = b"x-%d-%s" % (number, b"a" * 60_000)
        assert name in encode_head(200, [(name, b"1")]).lines
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 500_000
